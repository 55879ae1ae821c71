/** A real etcd cluster on loopback, for tests: members that can be stopped, killed, started again and asked. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { findFreePorts } from "../../../src/adapters/system/free-port.ts";

const run = promisify(execFile);

export interface EtcdMember {
  readonly url: string;
  signal(name: "SIGSTOP" | "SIGCONT"): void;
  /** SIGKILL, and resolves when it is gone. */
  kill(): Promise<void>;
  /** After `kill`, on the same data. */
  start(): void;
}

export interface EtcdCluster extends AsyncDisposable {
  readonly members: readonly EtcdMember[];
  readonly endpoints: readonly string[];
  /** Runs `etcdctl` at all members, or at one; resolves with what it printed. */
  control(parameters: readonly string[], at?: EtcdMember): Promise<string>;
  /** Hexadecimal. */
  idOf(member: EtcdMember): Promise<string>;
  leader(): Promise<EtcdMember>;
  /** Resolves when it commits writes. */
  ready(): Promise<void>;
}

export interface ClusterOptions {
  readonly size: number;
  /** More flags for every member. */
  readonly flags?: readonly string[];
  readonly scheme?: "http" | "https";
  /** More flags for `etcdctl`. */
  readonly controlFlags?: readonly string[];
}

export const hasEtcd = existsSync("/usr/bin/etcd") && existsSync("/usr/bin/etcdctl");

/** Loudly; with `CI=true` it is a failure. */
export function leaveOut(context: TestContext): void {
  const because = "LEFT OUT: etcd is not installed; run scripts/install-test-parts.sh";
  if (process.env.CI === "true") throw new Error(because);
  console.error(`${context.name}: ${because}`);
  context.skip(because);
}

export async function startCluster(options: ClusterOptions): Promise<EtcdCluster> {
  if (!hasEtcd) throw new Error("etcd and etcdctl are not installed: run scripts/install-test-parts.sh");
  const scheme = options.scheme ?? "http";
  const folder = await mkdtemp(join(tmpdir(), "holdfast-etcd-"));
  const ports = await findFreePorts(2 * options.size);
  const peers = Array.from(
    { length: options.size },
    (_, index) => `http://127.0.0.1:${ports[options.size + index]}`,
  );
  const initial = peers.map((peer, index) => `m${index}=${peer}`).join(",");
  const members = peers.map((peer, index) => {
    const url = `${scheme}://127.0.0.1:${ports[index]}`;
    const data = join(folder, `m${index}`);
    // biome-ignore format: flag and value side by side
    return newMember(url, [
      "--name", `m${index}`, "--data-dir", data,
      "--listen-client-urls", url, "--advertise-client-urls", url,
      "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
      "--initial-cluster", initial, "--initial-cluster-state", "new", "--initial-cluster-token", folder,
      "--heartbeat-interval", "100", "--election-timeout", "1000",
      "--logger", "zap", "--log-level", "panic", ...(options.flags ?? []),
    ]);
  });
  const endpoints = members.map(({ url }) => url);
  const control = async (parameters: readonly string[], at?: EtcdMember): Promise<string> => {
    const where = at === undefined ? endpoints.join(",") : at.url;
    const flags = ["--endpoints", where, "--command-timeout", "5s", ...(options.controlFlags ?? [])];
    const { stdout } = await run("etcdctl", [...flags, ...parameters], {
      env: { ...process.env, ETCDCTL_API: "3" },
      timeout: 15_000,
    });
    return stdout;
  };
  // Ids are 64-bit numbers: JSON.parse would round them, and round alike those of two members.
  const status = async (member: EtcdMember): Promise<{ readonly id: bigint; readonly leader: bigint }> => {
    const text = await control(["endpoint", "status", "-w", "json"], member);
    const field = (name: string) => BigInt(new RegExp(`"${name}":(\\d+)`).exec(text)?.[1] ?? 0);
    return { id: field("member_id"), leader: field("leader") };
  };
  const cluster: EtcdCluster = {
    members,
    endpoints,
    control,
    idOf: async (member) => (await status(member)).id.toString(16),
    async leader() {
      for (let attempt = 0; attempt < 50; attempt += 1) {
        for (const member of members) {
          const said = await status(member).catch(() => null);
          if (said !== null && said.id !== 0n && said.id === said.leader) return member;
        }
      }
      throw new Error("no member says that it leads");
    },
    async ready() {
      for (let attempt = 1; ; attempt += 1) {
        try {
          await control(["put", "ready", "1"]);
          return;
        } catch (error) {
          if (attempt === 30) throw error;
          await new Promise((resolve) => setTimeout(resolve, 200));
        }
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(members.map((member) => member.kill()));
      await rm(folder, { recursive: true, force: true });
    },
  };
  for (const member of members) member.start();
  return cluster;
}

function newMember(url: string, parameters: readonly string[]): EtcdMember {
  let child: ChildProcess | null = null;
  return {
    url,
    signal: (name) => void child?.kill(name),
    async kill() {
      if (child === null || child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, "exit");
      child.kill("SIGKILL");
      await exit;
    },
    start() {
      // It is not to outlive a test that is killed.
      child = spawn("setpriv", ["--pdeathsig", "KILL", "etcd", ...parameters], {
        stdio: ["ignore", "ignore", "inherit"],
      });
    },
  };
}
