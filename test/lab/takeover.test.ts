/** One world of three regions, asked, drilled and hurt from outside: what must hold while somebody takes over. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import pg from "pg";
import { openStore } from "../../src/adapters/adapters.ts";
import { endTree, findTree } from "../../src/adapters/postgres/process-tree.ts";
import { loadTopology } from "../../src/cli/topology-file.ts";
import type { Topology } from "../../src/core/model/topology.ts";
import { Observer } from "../../src/lab/observer.ts";
import { untilRedundant } from "../../src/lab/rehearsal.ts";
import { holdfast } from "../cli/run.ts";
import { DemoProcess, eventually } from "./demo-process.ts";

let demo: DemoProcess;
let topology: Topology;
let observer: Observer;

before(
  async () => {
    demo = await DemoProcess.start(["--no-load", "--profile", "balanced"]);
    const loaded = loadTopology(demo.state.topologyFile);
    assert.ok(loaded.kind === "valid");
    topology = loaded.topology;
    observer = new Observer(await openStore(topology, "", 2000));
    await whole();
  },
  { timeout: 150_000 },
);

after(
  async () => {
    await observer?.close();
    await demo?.end();
  },
  { timeout: 60_000 },
);

test("status says who serves, and what happens if that region dies now", async () => {
  const run = await command("status");
  assert.equal(run.code, 0, run.stderr);
  const { holder, epoch } = lease();
  const sentence = new RegExp(
    `writes to orders-db are served by ${regionOf(holder)} \\(${holder}, epoch ${epoch}\\); if it dies now, eu-\\w+ takes over`,
  );
  assert.match(run.stdout, sentence);
});

test("a command for another epoch is refused, one for a region that is not there too, and nothing changes", async () => {
  const { epoch } = lease();
  const old = await command("switchover", "--if-epoch", "99");
  assert.equal(old.code, 5, `${old.stdout}${old.stderr}`);
  assert.match(`${old.stdout}${old.stderr}`, new RegExp(`epoch.*${epoch}|${epoch}.*epoch`));
  const nowhere = await command("switchover", "--to", "eu-nowhere");
  assert.ok(nowhere.code === 3, `${nowhere.code}: ${nowhere.stdout}${nowhere.stderr}`);
  assert.match(`${nowhere.stdout}${nowhere.stderr}`, /eu-nowhere/);
  const noAgent = await command("status", "--agent", "eu-nowhere");
  assert.equal(noAgent.code, 3, noAgent.stderr);
  assert.match(noAgent.stderr, /there is: eu-west, eu-central, eu-north/);
  assert.equal(lease().epoch, epoch);
});

test("switchover and failback hand the data store over and back", async () => {
  const first = regionOf(lease().holder);
  const to = first === "eu-central" ? "eu-north" : "eu-central";
  const there = await command("switchover", "--to", to, "--why", "a test");
  assert.equal(there.code, 0, `${there.stdout}${there.stderr}`);
  assert.equal(regionOf(lease().holder), to);
  await whole();
  const back = await command("failback", "--to", first);
  assert.equal(back.code, 0, `${back.stdout}${back.stderr}`);
  assert.equal(regionOf(lease().holder), first);
  await whole();
});

test("a transaction that was open before a region froze cannot commit once another region has acknowledged a write", {
  timeout: 120_000,
}, async () => {
  const { holder, epoch } = lease();
  const setup = await client(gateOf(holder));
  await setup.query("create table if not exists takeover (id int primary key, epoch int not null)");
  await setup.query("insert into takeover values ($1, $1)", [epoch]);
  await setup.end();

  const session = await client(gateOf(holder));
  await session.query("begin");
  await session.query("insert into takeover values (-1, -1)");
  const drill = command("drill", "run", "region-freeze", "--for", "12s");
  const successor = await newEpoch(epoch);
  // The first acknowledgement of the new primary, through its own gate.
  await acknowledged(gateOf(successor.holder), successor.epoch);
  const outcome = await session.query("commit").then(
    () => "committed",
    (error: Error) => `refused: ${error.message}`,
  );
  assert.match(outcome, /^refused: (?!.*timeout)/, "the gate ended the session; we did not tire of waiting");
  assert.equal((await drill).code, 0, (await drill).stderr);
  await whole();
  assert.equal(lease().holder, successor.holder, "who came back is a standby");
  const reader = await client(gateOf(lease().holder));
  const { rows } = await reader.query("select id from takeover order by id");
  await reader.end();
  assert.deepEqual(
    rows.map(({ id }) => id),
    [epoch, successor.epoch],
    "the acknowledged rows and no other",
  );
});

test("with its agent frozen PostgreSQL is gone before the lease ends, and another region takes over", {
  timeout: 120_000,
}, async () => {
  const { holder, epoch } = lease();
  const dataDir = dataDirOf(holder);
  const agent = pidOf(regionOf(holder), "agent");
  const frozenAt = performance.now();
  process.kill(agent, "SIGSTOP");
  try {
    await eventually(
      "PostgreSQL is gone",
      topology.profile.leaseMs + 5000,
      () => treeOf(dataDir).length === 0,
    );
    const goneAfterMs = performance.now() - frozenAt;
    // The lease was renewed at the latest when its agent froze.
    assert.ok(
      goneAfterMs < topology.profile.leaseMs,
      `gone after ${goneAfterMs} of ${topology.profile.leaseMs} ms`,
    );
    assert.equal(lease().epoch, epoch, "nobody has claimed before it was gone");
    const successor = await newEpoch(epoch);
    await acknowledged(gateOf(successor.holder), successor.epoch);
  } finally {
    process.kill(agent, "SIGCONT");
  }
  await whole();
});

/** In milliseconds; more of them for a long run: `HOLDFAST_KILL_OFFSETS=0,50,100 node --test test/lab/takeover.test.ts`. */
const offsets = (process.env.HOLDFAST_KILL_OFFSETS ?? "0,150,400").split(",").map(Number);

