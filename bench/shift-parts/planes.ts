/** The data planes side by side: our edge and a HAProxy, each with its router, before the same two regions. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { EdgeRouter } from "../../src/adapters/edge/edge-router.ts";
import { HaproxyRouter } from "../../src/adapters/haproxy/haproxy-router.ts";
import { configPathOf, prepareFiles } from "../../src/adapters/haproxy/prepare.ts";
import { accept } from "../../src/core/traffic/accept.ts";
import { orderTargets } from "../../src/core/traffic/choose.ts";
import { sha256, verifyTable } from "../../src/edge/signature.ts";
import type { Router } from "../../src/ports/router.ts";
import { end, freePort, untilAnswers } from "../parts/server.ts";
import { keys, type Ports, targetsOf } from "./tables.ts";

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

const adminToken = "only-for-this-benchmark";

export async function startEdgePlane(folder: string): Promise<BenchPlane> {
  mkdirSync(folder, { recursive: true });
  const anyPort = { host: "127.0.0.1", port: 0 };
  const config = {
    name: "edge-west",
    region: "west",
    http: anyPort,
    admin: anyPort,
    stateDir: folder,
    keys,
    adminToken,
  };
  const file = join(folder, "edge.json");
  writeFileSync(file, JSON.stringify(config));
  const main = fileURLToPath(new URL("../../src/edge/main.ts", import.meta.url));
  const child = spawn(process.execPath, [main, "--config", file], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(createInterface(child.stdout), "line")) as [string];
  const { http, admin } = JSON.parse(line) as { http: { port: number }; admin: { port: number } };
  const router = new EdgeRouter({ admin: { host: "127.0.0.1", port: admin.port }, token: adminToken });
  const stop = async () => {
    await router.close();
    await end(child);
  };
  return { name: "edge", url: `http://127.0.0.1:${http.port}`, router, stop };
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
