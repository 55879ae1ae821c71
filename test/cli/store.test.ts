/** `holdfast store migrate` as a user runs it: a real etcd, both ways, killed in the middle, and regions that move house. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { openStore } from "../../src/adapters/adapters.ts";
import { openEtcdStore } from "../../src/adapters/etcd/etcd.ts";
import { openSqliteStore } from "../../src/adapters/sqlite/sqlite.ts";
import { dataStoreName, layOut } from "../../src/lab/layout.ts";
import { Observer } from "../../src/lab/observer.ts";
import { untilRedundant } from "../../src/lab/rehearsal.ts";
import { prepareFolders, type World } from "../../src/lab/world.ts";
import { type EtcdCluster, hasEtcd, leaveOut, startCluster } from "../adapters/etcd/cluster.ts";
import { agentOf, contents, leaseOf, put } from "../adapters/migration/places.ts";
import { compile, newWorld } from "../lab/world.ts";
import { holdfast } from "./run.ts";

const cli = new URL("../../src/cli/cli.ts", import.meta.url).pathname;
let root: string;
let cluster: EtcdCluster | null = null;
let places = 0;

before(async () => {
  root = mkdtempSync(join(tmpdir(), "holdfast-store-"));
  // PostgreSQL runs as another user when we are root.
  chmodSync(root, 0o755);
  if (!hasEtcd) return;
  cluster = await startCluster({ size: 3 });
  await cluster.ready();
});

after(async () => {
  await cluster?.[Symbol.asyncDispose]();
  rmSync(root, { recursive: true, force: true });
});

/** Topology files of one topology on SQLite and on the cluster, and its records in the first. */
async function newPlace(endpoints: readonly string[]) {
  places += 1;
  const folder = join(root, String(places));
  const layout = await layOut({ root: folder, profile: "fast", witness: false, store: "etcd", rtoMs: 5000 });
  const name = `moving-${places}`;
  const path = join(folder, "store.db");
  let onEtcd = layout.topologyText.replace("orders-demo", name);
  for (const [index, { ports }] of layout.regions.entries())
    onEtcd = onEtcd.replace(`http://127.0.0.1:${ports.etcdClient}`, endpoints[index] ?? "");
  const embedded = await layOut({
    root: folder,
    profile: "fast",
    witness: false,
    store: "embedded",
    rtoMs: 5000,
  });
  prepareFolders(layout);
  const files = { sqlite: join(folder, "sqlite.yaml"), etcd: join(folder, "etcd.yaml") };
  writeFileSync(files.etcd, onEtcd);
  writeFileSync(
    files.sqlite,
    embedded.topologyText.replace("orders-demo", name).replace(embedded.storeFile, path),
  );
  const member = layout.regions[0]?.member?.name ?? "";
  const records: Record<string, string> = {
    [`lease/${dataStoreName}`]: JSON.stringify(leaseOf(member, 5)),
    "agent/eu-west": JSON.stringify(agentOf("eu-west")),
    routing: JSON.stringify({ table: { schema: 1, generation: 9 }, keyId: "k", signature: "s" }),
  };
  for (let index = 0; index < 150; index += 1)
    records[`incident/${index}`] = JSON.stringify({ schema: 1, id: String(index), text: "x".repeat(2000) });
  const sqlite = () => openSqliteStore({ path, topology: name });
  const etcd = () => openEtcdStore({ endpoints, topology: name, openTimeoutMs: 20_000 });
  const store = await sqlite();
  await put(store, records);
  await store.close();
  const move = (from: string, to: string, ...more: readonly string[]) =>
    holdfast(["store", "migrate", from, to, "--secrets-dir", folder, ...more], { timeoutMs: 60_000 });
  return { files, records, move, folder, read: { sqlite: readWith(sqlite), etcd: readWith(etcd) } };
}

function readWith(open: () => ReturnType<typeof openEtcdStore>) {
  return async () => {
    const store = await open();
    try {
      return await contents(store);
    } finally {
      await store.close();
    }
  };
}

test("records move from SQLite to etcd and back with their content, and agents refuse the store that was left", {
  timeout: 120_000,
}, async (context) => {
  if (!cluster) return leaveOut(context);
  const { files, records, move, folder, read } = await newPlace(cluster.endpoints);
  const dry = await move(files.sqlite, files.etcd, "--dry-run");
  assert.equal(dry.code, 0, dry.stderr);
  assert.match(dry.stdout, /152 records and 1 lease would be moved/);
  assert.deepEqual(await read.etcd(), {});

  const there = await move(files.sqlite, files.etcd);
  assert.equal(there.code, 0, there.stderr);
  assert.match(there.stdout, /orders-db: epoch 5, committed, pg-west/);
  assert.deepEqual(await read.etcd(), records);
  const agent = ["agent", "--region", "eu-west", "--state-dir", folder, "--secrets-dir", join(folder, "s")];
  const refused = await holdfast([...agent, "--topology", files.sqlite]);
  assert.equal(refused.code, 5, refused.stderr);
  assert.match(refused.stderr, /HOLDFAST_STORE_MOVED.*were moved to etcd at/);
  const again = await move(files.sqlite, files.etcd, "--json");
  assert.equal(again.code, 0);
  assert.equal(JSON.parse(again.stdout).outcome, "moved-before");

  const back = await move(files.etcd, files.sqlite);
  assert.equal(back.code, 0, back.stderr);
  assert.deepEqual(await read.sqlite(), records);
});