for (const [index, afterMs] of offsets.entries())
  test(`an agent that is killed ${afterMs} ms into a failover does not stop the others from completing it`, {
    timeout: 120_000,
  }, async () => {
    const { holder, epoch } = lease();
    const others = demo.state.regions.map(({ name }) => name).filter((name) => name !== regionOf(holder));
    // Turn by turn the one that would take over, and the one that would vote.
    const victim = others[index % 2] as string;
    await endTree(placeOf(dataDirOf(holder)), AbortSignal.timeout(5000));
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    process.kill(pidOf(victim, "agent"), "SIGKILL");
    const successor = await newEpoch(epoch);
    await acknowledged(gateOf(successor.holder), successor.epoch);
    await whole();
  });

test("with the control store lost for a while nobody is promoted, reads and writes go on, and all is as before", {
  timeout: 120_000,
}, async () => {
  const { holder, epoch } = lease();
  const drill = command("drill", "run", "store-loss", "--for", "10s");
  const session = await client(gateOf(holder));
  let writes = 0;
  let over = false;
  void drill.then(() => {
    over = true;
  });
  for (let id = 10_000; !over; id++) {
    await session.query("insert into takeover values ($1, $2)", [id, epoch]);
    const { rows } = await session.query("select epoch from takeover where id = $1", [id]);
    assert.deepEqual(rows, [{ epoch }]);
    writes++;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await session.end();
  assert.equal((await drill).code, 0, (await drill).stderr);
  assert.ok(100 < writes, `${writes} writes were acknowledged`);
  await whole();
  assert.deepEqual([lease().holder, lease().epoch], [holder, epoch]);
});

function command(...args: readonly string[]) {
  return holdfast([...args, "--state", demo.stateFile], { timeoutMs: 90_000 });
}

function lease() {
  const record = observer.seen.leases.get("orders-db");
  assert.ok(record, "there is no lease");
  return record;
}

/** Everything is up, streams and is routed, and no change is under way. */
function whole(): Promise<void> {
  return untilRedundant(observer, topology, 90_000, AbortSignal.timeout(90_000));
}

async function newEpoch(before: number) {
  await observer.until("another primary", 60_000, ({ leases }) => {
    const record = leases.get("orders-db");
    return record !== undefined && before < record.epoch && record.phase === "committed";
  });
  return lease();
}

/** Writes a row through a gate until it is acknowledged: it may not be open yet. */
async function acknowledged(url: string, id: number): Promise<void> {
  let last = "";
  await eventually("a write is acknowledged", 60_000, async () => {
    const session = await client(url).catch((error: Error) => {
      last = error.message;
      return null;
    });
    if (!session) return false;
    try {
      await session.query("insert into takeover values ($1, $1) on conflict do nothing", [id]);
      return true;
    } catch (error) {
      last = (error as Error).message;
      return false;
    } finally {
      await session.end().catch(() => undefined);
    }
  }).catch((error) => assert.fail(`${(error as Error).message}: ${last}`));
}

async function client(url: string): Promise<pg.Client> {
  const session = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 5000,
    query_timeout: 30_000,
  });
  session.on("error", () => undefined);
  await session.connect();
  return session;
}

function regionOf(member: string): string {
  return demo.state.members.find(({ name }) => name === member)?.region ?? "";
}

function gateOf(member: string): string {
  return demo.state.members.find(({ name }) => name === member)?.gate ?? "";
}

function dataDirOf(member: string): string {
  return demo.state.members.find(({ name }) => name === member)?.dataDir ?? "";
}

function pidOf(region: string, role: string): number {
  const found = demo.state.processes.find((one) => one.region === region && one.role === role);
  assert.ok(found, `no ${role} in ${region}`);
  return found.pid;
}

function placeOf(dataDir: string) {
  return { dataDir, pidFile: `${dataDir}/postmaster.pid` };
}

function treeOf(dataDir: string) {
  return findTree(placeOf(dataDir));
}
