/** One real PostgreSQL for tests of the gate: made, started, and gone with its folder afterwards. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { findAccount } from "../../../src/adapters/postgres/account.ts";
import { findBinaries } from "../../../src/adapters/postgres/binaries.ts";
import { until } from "./edges.ts";

export interface Postgres extends AsyncDisposable {
  readonly port: number;
}

export async function startPostgres(): Promise<Postgres> {
  const account = findAccount(undefined);
  const { initdb, postgres } = await findBinaries({ account });
  const folder = mkdtempSync(join(tmpdir(), "holdfast-pg-"));
  if (account.switches) chownSync(folder, account.uid, account.gid);
  const identity = account.switches ? { uid: account.uid, gid: account.gid } : {};
  const data = join(folder, "data");
  execFileSync(initdb, ["-D", data, "-U", "test", "-A", "trust", "--no-sync"], {
    ...identity,
    stdio: "ignore",
  });
  const port = await freePort();
  const settings = [`port=${port}`, "listen_addresses=127.0.0.1", `unix_socket_directories=${folder}`];
  const child = spawn(postgres, ["-D", data, ...settings.flatMap((setting) => ["-c", setting])], {
    ...identity,
    stdio: "ignore",
  });
  const stop = async (): Promise<void> => {
    const gone = once(child, "exit");
    // Immediate shutdown: the postmaster ends its children before it goes.
    child.kill("SIGQUIT");
    await gone;
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await until(() => answers(port), "PostgreSQL answers", 15_000);
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, [Symbol.asyncDispose]: stop };
}

export function clientOf(port: number): Client {
  const client = new Client({
    host: "127.0.0.1",
    port,
    user: "test",
    database: "postgres",
    connectionTimeoutMillis: 5000,
    query_timeout: 5000,
  });
  // A session that is cut off is what these tests are about.
  client.on("error", () => undefined);
  return client;
}

async function answers(port: number): Promise<boolean> {
  const client = clientOf(port);
  try {
    await client.connect();
    await client.end();
    return true;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
