/** How clients come to a peer: a proxy and the service in each region, and what the doors are called. */
import { fileURLToPath } from "node:url";
import { addProxy, type Checks } from "./haproxy.ts";
import { untilRow } from "./peer-database.ts";
import { type PeerLab, ports } from "./peer-lab.ts";
import type { SystemRegion } from "./system.ts";

const serviceMain = fileURLToPath(new URL("../../examples/orders/main.ts", import.meta.url));

export function systemRegions(lab: PeerLab): SystemRegion[] {
  return lab.regions.map(({ name, member, dataDir, address }) => ({
    name,
    member,
    dataDir,
    writerUrl: appUrl(address, ports.writer),
    directUrl: appUrl(address, ports.postgres),
    httpUrl: `http://${address}:${ports.http}`,
  }));
}

/** Proxies and services: up when every region's proxy leads to the writer. */
export async function startFronts(lab: PeerLab, checks: Checks, signal: AbortSignal): Promise<void> {
  for (const region of lab.regions) {
    addProxy(lab, region, checks).start();
    const command = { program: process.execPath, args: [serviceMain], readyText: "listening" };
    lab
      .add(region, "service", "service", command, {
        HOST: region.address,
        PORT: String(ports.service),
        REGION: region.name,
        DATABASE_URL: appUrl(region.address, ports.writer),
        DATABASE_URL_READ: appUrl(region.address, ports.postgres),
      })
      .start();
  }
  for (const { address } of lab.regions)
    await untilRow(appUrl(address, ports.writer), "SELECT 1 WHERE NOT pg_is_in_recovery()", signal);
}

function appUrl(address: string, port: number): string {
  return `postgres://app@${address}:${port}/orders`;
}
