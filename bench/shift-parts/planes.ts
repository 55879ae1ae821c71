/** The data planes side by side: our edge and a HAProxy, each with its router, before the same two regions. */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { EdgeRouter } from "../../src/adapters/edge/edge-router.ts";
import { HaproxyRouter } from "../../src/adapters/haproxy/haproxy-router.ts";
import { configPathOf, prepareFiles } from "../../src/adapters/haproxy/prepare.ts";
import { accept } from "../../src/core/traffic/accept.ts";
import { orderTargets } from "../../src/core/traffic/choose.ts";
import { sha256, verifyTable } from "../../src/edge/signature.ts";
import type { Router } from "../../src/ports/router.ts";
import { adminToken, keys, startEdge } from "../parts/edge.ts";
import { end, freePort, untilAnswers } from "../parts/server.ts";
import { type Ports, targetsOf } from "./tables.ts";

export interface BenchPlane {
  readonly name: "edge" | "haproxy";
  readonly url: string;
  readonly router: Router;
  stop(): Promise<void>;
}

/** Both regions in one HAProxy, the cheapest origin there is. */
export async function startOrigins(folder: string): Promise<Ports & { stop(): Promise<void> }> {
  const [west, central] = [await freePort(), await freePort()];
  const listen = (name: string, port: number) =>
    `frontend ${name}\n  bind 127.0.0.1:${port}\n  http-request return status 200 content-type text/plain string ${name}\n`;
  const file = join(folder, "origins.cfg");
  writeFileSync(
    file,
    `defaults\n  mode http\n  timeout client 60s\n  timeout connect 5s\n  timeout server 60s\n${listen("west", west)}${listen("central", central)}`,
  );
  const child = spawn("haproxy", ["-db", "-f", file], { stdio: "ignore" });
  await untilAnswers(west);
  return { west, central, stop: () => end(child) };
}

export async function startEdgePlane(folder: string): Promise<BenchPlane> {
  const edge = await startEdge(folder);
  const router = new EdgeRouter({ admin: edge.admin, token: adminToken });
  const stop = async () => {
    await router.close();
    await edge.stop();
  };
  return { name: "edge", url: `http://127.0.0.1:${edge.httpPort}`, router, stop };
}

export async function startHaproxyPlane(
  folder: string,
  services: readonly string[],
  ports: Ports,
): Promise<BenchPlane> {
  const layout = {
    name: "haproxy-west",
    region: "west",
    bind: { host: "127.0.0.1", port: await freePort() },
    folder,
    services: services.map((name) => ({ name, targets: targetsOf(ports), tryTimeoutMs: 2000 })),
  };
  await prepareFiles(layout);
  const child = spawn("haproxy", ["-db", "-f", configPathOf(layout)], { stdio: "ignore" });
  await untilAnswers(layout.bind.port);
  const router = new HaproxyRouter(layout, {
    verify: (signed) => verifyTable(signed, keys),
    accept: (current, next) => accept(current, next, sha256),
    order: (table, { targets, allow }) =>
      orderTargets({ table, targets, allow, ownRegion: "west", isEjected: () => false }),
  });
  return { name: "haproxy", url: `http://127.0.0.1:${layout.bind.port}`, router, stop: () => end(child) };
}
