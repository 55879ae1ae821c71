/** The proxies that are compared, and the origin behind them. */
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { RoutingTable } from "../../src/core/model/routing.ts";
import { digestOf } from "../../src/core/traffic/accept.ts";
import { sha256, signTable } from "../../src/edge/signature.ts";
import { end, freePort, untilAnswers } from "../parts/server.ts";

/** Alone on it: nothing else of the bench is pinned here. */
const proxyCore = "0";
const originCore = "1";

interface Running {
  readonly pid: number;
  stop(): Promise<void>;
}

/** HAProxy as the origin: the cheapest there is, so that the proxy is the bottleneck. */
export async function startOrigin(folder: string): Promise<Running & { readonly port: number }> {
  const port = await freePort();
  const body = join(folder, "1k.txt");
  writeFileSync(body, "x".repeat(1024));
  const config = `${haproxyHead}
frontend origin
  bind 127.0.0.1:${port}
  http-request return status 200 content-type text/plain file ${body}
`;
  return { port, ...(await startHaproxyProcess(folder, "origin", originCore, config, port)) };
}

export async function startHaproxy(
  folder: string,
  originPort: number,
): Promise<Running & { readonly http: string; readonly tcp: string }> {
  const [http, tcp] = [await freePort(), await freePort()];
  const config = `${haproxyHead}
frontend http
  bind 127.0.0.1:${http}
  option forwardfor
  unique-id-format %{+X}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header x-request-id
  default_backend http
backend http
  http-reuse always
  http-response set-header x-holdfast-region west
  server west 127.0.0.1:${originPort}
listen tcp
  mode tcp
  bind 127.0.0.1:${tcp}
  server west 127.0.0.1:${originPort}
`;
  const running = await startHaproxyProcess(folder, "haproxy", proxyCore, config, http);
  return { http: `http://127.0.0.1:${http}/`, tcp: `http://127.0.0.1:${tcp}/`, ...running };
}

const haproxyHead = `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
`;

async function startHaproxyProcess(
  folder: string,
  name: string,
  core: string,
  config: string,
  port: number,
): Promise<Running> {
  const file = join(folder, `${name}.cfg`);
  writeFileSync(file, config);
  const child = spawn("taskset", ["-c", core, "haproxy", "-db", "-f", file], { stdio: "inherit" });
  await untilAnswers(port);
  return { pid: child.pid as number, stop: () => end(child) };
}

/** The real edge process, with the features of a normal service on: holds, breakers, budget, ids, metrics. */
export async function startEdge(
  folder: string,
  originPort: number,
): Promise<Running & { readonly http: string; readonly tcp: string }> {
  const pair = generateKeyPairSync("ed25519");
  const anyPort = { host: "127.0.0.1", port: 0 };
  const config = {
    name: "edge-west",
    region: "west",
    http: anyPort,
    admin: anyPort,
    tcp: { origin: anyPort },
    stateDir: join(folder, "edge"),
    keys: { bench: pair.publicKey.export({ type: "spki", format: "der" }).toString("base64") },
    adminToken: "only-for-this-benchmark",
  };
  const file = join(folder, "edge.json");
  writeFileSync(file, JSON.stringify(config));
  const main = fileURLToPath(new URL("../../src/edge/main.ts", import.meta.url));
  const child = spawn("taskset", ["-c", proxyCore, process.execPath, main, "--config", file], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(createInterface(child.stdout), "line")) as [string];
  const { http, admin, tcp } = JSON.parse(line) as {
    http: { port: number };
    admin: { port: number };
    tcp: { origin: { port: number } };
  };
  const privateKey = pair.privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  const answer = await fetch(`http://127.0.0.1:${admin.port}/v1/table`, {
    method: "POST",
    headers: { authorization: `Bearer ${config.adminToken}` },
    body: JSON.stringify(signTable(benchTable(originPort), "bench", privateKey)),
  });
  if (!answer.ok) throw new Error(`the edge refused the table: ${await answer.text()}`);
  return {
    http: `http://127.0.0.1:${http.port}/`,
    tcp: `http://127.0.0.1:${tcp.origin.port}/`,
    pid: child.pid as number,
    stop: () => end(child),
  };
}

function benchTable(originPort: number): RoutingTable {
  const target = (region: string) => ({
    region,
    url: `http://127.0.0.1:${originPort}`,
    healthPath: "/",
    weight: 1,
  });
  const gate = { host: "127.0.0.1", port: originPort };
  const draft: RoutingTable = {
    schema: 1,
    topology: "bench",
    epoch: 1,
    generation: 1,
    digest: "",
    digestBefore: "",
    issuedAt: 0,
    issuedBy: "west",
    because: "bench",
    regions: { west: "active", central: "active" },
    stores: { origin: { epoch: 1, writer: { member: "pg", region: "west", gate }, changing: false } },
    services: {
      orders: {
        mode: "rw",
        dataStores: ["origin"],
        targets: [target("west"), target("central")],
        allow: ["west", "central"],
        rules: {
          holdMaxMs: 10_000,
          holdMaxCount: 1000,
          tryTimeoutMs: 2000,
          retryBudget: 0.2,
          staleMaxMs: 0,
          ttlMs: 5000,
        },
      },
    },
  };
  return { ...draft, digest: digestOf(draft, sha256) };
}
