/** Copies are made over connections that may last for hours: each notices in seconds that its upstream has fallen silent. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { findAccount } from "../../../src/adapters/postgres/account.ts";
import { findBinaries } from "../../../src/adapters/postgres/binaries.ts";
import { openBoundedRelay } from "../../../src/adapters/postgres/bounded-relay.ts";
import { ReplicationConnection } from "../../../src/adapters/postgres/replication.ts";
import { rewindSource } from "../../../src/adapters/postgres/rewind.ts";
import { until } from "../../../src/adapters/postgres/until.ts";
import { within } from "../../contract/database.ts";

/** Takes connections and never says a word: as a region does that has vanished from the network. */
const sockets = new Set<Socket>();
const server = createServer((socket) => sockets.add(socket.on("error", () => undefined))).listen(
  0,
  "127.0.0.1",
);
await once(server, "listening");
const { port } = server.address() as AddressInfo;
const address = { host: "127.0.0.1", port };
after(() => {
  for (const socket of sockets) socket.destroy();
  server.close();
});

/** Until TCP asks whether the server is still there, of the one connection to it; null: it never will. */
function asksAfterMs(): number | null {
  const hexPort = port.toString(16).toUpperCase().padStart(4, "0");
  for (const line of readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1)) {
    const [, , remote, state, , timer = ""] = line.trim().split(/\s+/);
    if (!remote?.endsWith(`:${hexPort}`) || state !== "01") continue;
    // proc_net_tcp(5): which timer, and when, in hundredths of a second.
    const [kind, when = "0"] = timer.split(":");
    return kind === "02" ? Number.parseInt(when, 16) * 10 : null;
  }
  return Number.NaN;
}

async function itAsksSoon(): Promise<void> {
  let ms: number | null = Number.NaN;
  const isSoon = async () => {
    ms = asksAfterMs();
    return (ms !== null && ms <= 2100) || undefined;
  };
  await until(isSoon, 5, within(2500)).catch(() => assert.fail(`asks after ${ms} ms`));
}

const withoutProc = process.platform !== "linux" && "needs /proc/net/tcp";

test("pg_rewind asks within two seconds after a source that fell silent", { skip: withoutProc }, async () => {
  const { pgRewind } = await findBinaries({ account: findAccount(undefined) });
  assert.ok(pgRewind, "there is no pg_rewind here");
  const folder = mkdtempSync(join(tmpdir(), "holdfast-silence-"));
  const account = findAccount(undefined);
  const child = spawn(pgRewind, ["-D", folder, `--source-server=${rewindSource(address, "orders")}`], {
    stdio: "ignore",
    ...(account.switches ? { uid: account.uid, gid: account.gid } : {}),
  });
  try {
    await itAsksSoon();
  } finally {
    child.kill("SIGKILL");
    await once(child, "exit");
    rmSync(folder, { recursive: true, force: true });
  }
});

test("so does a connection for replication, before and during a base backup", {
  skip: withoutProc,
}, async () => {
  const giveUp = new AbortController();
  const target = { address, password: "", database: "orders", timeoutMs: 5000 };
  const opening = ReplicationConnection.open(target, "physical", giveUp.signal);
  opening.catch(() => undefined);
  try {
    await itAsksSoon();
  } finally {
    giveUp.abort();
    await assert.rejects(opening);
  }
});

test("so does the relay that bounds a rewind", { skip: withoutProc }, async () => {
  const relay = await openBoundedRelay(address, 1_000_000);
  const client = connect(relay.address);
  try {
    await itAsksSoon();
  } finally {
    client.destroy();
    await relay.close();
  }
});
