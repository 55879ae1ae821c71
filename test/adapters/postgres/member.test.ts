/** What is particular to a PostgreSQL member on one host: whose folder it is, who adopts it, what makes it fail. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { findAccount } from "../../../src/adapters/postgres/account.ts";
import { discover, findBinaries } from "../../../src/adapters/postgres/binaries.ts";
import { DatabaseError } from "../../../src/adapters/postgres/database-error.ts";
import { findTree } from "../../../src/adapters/postgres/process-tree.ts";
import { Session } from "../../../src/adapters/postgres/session.ts";
import { frozenNames, roleFile, standbyName } from "../../../src/adapters/postgres/settings.ts";
import { until } from "../../../src/adapters/postgres/until.ts";
import { eventually, ok, within } from "../../contract/database.ts";
import { installations, Lab, secrets } from "./lab.ts";

const refused = (code: string) => (error: unknown) => error instanceof DatabaseError && error.code === code;
const [first] = await installations();
const binDir = (first as { binDir: string }).binDir;

void test("a replica's name is its own in each epoch, whatever PostgreSQL forgets of it", () => {
  const names = ["pg-a", "PG-A", "pg_a", "pg a", `pg-${"x".repeat(80)}`, `pg-${"x".repeat(79)}y`];
  const all = [
    ...names.map((name) => standbyName(name, 7)),
    standbyName("pg-a", 8),
    standbyName("pg-a_e7", 8),
  ];
  assert.equal(new Set(all.map((name) => name.toLowerCase().slice(0, 63))).size, all.length);
  for (const name of all) assert.match(name, /^[a-z0-9_-]{1,63}$/);
  assert.equal(
    all.some((name) => frozenNames.includes(name)),
    false,
  );
});

void test("where nothing is found, the error says where it looked and what to do", async () => {
  const account = findAccount(undefined);
  const looked = await discover({ binDir: "/nonexistent", account });
  assert.equal(looked.found, null);
  await assert.rejects(findBinaries({ binDir: "/nonexistent", account }), (error: unknown) => {
    assert.ok(refused("HOLDFAST_PG_NOT_FOUND")(error));
    assert.match((error as Error).message, /\/nonexistent.*name the folder that holds initdb and postgres/);
    return true;
  });
  assert.deepEqual(await discover({ account }), await discover({ account }));
});

void test("a data folder of another topology, member or origin is refused", async () => {
  await using lab = await Lab.make(binDir, ["pg-a"]);
  await lab.open("pg-a");
  await assert.rejects(lab.open("pg-a", { topology: "another" }), refused("HOLDFAST_PG_FOREIGN_DATA"));
  const member = { ...lab.member("pg-a"), name: "pg-z" };
  await assert.rejects(lab.open("pg-a", { member }), refused("HOLDFAST_PG_FOREIGN_DATA"));
  const { dataDir } = lab.member("pg-a");
  mkdirSync(dataDir, { recursive: true });
  writeFileSync(join(dataDir, "PG_VERSION"), "15\n");
  await assert.rejects(lab.open("pg-a"), refused("HOLDFAST_PG_FOREIGN_DATA"));
  await assert.rejects(lab.open("pg-a", { runAs: "no-such-user" }), refused("HOLDFAST_PG_USER"));
});

void test("a publication is remembered on disk, only rises, and is of the epoch that it was seen in", {
  timeout: 60_000,
}, async () => {
  await using lab = await Lab.make(binDir, ["pg-a"]);
  const [database] = await lab.cluster(0);
  assert.ok(database);
  const { floor, publication } = await database.inspect(1000);
  assert.deepEqual([floor > 0, publication], [true, 0]);
  await Promise.all([3, 5, 4].map((each) => database.remember({ epoch: floor, publication: each })));
  await database.remember({ epoch: floor - 1, publication: 9 });
  assert.equal((await database.inspect(1000)).publication, 5);
  const heir = await lab.open("pg-a");
  assert.equal((await heir.inspect(1000)).publication, 5, "another agent finds it");
  ok(await database.end(within(3000)));
});

void test("a setting that the promises rest on is not overridden", async () => {
  await using lab = await Lab.make(binDir, ["pg-a"]);
  await assert.rejects(lab.open("pg-a", { settings: { fsync: "off" } }), refused("HOLDFAST_PG_SETTING"));
});

void test("a member outlives its agent, and the next agent adopts it as it is", {
  timeout: 60_000,
}, async () => {
  await using lab = await Lab.make(binDir, ["pg-a"]);
  const script = `
    const { openMember } = await import(${JSON.stringify(new URL("../../../src/adapters/postgres/postgres.ts", import.meta.url).href)});
    const database = await openMember({ ...${JSON.stringify({ topology: "lab", store: lab.store, member: lab.member("pg-a"), secrets, binDir, settings: { dynamic_shared_memory_type: "mmap" } })}, clock: { now: () => 0, wall: () => 0 } });
    const outcomes = [await database.initialize({ epoch: 4 }, AbortSignal.timeout(30000)), await database.promote({ epoch: 4, acknowledgements: 0, standbys: [] }, AbortSignal.timeout(5000)), await database.freeze(AbortSignal.timeout(5000))];
    console.log(JSON.stringify(outcomes));
    process.kill(process.pid, "SIGKILL");`;
  const owner = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  owner.stdout.on("data", (text) => {
    said += text;
  });
  const signal = await new Promise((resolve) => owner.on("close", (_, by) => resolve(by)));
  assert.equal(signal, "SIGKILL", said);
  const before = findTree(lab.treePlace("pg-a"))[0];
  assert.ok(before?.isPostmaster, said);
  const heir = await lab.open("pg-a");
  const seen = await heir.inspect(1000);
  assert.deepEqual([seen.state, seen.epoch, seen.frozen], ["primary", 4, true]);
  ok(await heir.thaw(within(3000)));
  ok(await heir.promote({ epoch: 4, acknowledgements: 0, standbys: [] }, within(3000)));
  assert.equal(findTree(lab.treePlace("pg-a"))[0]?.pid, before.pid);
  ok(await heir.end(within(3000)));
});

void test("only the postmaster standing still is hung already; whose postmaster died is stopped, and can be ended and started", {
  timeout: 60_000,
}, async () => {
  await using lab = await Lab.make(binDir, ["pg-a"]);
  const [database] = await lab.cluster(0);
  assert.ok(database);
  const postmaster = findTree(lab.treePlace("pg-a"))[0];
  assert.ok(postmaster);
  const { freePercent } = await eventually(database, (seen) => seen.freePercent !== null);
  process.kill(postmaster.pid, "SIGSTOP");
  // The kernel stops it when it is next to run.
  const hung = await eventually(database, (seen) => seen.state === "hung");
  assert.ok(
    hung.freePercent !== null && Math.abs(hung.freePercent - Number(freePercent)) <= 1,
    "its disk does not hang with it",
  );
  process.kill(postmaster.pid, "SIGCONT");
  assert.equal((await eventually(database, (seen) => seen.state !== "hung")).state, "primary");
  // Stopped children cannot notice that their postmaster has died.
  const children = findTree(lab.treePlace("pg-a")).filter((each) => !each.isPostmaster);
  for (const each of children) process.kill(each.pid, "SIGSTOP");
  process.kill(postmaster.pid, "SIGKILL");
  await eventually(database, (seen) => seen.state === "stopped" && /postmaster has died/.test(seen.problem));
  ok(await database.startSealed({ basis: 7 }, within(10_000)));
  assert.equal((await eventually(database, (seen) => seen.state === "standby")).sealedBasis, 7);
  const [again, ...workers] = findTree(lab.treePlace("pg-a"));
  assert.ok(again?.isPostmaster);
  for (const each of workers) process.kill(each.pid, "SIGSTOP");
  process.kill(again.pid, "SIGKILL");
  const began = performance.now();
  ok(await database.end(within(3000)));
  assert.ok(performance.now() - began < 1000);
  assert.deepEqual(findTree(lab.treePlace("pg-a")), []);
});

void test("the application may make tables, and may not end or cancel what waits", {
  timeout: 60_000,
}, async () => {
  await using lab = await Lab.make(binDir, ["pg-a"]);
  await lab.cluster(0);
  const client = await lab.client("pg-a");
  await client.query("create table mine (i int)");
  const { rows } = await client.query("select epoch, member from holdfast.epoch");
  assert.deepEqual(rows, [{ epoch: "1", member: "pg-a" }]);
  await assert.rejects(client.query("select pg_cancel_backend(1)"), /permission denied/);
  await assert.rejects(client.query("select pg_terminate_backend(1)"), /permission denied/);
  await assert.rejects(client.query("update holdfast.epoch set epoch = 9"), /permission denied/);
  await client.end();
  await assert.rejects(lab.client("pg-a", "holdfast"), /no pg_hba.conf entry/);
});

void test("a port that is taken is told as such", { timeout: 60_000 }, async () => {
  await using lab = await Lab.make(binDir, ["pg-a"]);
  const squatter = createServer();
  try {
    const { host, port } = lab.member("pg-a").address;
    await new Promise<void>((resolve) => squatter.listen(port, host, resolve));
    const database = await lab.open("pg-a");
    const outcome = await database.initialize({ epoch: 1 }, within(30_000));
    assert.equal(outcome.kind, "failed");
    assert.match((outcome as { because: string }).because, new RegExp(`port ${port} is taken`));
    assert.equal((await database.inspect(500)).state, "absent");
    await new Promise((resolve) => squatter.close(resolve));
    ok(await database.initialize({ epoch: 1 }, within(30_000)));
  } finally {
    squatter.close();
  }
});

void test("a seed that is cut off, or finds the disk full, is never started and leaves nothing", {
  timeout: 90_000,
}, async (t) => {
  await using lab = await Lab.make(binDir, ["pg-a", "pg-b", "pg-c"]);
  const mount = dirname(lab.member("pg-c").dataDir);
  let isMounted = false;
  try {
    const a = await lab.open("pg-a");
    ok(await a.initialize({ epoch: 1 }, within(30_000)));
    ok(await a.promote({ epoch: 1, acknowledgements: 0, standbys: [] }, within(5000)));
    const upstream = lab.upstream("pg-a", 1);
    // 2 MB/s: 15 s for the whole.
    const b = await lab.open("pg-b", { store: { ...lab.store, seedMegabytesPerSecondMax: 2 } });
    const cut = new AbortController();
    let told = "";
    const seeding = b.rejoin(
      {
        upstream,
        onProgress: (text) => {
          told = text;
          cut.abort();
        },
      },
      AbortSignal.any([cut.signal, within(30_000)]),
    );
    await eventually(b, (seen) => seen.state === "rejoining");
    assert.equal((await seeding).kind, "unknown");
    assert.match(told, /seeded \d+ %/);
    assert.equal((await b.inspect(500)).state, "absent");
    assert.deepEqual(readdirSync(dirname(lab.member("pg-b").dataDir)).sort(), ["data.holdfast"]);
    // Killed in the middle: the remains bear a name that is never started.
    const remains = `${lab.member("pg-b").dataDir}.seed`;
    mkdirSync(remains);
    writeFileSync(join(remains, "PG_VERSION"), "15\n");
    const again = await lab.open("pg-b");
    assert.equal((await again.inspect(500)).state, "absent");
    assert.equal((await again.startSealed({ basis: 1 }, within(5000))).kind, "failed");
    ok(await again.rejoin({ upstream, onProgress: () => undefined }, within(30_000)));
    assert.equal(existsSync(remains), false);

    if (process.platform !== "linux" || process.getuid?.() !== 0) {
      t.diagnostic("a full disk was not tried: mounting one takes root on Linux");
      return;
    }
    mkdirSync(mount, { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=12m,mode=755", "tmpfs", mount]);
    isMounted = true;
    const c = await lab.open("pg-c");
    const full = await c.rejoin({ upstream, onProgress: () => undefined }, within(30_000));
    assert.equal(full.kind, "failed");
    assert.match((full as { because: string }).because, /no space left.*make room/i);
    assert.equal((await c.inspect(500)).state, "absent");
  } finally {
    if (isMounted) execFileSync("umount", ["-l", mount]);
  }
});

void test("two members promoted from the same position to the same timeline are told apart", {
  timeout: 90_000,
}, async () => {
  await using lab = await Lab.make(binDir);
  const [a, b, c] = await lab.cluster(1);
  assert.ok(a && b && c);
  // PostgreSQL writes records of its own now and then: both must have the last one before the end.
  const haveAll = async () => {
    const [at, ...others] = await Promise.all([a, b, c].map((one) => one.inspect(5000)));
    return others.every((one) => one.position === at?.position) || undefined;
  };
  await until(haveAll, 20, within(20_000));
  ok(await a.end(within(3000)));
  const position = ok(await b.seal({ basis: 1 }, within(3000))).position;
  assert.equal(ok(await c.seal({ basis: 1 }, within(3000))).position, position);
  // B's claim is lost before it is committed; C claims the next.
  const twin = ok(await b.promote({ epoch: 2, acknowledgements: 0, standbys: [] }, within(5000)));
  ok(await b.end(within(3000)));
  const leader = ok(await c.promote({ epoch: 3, acknowledgements: 0, standbys: [] }, within(5000)));
  assert.equal(twin.timeline, leader.timeline);
  const client = await lab.client("pg-c");
  await client.query("create table after (i int)");
  await client.end();
  ok(await b.startSealed({ basis: 2 }, within(10_000)));
  const refusal = await b.follow({ upstream: lab.upstream("pg-c", 3), promotedAt: null }, within(5000));
  assert.equal(refusal.kind, "failed");
  assert.match((refusal as { because: string }).because, /diverged/);
  const back = ok(
    await b.rejoin({ upstream: lab.upstream("pg-c", 3), onProgress: () => undefined }, within(60_000)),
  );
  assert.equal(back.how, "seeded");
  assert.equal(back.divergence?.forkedAt, position);
  // Its canary row of epoch 2.
  assert.equal(back.divergence?.transactions.length, 1);
  const kept = JSON.parse(readFileSync(join(back.divergence?.keptIn as string, "transactions.json"), "utf8"));
  assert.deepEqual(kept.transactions, back.divergence?.transactions);
  assert.ok(
    readdirSync(back.divergence?.keptIn as string).some((name) => /^00000002[0-9A-F]{16}$/.test(name)),
  );
  // What was never given up is not lost to a joke: the old primary, which has less, just joins.
  assert.equal(
    ok(await a.rejoin({ upstream: lab.upstream("pg-c", 3), onProgress: () => undefined }, within(60_000)))
      .divergence,
    null,
  );
});

void test("a sealed standby that is told where the promotion forked streams the new timeline from the first", {
  timeout: 90_000,
}, async () => {
  await using lab = await Lab.make(binDir);
  const [a, b, c] = await lab.cluster(1);
  assert.ok(a && b && c);
  ok(await a.end(within(3000)));
  const sealedB = ok(await b.seal({ basis: 1 }, within(3000))).position;
  const sealedC = ok(await c.seal({ basis: 1 }, within(3000))).position;
  // Whatever the old primary was writing at its end may have reached either of them alone.
  const [first, second] = sealedB >= sealedC ? (["pg-b", "pg-c"] as const) : (["pg-c", "pg-b"] as const);
  const [leader, follower] = sealedB >= sealedC ? [b, c] : [c, b];
  const { position, timeline, fork } = ok(
    await leader.promote({ epoch: 2, acknowledgements: 1, standbys: [second] }, within(5000)),
  );
  assert.deepEqual(fork, { timeline, parent: 1, at: fork?.at });
  assert.ok((fork?.at as number) <= Math.max(sealedB, sealedC));
  const log = join(lab.root, second, "data.holdfast", "postgresql.log");
  const before = readFileSync(log, "utf8").length;
  const upstream = lab.upstream(first, 2);
  ok(await follower.follow({ upstream, promotedAt: position, ...(fork && { fork }) }, within(5000)));
  const said = readFileSync(log, "utf8").slice(before);
  const asked = [...said.matchAll(/started streaming .* on timeline (\d+)/g)].map(([, on]) => Number(on));
  assert.deepEqual(asked, [timeline], said);
  const client = await lab.client(first);
  await client.query("create table after (i int)");
  await client.end();
  // One that says what is not so is recovery's to judge: it stays where it is, and nothing is lost.
  ok(await leader.end(within(3000)));
  const end = ok(await follower.seal({ basis: 2 }, within(3000))).position;
  const wrong = { timeline: 3, parent: timeline, at: end - 8192 };
  const refused = await follower.follow({ upstream, promotedAt: end, fork: wrong }, within(1000));
  assert.notEqual(refused.kind, "succeeded");
  assert.equal(existsSync(join(lab.member(second).dataDir, "pg_wal", "00000003.history")), false);
  const last = ok(await follower.promote({ epoch: 3, acknowledgements: 0, standbys: [] }, within(5000)));
  assert.deepEqual([last.timeline, last.fork?.parent], [3, timeline]);
});

void test("the role that a power cut left as zeros is written anew at the next start", {
  timeout: 60_000,
}, async () => {
  await using lab = await Lab.make(binDir, ["pg-a"]);
  const [database] = await lab.cluster(0);
  assert.ok(database);
  ok(await database.end(within(5000)));
  const file = join(lab.member("pg-a").dataDir, roleFile);
  writeFileSync(file, Buffer.alloc(readFileSync(file).length));
  ok(await database.startSealed({ basis: 1 }, within(20_000)));
  ok(await database.promote({ epoch: 2, acknowledgements: 0, standbys: [] }, within(5000)));
  assert.doesNotMatch(readFileSync(file, "latin1"), /\0/);
  const client = await lab.client("pg-a");
  assert.deepEqual((await client.query("select epoch from holdfast.epoch")).rows, [{ epoch: "2" }]);
  await client.end();
});

void test("who never came in has lost nobody: a server that starts is not looked at without end", async () => {
  let lost = 0;
  const session = new Session({ host: "/nowhere", port: 1 }, () => lost++);
  for (let n = 0; n < 3; n++) await assert.rejects(session.query("select 1", [], 500));
  assert.equal(lost, 0);
});

void test("a server that dies says so at once", { timeout: 60_000 }, async () => {
  await using lab = await Lab.make(binDir, ["pg-a"]);
  const [database] = await lab.cluster(0);
  assert.ok(database);
  const lost = new Promise<void>((resolve) => database.onLost(resolve));
  assert.equal((await database.inspect(1000)).state, "primary");
  const [postmaster] = readFileSync(lab.treePlace("pg-a").pidFile, "utf8").split("\n");
  process.kill(Number(postmaster), "SIGKILL");
  await lost;
  ok(await database.end(within(3000)));
  assert.equal((await database.inspect(1000)).state, "stopped");
});