test("a command that is killed at whatever moment is gone on with, and nothing is lost", {
  timeout: 180_000,
}, async (context) => {
  if (!cluster) return leaveOut(context);
  const { files, records, move, read } = await newPlace(cluster.endpoints);
  // Ends of its own: what it says just before the step that is cut.
  const moments = [/copying/, /copied 100/, /taken out/, /put in/];
  let [from, to] = [files.sqlite, files.etcd];
  for (const moment of moments) {
    const child = spawn(process.execPath, [cli, "store", "migrate", from, to, "--secrets-dir", root], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr.on("data", (data) => {
      said += data;
      if (moment.test(said)) child.kill("SIGKILL");
    });
    const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
    assert.ok(signal === "SIGKILL" || code === 0, said);
    const ended = await move(from, to);
    assert.equal(ended.code, 0, ended.stderr);
    assert.deepEqual(await (to === files.etcd ? read.etcd : read.sqlite)(), records, String(moment));
    [from, to] = [to, from];
  }
});

test("what makes no sense, what is not there and what does not answer have exit codes of their own", {
  timeout: 60_000,
}, async (context) => {
  if (!cluster) return leaveOut(context);
  const { files, move, folder } = await newPlace(cluster.endpoints);
  assert.match((await move(files.sqlite, files.sqlite)).stderr, /same store/);
  const dead = join(folder, "dead.yaml");
  const { files: other } = await newPlace(["http://127.0.0.1:1", "http://127.0.0.1:1", "http://127.0.0.1:1"]);
  const names = await move(files.sqlite, other.etcd);
  assert.deepEqual([names.code, /two topologies/.test(names.stderr)], [3, true], names.stderr);
  const silent = await move(other.sqlite, other.etcd);
  assert.equal(silent.code, 4, silent.stderr);
  const undo = await move(files.sqlite, files.etcd, "--undo");
  assert.deepEqual([undo.code, /no move out of/.test(undo.stderr)], [5, true], undo.stderr);
  const none = await move(files.etcd, files.sqlite);
  assert.deepEqual([none.code, /holds no lease/.test(none.stderr)], [5, true], none.stderr);
  assert.equal((await move(dead, files.etcd)).code, 3);
});

test("what is stopped, moved to etcd and started again leads on with every row, in a fresh epoch", {
  timeout: 300_000,
}, async (context) => {
  if (!hasEtcd) return leaveOut(context);
  const folder = join(root, "house");
  const place = { root: folder, profile: "balanced", witness: true, rtoMs: 10_000 } as const;
  const signal = AbortSignal.timeout(280_000);
  const from = await layOut({ ...place, store: "embedded" });
  const first = await runUntil(newWorld(from), signal, async (world) => {
    await withRows(world, async (client) => {
      await client.query("CREATE TABLE kept (n int)");
      await client.query("INSERT INTO kept SELECT generate_series(1, 500)");
    });
  });
  const fromFile = join(folder, "before.yaml");
  writeFileSync(fromFile, from.topologyText);

  const to = await layOut({ ...place, store: "etcd" });
  const world = newWorld(to);
  for (const region of to.regions) world.one(region.name, "etcd").start();
  const moved = await untilAnswered(() =>
    holdfast(["store", "migrate", fromFile, to.topologyFile, "--secrets-dir", to.secretsDir, "--json"], {
      timeoutMs: 60_000,
    }),
  ).catch(async (error: unknown) => {
    await world.close();
    throw error;
  });
  const second = await runUntil(world, signal, async () => {
    assert.equal(moved.code, 0, moved.stderr);
    // The move changes neither the epoch nor who holds it.
    assert.deepEqual(JSON.parse(moved.stdout).leases, [
      { dataStore: dataStoreName, epoch: first.epoch, phase: "committed", holder: first.holder },
    ]);
    await withRows(world, async (client) => {
      const { rows } = await client.query("SELECT count(*)::int AS n FROM kept");
      assert.deepEqual(rows, [{ n: 500 }]);
    });
  });
  context.diagnostic(`epoch ${first.epoch} of ${first.holder} -> epoch ${second.epoch} of ${second.holder}`);
  // All processes had ended: nobody leads again without a fresh epoch (S11).
  assert.ok(first.epoch < second.epoch);
});

/** Started, redundant, acted upon, ended; yields the lease that it ended with. */
async function runUntil(
  world: World,
  signal: AbortSignal,
  act: (world: World) => Promise<void>,
): Promise<{ readonly epoch: number; readonly holder: string }> {
  const { layout } = world;
  const topology = compile(layout);
  let observer: Observer | null = null;
  try {
    await world.start(signal);
    observer = new Observer(await openStore(topology, layout.secretsDir, 2000));
    await untilRedundant(observer, topology, 120_000, signal);
    await act(world);
    const lease = observer.seen.leases.get(dataStoreName);
    assert.ok(lease);
    return { epoch: lease.epoch, holder: lease.holder };
  } finally {
    await observer?.close();
    await world.close();
  }
}

/** Through the first region's edge, as a service does. */
async function withRows(world: World, act: (client: pg.Client) => Promise<void>): Promise<void> {
  const port = world.layout.regions[0]?.ports.edgeTcp ?? 0;
  const client = new pg.Client({
    connectionString: world.databaseUrl(port),
    connectionTimeoutMillis: 20_000,
    query_timeout: 20_000,
  });
  client.on("error", () => {});
  await client.connect();
  try {
    await act(client);
  } finally {
    await client.end();
  }
}

/** The three members of etcd need a moment to find one another. */
async function untilAnswered(run: () => ReturnType<typeof holdfast>): ReturnType<typeof holdfast> {
  for (let tries = 1; ; tries += 1) {
    const ended = await run();
    if (ended.code !== 4 || tries === 5) return ended;
    await sleep(200);
  }
}
