/** A real edge process for benches, and tables for it: one service, in the regions west and central. */
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { RoutingTable, SignedTable } from "../../src/core/model/routing.ts";
import type { ServiceRules } from "../../src/core/model/rules.ts";
import type { Address } from "../../src/core/model/topology.ts";
import { digestOf } from "../../src/core/traffic/accept.ts";
import { sha256, signTable } from "../../src/edge/signature.ts";
import { end } from "./server.ts";

const pair = generateKeyPairSync("ed25519");
const privateKey = pair.privateKey.export({ type: "pkcs8", format: "pem" }) as string;
/** Those of `signed`. */
export const keys = { bench: pair.publicKey.export({ type: "spki", format: "der" }).toString("base64") };
export const adminToken = "only-for-this-benchmark";
const main = fileURLToPath(new URL("../../src/edge/main.ts", import.meta.url));

export interface BenchEdge {
  readonly httpPort: number;
  readonly tcpPort: number;
  /** 0 without TLS. */
  readonly httpsPort: number;
  /** Takes orders with `adminToken`. */
  readonly admin: Address;
  readonly pid: number;
  readonly hasEnded: boolean;
  apply(table: RoutingTable): Promise<void>;
  state(): Promise<EdgeState>;
  metrics(): Promise<string>;
  stop(): Promise<void>;
}

export interface EdgeState {
  readonly held: number;
  readonly upstreams: readonly {
    readonly region: string;
    readonly ejected: boolean;
    readonly limit: number;
    readonly inFlight: number;
  }[];
}

export interface EdgeOptions {
  /** The only one that it may run on. */
  readonly core?: string;
  /** Over what is usual. */
  readonly config?: Readonly<Record<string, unknown>>;
}

export async function startEdge(
  folder: string,
  { core, config: more = {} }: EdgeOptions = {},
): Promise<BenchEdge> {
  const stateDir = join(folder, "edge");
  mkdirSync(stateDir, { recursive: true });
  const anyPort = { host: "127.0.0.1", port: 0 };
  const config = {
    name: "edge-west",
    region: "west",
    http: anyPort,
    admin: anyPort,
    tcp: { origin: anyPort },
    stateDir,
    keys,
    adminToken,
    ...more,
  };
  const file = join(stateDir, "edge.json");
  writeFileSync(file, JSON.stringify(config));
  const command = [process.execPath, main, "--config", file];
  const [program = "", ...rest] = core === undefined ? command : ["taskset", "-c", core, ...command];
  const child = spawn(program, rest, { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(createInterface(child.stdout), "line")) as [string];
  const { http, https, admin, tcp } = JSON.parse(line) as {
    http: { port: number };
    https?: { port: number };
    admin: Address;
    tcp: { origin: { port: number } };
  };
  const headers = { authorization: `Bearer ${adminToken}` };
  const url = `http://127.0.0.1:${admin.port}`;
  return {
    httpPort: http.port,
    tcpPort: tcp.origin.port,
    httpsPort: https?.port ?? 0,
    admin,
    pid: child.pid as number,
    get hasEnded() {
      return child.exitCode !== null || child.signalCode !== null;
    },
    async apply(table) {
      const body = JSON.stringify(signed(table));
      const answer = await fetch(`${url}/v1/table`, { method: "POST", headers, body });
      if (!answer.ok) throw new Error(`the edge refused the table: ${await answer.text()}`);
    },
    state: async () => (await (await fetch(`${url}/v1/state`, { headers })).json()) as EdgeState,
    metrics: async () => (await fetch(`${url}/metrics`)).text(),
    stop: () => end(child),
  };
}

export function signed(table: RoutingTable): SignedTable {
  return signTable(table, "bench", privateKey);
}

export interface TableArguments {
  readonly west: number;
  /** The same as `west`: one origin that stands for both. Absent: there is one region. */
  readonly central?: number;
  readonly healthPath?: string;
  readonly rules?: Partial<ServiceRules>;
  readonly classes?: readonly BenchClass[];
}

/** By a header field, which is as a bench names them. */
interface BenchClass {
  readonly name: string;
  readonly priority: "critical" | "standard" | "sheddable";
  readonly header: { readonly name: string; readonly value: string };
}

export function benchTable({
  west,
  central,
  healthPath = "/",
  rules,
  classes = [],
}: TableArguments): RoutingTable {
  const target = (region: string, port: number) => ({
    region,
    url: `http://127.0.0.1:${port}`,
    healthPath,
    weight: 1,
  });
  const gate = { host: "127.0.0.1", port: west };
  const route = {
    mode: "rw" as const,
    dataStores: [],
    targets: [target("west", west), ...(central === undefined ? [] : [target("central", central)])],
    allow: ["west", "central"],
    classes,
    rules: {
      holdMaxMs: 10_000,
      holdMaxCount: 1000,
      tryTimeoutMs: 2000,
      retryBudget: 0.2,
      staleMaxMs: 0,
      ttlMs: 5000,
      ...rules,
    },
  };
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
    services: { orders: route },
  };
  return { ...draft, digest: digestOf(draft, sha256) };
}
