/** `holdfast doctor` against a real etcd, a real file and agents' answers: what it measures, and what it leaves behind. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openEtcdStore } from "../../src/adapters/etcd/etcd.ts";
import { openSqliteStore } from "../../src/adapters/sqlite/sqlite.ts";
import type { DoctorLine } from "../../src/cli/doctor/line.ts";
import { type LabLayout, layOut } from "../../src/lab/layout.ts";
import { hasEtcd, leaveOut, startCluster } from "../adapters/etcd/cluster.ts";
import { contents } from "../adapters/migration/places.ts";
import { holdfast, type Run } from "./run.ts";

let root: string;
before(() => {
  root = mkdtempSync(join(tmpdir(), "holdfast-doctor-"));
});
after(() => rmSync(root, { recursive: true, force: true }));

async function newFile(
  kind: "embedded" | "etcd",
  edit: (layout: LabLayout) => string = ({ topologyText }) => topologyText,
): Promise<{ readonly layout: LabLayout; readonly file: string }> {
  const folder = mkdtempSync(join(root, "place-"));
  const layout = await layOut({ root: folder, profile: "fast", witness: true, store: kind, rtoMs: 5000 });
  for (const region of layout.regions) mkdirSync(region.member?.dataDir ?? region.dir, { recursive: true });
  writeFileSync(layout.topologyFile, edit(layout));
  return { layout, file: layout.topologyFile };
}

const doctor = (file: string, ...more: readonly string[]) =>
  holdfast(["doctor", file, "--secrets-dir", root, "--for", "3s", "--json", ...more], { timeoutMs: 60_000 });

function linesOf(run: Run): (what: string) => DoctorLine {
  const { lines } = JSON.parse(run.stdout) as { lines: readonly DoctorLine[] };
  return (what) => {
    const found = lines.find((line) => line.what.startsWith(what));
    assert.ok(found, `no line ${what} among ${lines.map((line) => line.what).join("; ")}`);
    return found;
  };
}

test("on etcd it measures each endpoint, commits, the leader and elections, and leaves no record", {
  timeout: 120_000,
}, async (context) => {
  if (!hasEtcd) return leaveOut(context);
  await using cluster = await startCluster({ size: 3 });
  await cluster.ready();
  const { file } = await newFile("etcd", ({ topologyText, regions }) =>
    regions.reduce(
      (text, { ports }, index) =>
        text.replace(`http://127.0.0.1:${ports.etcdClient}`, cluster.endpoints[index] ?? ""),
      topologyText,
    ),
  );
  const run = await doctor(file);
  const line = linesOf(run);
  for (const endpoint of cluster.endpoints) assert.ok((line(`etcd: ${endpoint}`).numbers.samples ?? 0) > 1);
  const commits = line("store: commits");
  assert.ok((commits.numbers.samples ?? 0) > 1 && commits.numbers.limitMs === 276, JSON.stringify(commits));
  assert.match(line("lease profile").measured, /^fast; the shortest that fits with half to spare is/);
  assert.match(line("etcd: elections").measured, new RegExp(`led by ${(await cluster.leader()).url}.*3\\.`));
  // Two seconds of election do not fit into fast, whatever was measured.
  assert.equal(line("etcd: an election").fit, "warning");

  await cluster.members[0]?.kill();
  const less = await doctor(file);
  assert.equal(linesOf(less)("etcd: members").fit, "warning");
  assert.ok((linesOf(less)("store: commits").numbers.samples ?? 0) > 1);
  await cluster.members[1]?.kill();
  const none = await doctor(file);
  assert.equal(none.code, 4, none.stdout);
  assert.equal(linesOf(none)("etcd: members").fit, "problem");
  cluster.members[0]?.start();
  await cluster.ready();
  const store = await openEtcdStore({
    endpoints: cluster.endpoints,
    topology: "orders-demo",
    openTimeoutMs: 20_000,
  });
  assert.deepEqual(await contents(store), {});
  await store.close();
});

test("on one machine it measures the file, the disks, the agents and their clocks, and leaves no file", {
  timeout: 60_000,
}, async () => {
  const { layout, file } = await newFile("embedded");
  mkdirSync(join(layout.root, "control"), { recursive: true });
  const open = () => openSqliteStore({ path: layout.storeFile, topology: "orders-demo" });
  await (await open()).close();
  // An agent whose clock is 90 s ahead, and one whose clock runs half as fast again.
  const startedAt = Date.now();
  const clocks = [() => Date.now() + 90_000, () => Date.now() + (Date.now() - startedAt) / 2];
  const servers = await Promise.all(
    clocks.map((clock, index) => listen(layout.regions[index]?.ports.agent ?? 0, clock)),
  );
  try {
    const run = await doctor(file, "--region", "eu-west", "--for", "10s");
    const line = linesOf(run);
    // How many there are is a matter of the machine's other work.
    assert.ok((line("store: commits").numbers.samples ?? 0) > 1);
    assert.match(line("disk: pg-west").measured, /fsync in .*pg-west\/data: median/);
    assert.throws(() => line("disk: pg-central"));
    assert.ok((line("agent: eu-west").numbers.samples ?? 0) > 1, JSON.stringify(line("agent: eu-west")));
    const ahead = line("clock: eu-west");
    assert.equal(ahead.fit, "warning");
    assert.ok(Math.abs((ahead.numbers.offsetMs ?? 0) - 90_000) < 1000, ahead.measured);
    const fast = line("clock: eu-central");
    assert.equal(fast.fit, "problem", fast.measured);
    assert.ok(Math.abs((fast.numbers.driftRatio ?? 0) - 0.5) < 0.25, fast.measured);
    assert.match(line("agent: eu-north").measured, /no answer at/);
    assert.equal(line("parts: PostgreSQL").numbers.major !== undefined, true);
    // A clock that runs apart is a problem.
    assert.equal(run.code, 7);
    const store = await open();
    assert.deepEqual(await contents(store), {});
    await store.close();
    assert.deepEqual(
      readdirSync(layout.root, { recursive: true }).filter((name) => String(name).includes("doctor")),
      [],
    );
  } finally {
    for (const server of servers) server.closeAllConnections();
    for (const server of servers) server.close();
  }
});

test("a store that does not exist yet is no problem, and is not made", { timeout: 60_000 }, async () => {
  const { layout, file } = await newFile("embedded");
  const run = await holdfast(["doctor", file, "--for", "3s"]);
  assert.match(run.stdout, /warning +control store +there is none at/);
  // A disk and a processor that other work keeps busy are problems of the machine, and are to be told.
  const problems = run.stdout.match(/^problem .*$/gm) ?? [];
  for (const problem of problems) assert.match(problem, /^problem +(disk|host): /);
  assert.match(run.stdout, new RegExp(`\\d+ ok, \\d+ warnings, ${problems.length} problems?\n`));
  assert.equal(run.code, problems.length === 0 ? 0 : 7, run.stdout + run.stderr);
  assert.throws(() => readdirSync(join(layout.root, "control")));
});

test("a region that is not there and a span that measures nothing are told", {
  timeout: 60_000,
}, async () => {
  const { file } = await newFile("embedded");
  const nowhere = await doctor(file, "--region", "eu-nowhere");
  assert.deepEqual([nowhere.code, /there is: eu-west/.test(nowhere.stderr)], [3, true]);
  assert.equal((await doctor(file, "--for", "1s")).code, 2);
});

function listen(port: number, clock: () => number): Promise<Server> {
  const server = createServer((_, response) => {
    response.setHeader("date", new Date(clock()).toUTCString());
    response.end("{}");
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}
