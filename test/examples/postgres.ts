/** A real PostgreSQL in a temporary folder, with the epoch table as Holdfast keeps it: to test against, to kill. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { endForGood } from "../../src/lab/postgres-end.ts";

const binaries =
  process.env.HOLDFAST_TEST_PG_BIN ??
  ["18", "17", "16", "15"].map((v) => `/usr/lib/postgresql/${v}/bin`).find((path) => existsSync(path)) ??
  "";

export interface TestPostgres extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  start(): Promise<void>;
  /** kill -9 of the postmaster and of every child, as a power cut would. */
  kill(): Promise<void>;
  /** SIGSTOP to all of it: connections are taken by the kernel, and nobody ever answers. Undone by `thaw`. */
  freeze(): void;
  thaw(): void;
  sql(text: string, values?: readonly unknown[]): Promise<readonly Record<string, unknown>[]>;
  /** As Holdfast does on the primary at each promotion. */
  beginEpoch(epoch: number, member: string): Promise<void>;
}

/** PostgreSQL refuses to run as root: then it runs as the user `postgres`. */
function otherUser(): { uid: number; gid: number } | Record<string, never> {
  if (process.getuid?.() !== 0) return {};
  const idOf = (flag: string) =>
    Number(spawnSync("id", [flag, "postgres"], { encoding: "utf8" }).stdout.trim());
  return { uid: idOf("-u"), gid: idOf("-g") };
}

export async function startPostgres(): Promise<TestPostgres> {
  if (binaries === "")
    throw new Error("no PostgreSQL under /usr/lib/postgresql; set HOLDFAST_TEST_PG_BIN to its bin folder");
  const folder = mkdtempSync(join(tmpdir(), "holdfast-orders-"));
  const user = otherUser();
  chmodSync(folder, 0o700);
  if ("uid" in user) chownSync(folder, Number(user.uid), Number(user.gid));
  const data = join(folder, "data");
  const made = spawnSync(
    join(binaries, "initdb"),
    ["-D", data, "-U", "holdfast", "-A", "trust", "--no-sync", "--locale=C", "-E", "UTF8"],
    { ...user, cwd: folder, encoding: "utf8" },
  );
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`);

  const port = await freePort();
  const url = `postgres://holdfast@127.0.0.1:${port}/postgres`;
  let postmaster: ChildProcess | null = null;

  const signal = (name: NodeJS.Signals) => {
    const pid = Number(postmaster?.pid);
    for (const each of [pid, ...childrenOf(pid)]) process.kill(each, name);
  };
  const self: TestPostgres = {
    port,
    url,
    async start() {
      // Options on the command line beat postgresql.conf; `fsync=off` is harmless against kill -9 (the kernel lives).
      const options = [
        `port=${port}`,
        "listen_addresses=127.0.0.1",
        `unix_socket_directories=${folder}`,
        "fsync=off",
        "restart_after_crash=off",
        // In the folder, so that what a killed server leaves goes with it.
        "dynamic_shared_memory_type=mmap",
      ];
      postmaster = spawn(join(binaries, "postgres"), ["-D", data, ...options.flatMap((o) => ["-c", o])], {
        ...user,
        cwd: folder,
        stdio: "ignore",
      });
      const deadline = performance.now() + 60_000;
      for (;;) {
        try {
          await self.sql("SELECT 1");
          return;
        } catch (error) {
          if (performance.now() > deadline || postmaster.exitCode !== null) throw error;
          await sleep(25);
        }
      }
    },
    async kill() {
      if (postmaster === null || postmaster.exitCode !== null || postmaster.signalCode !== null) return;
      const gone = once(postmaster, "exit");
      // The postmaster first, stopped, so that it can start nobody else; its children are outside its group.
      postmaster.kill("SIGSTOP");
      for (const child of childrenOf(Number(postmaster.pid))) endQuietly(child);
      postmaster.kill("SIGKILL");
      await gone;
    },
    freeze() {
      signal("SIGSTOP");
    },
    thaw() {
      signal("SIGCONT");
    },
    async sql(text, values = []) {
      const client = new pg.Client({
        connectionString: url,
        connectionTimeoutMillis: 5_000,
        query_timeout: 30_000,
      });
      client.on("error", () => {});
      await client.connect();
      try {
        return (await client.query(text, [...values])).rows as Record<string, unknown>[];
      } finally {
        await client.end();
      }
    },
    async beginEpoch(epoch, member) {
      await self.sql("CREATE SCHEMA IF NOT EXISTS holdfast");
      await self.sql(
        "CREATE TABLE IF NOT EXISTS holdfast.epoch (epoch bigint PRIMARY KEY, member text NOT NULL)",
      );
      await self.sql("INSERT INTO holdfast.epoch VALUES ($1, $2)", [epoch, member]);
    },
    async [Symbol.asyncDispose]() {
      await endForGood(data);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  try {
    await self.start();
  } catch (error) {
    await self[Symbol.asyncDispose]();
    throw error;
  }
  return self;
}

function childrenOf(pid: number): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
}

function endQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself a moment ago.
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}
