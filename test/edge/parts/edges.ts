/** Edges for tests: in this process, or as the real process that `src/edge/main.ts` is. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { SignedTable } from "../../../src/core/model/routing.ts";
import type { Address } from "../../../src/core/model/topology.ts";
import { concurrencyRules } from "../../../src/core/traffic/concurrency.ts";
import type { EdgeConfig } from "../../../src/edge/config.ts";
import { type RunningEdge, startEdge } from "../../../src/edge/edge.ts";
import { adminToken, keys } from "./tables.ts";

const anyPort: Address = { host: "127.0.0.1", port: 0 };

export interface Folder extends Disposable {
  readonly path: string;
}

export function folder(): Folder {
  const path = mkdtempSync(join(tmpdir(), "holdfast-edge-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export function edgeConfig(stateDir: string, more: Partial<EdgeConfig> = {}): EdgeConfig {
  return {
    name: "edge-west",
    region: "west",
    processes: 1,
    http: anyPort,
    admin: anyPort,
    tcp: {},
    gates: [],
    stateDir,
    names: [],
    keys,
    adminToken,
    tcpHoldMaxMs: 5000,
    graceMs: 2000,
    limits: {
      headWithinMs: 20_000,
      bodyWithinMs: 20_000,
      idleForMs: 20_000,
      takenWithinMs: 20_000,
      quietForMs: 60_000,
    },
    http2: { tls: true, cleartext: false, streamsMax: 100, resetBurst: 200, resetsPerSecond: 33 },
    connectionsMax: 20_000,
    webSocketsMax: 100,
    trustedProxies: [],
    traceparent: "pass",
    cache: false,
    concurrency: { least: concurrencyRules.least, most: concurrencyRules.most },
    drainMs: 30_000,
    ...more,
  };
}

export interface TestEdge extends AsyncDisposable {
  readonly http: string;
  /** Empty without TLS. */
  readonly https: string;
  readonly admin: string;
  readonly tcp: RunningEdge["tcp"];
  readonly gates: RunningEdge["gates"];
  apply(table: SignedTable): Promise<{ readonly kind: string; readonly because?: string }>;
  post(path: string, body: unknown): Promise<{ readonly status: number; readonly body: unknown }>;
  state(): Promise<Readonly<Record<string, unknown>>>;
  metrics(): Promise<string>;
}

export interface EdgeHere extends TestEdge {
  reload(): Promise<void>;
}

export async function startHere(config: EdgeConfig): Promise<EdgeHere> {
  const edge = await startEdge(config);
  return { ...clientOf(edge), reload: () => edge.reload(), [Symbol.asyncDispose]: () => edge.close() };
}

export interface EdgeProcess extends TestEdge {
  readonly child: ChildProcess;
}

const main = fileURLToPath(new URL("../../../src/edge/main.ts", import.meta.url));

/** Ended with SIGKILL when disposed of, also when it is stopped. */
export async function startProcess(
  config: EdgeConfig,
  errors: "inherit" | "pipe" = "inherit",
): Promise<EdgeProcess> {
  const file = join(config.stateDir, "edge.json");
  writeFileSync(file, JSON.stringify(config));
  const child = spawn(process.execPath, [main, "--config", file], { stdio: ["ignore", "pipe", errors] });
  const [line] = (await once(createInterface(child.stdout as Readable), "line")) as [string];
  return {
    ...clientOf(JSON.parse(line)),
    child,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

function clientOf(edge: Omit<RunningEdge, "close" | "reload">): Omit<TestEdge, typeof Symbol.asyncDispose> {
  const admin = `http://${edge.admin.host}:${edge.admin.port}`;
  const headers = { authorization: `Bearer ${adminToken}` };
  const post = async (path: string, body: unknown) => {
    const answer = await fetch(`${admin}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    return { status: answer.status, body: (await answer.json()) as unknown };
  };
  return {
    http: `http://${edge.http.host}:${edge.http.port}`,
    https: edge.https ? `https://${edge.https.host}:${edge.https.port}` : "",
    admin,
    tcp: edge.tcp,
    gates: edge.gates,
    apply: async (table) => (await post("/v1/table", table)).body as { kind: string; because?: string },
    post,
    state: async () =>
      (await (await fetch(`${admin}/v1/state`, { headers })).json()) as Record<string, unknown>,
    metrics: async () => (await fetch(`${admin}/metrics`)).text(),
  };
}

/** Polls until it holds, or fails with what was expected. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 5000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (deadline < performance.now()) throw new Error(`after ${timeoutMs} ms still not: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
