/** What every adapter of the port `database` must do, told as facts about a data store of three members. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Database, MemberInspection, Outcome, Upstream } from "../../src/ports/database.ts";

export interface DatabasePlace {
  /** Three members; the first is initialized, the others are seeded from it. */
  readonly names: readonly [string, string, string];
  open(name: string): Promise<Database>;
  upstream(name: string, epoch: number): Upstream;
  /** A client of the member's application: `write` resolves when the commit is acknowledged. */
  client(name: string): Promise<DatabaseClient>;
  /** Living processes of the member. */
  processes(name: string): readonly number[];
  /** Lets the member's processes stand still (SIGSTOP). */
  stall(name: string): void;
  close(): Promise<void>;
}

export interface DatabaseClient {
  write(key: string): Promise<void>;
  keys(): Promise<ReadonlySet<string>>;
  close(): void;
}

const ms = (from: number) => performance.now() - from;

export function databaseContract(name: string, make: () => Promise<DatabasePlace>): void {
  void test(`${name}: one data store from its first primary to the return of a crashed one`, {
    timeout: 240_000,
  }, async (t) => {
    const place = await make();
    try {
      await tell(t, place);
    } finally {
      await place.close();
    }
  });
}

async function tell(t: TestContext, place: DatabasePlace): Promise<void> {
  const [a, b, c] = place.names;
  let acknowledgedByA: ReadonlySet<string> = new Set();
  /** Each fact stands on the ones before: after one that is false, the rest says nothing. */
  const fact = async (told: string, check: (t: TestContext) => Promise<void>) => {
    let isTrue = false;
    await t.test(told, async (inner) => {
      await check(inner);
      isTrue = true;
    });
    if (!isTrue) throw new Error(`the rest was not tried, since it is false that ${told}`);
  };
  const [pgA, pgB, pgC] = await Promise.all([place.open(a), place.open(b), place.open(c)]);

  await fact("a member without data is absent, and does not promote or follow", async () => {
    assert.equal((await pgA.inspect(500)).state, "absent");
    assert.equal(
      (await pgA.promote({ epoch: 1, acknowledgements: 0, standbys: [] }, within(1000))).kind,
      "failed",
    );
    assert.equal(
      (await pgA.follow({ upstream: place.upstream(b, 1), promotedAt: null }, within(1000))).kind,
      "failed",
    );
  });

  await fact(
    "the initialized member is a primary that acknowledges nothing before it was promoted",
    async () => {
      ok(await pgA.initialize({ epoch: 1 }, within(60_000)));
      const seen = await pgA.inspect(500);
      assert.deepEqual([seen.state, seen.epoch, seen.floor, seen.frozen], ["primary", 1, 1, true]);
      assert.equal((await pgA.initialize({ epoch: 1 }, within(1000))).kind, "failed");
      ok(await pgA.promote({ epoch: 1, acknowledgements: 0, standbys: [] }, within(5000)));
      ok(await pgA.promote({ epoch: 1, acknowledgements: 0, standbys: [] }, within(5000)));
      assert.equal((await pgA.inspect(500)).frozen, false);
    },
  );

  await fact("empty members are seeded, stream, and bear incarnations of their own", async (t) => {
    const took: number[] = [];
    for (const each of [pgB, pgC]) {
      const began = performance.now();
      const joined = ok(
        await each.rejoin({ upstream: place.upstream(a, 1), onProgress: () => undefined }, within(60_000)),
      );
      took.push(ms(began));
      assert.deepEqual([joined.how, joined.divergence], ["seeded", null]);
    }
    report(t, "seed of an empty database", took);
    const all = await Promise.all([pgA, pgB, pgC].map((each) => each.inspect(500)));
    assert.equal(new Set(all.map((each) => each.incarnation)).size, 3);
    assert.deepEqual(
      all.map((each) => each.state),
      ["primary", "standby", "standby"],
    );
    await eventually(pgA, (seen) => seen.replicas.filter((each) => each.streaming).length === 2);
  });

  await fact("a commit waits for a standby, and goes on when there is one", async () => {
    ok(await pgA.setQuorum({ epoch: 1, acknowledgements: 1, standbys: [b] }, within(5000)));
    const seen = await pgA.inspect(500);
    assert.deepEqual(seen.waitsFor, { acknowledgements: 1, standbys: [b] });
    const client = await place.client(a);
    await client.write("with b");
    ok(await pgB.end(within(5000)));
    let isAcknowledged = false;
    const waiting = client.write("without b").then(() => {
      isAcknowledged = true;
    });
    await quiet(200, () => !isAcknowledged);
    ok(await pgA.setQuorum({ epoch: 1, acknowledgements: 1, standbys: [b, c] }, within(5000)));
    await waiting;
    client.close();
    const back = ok(
      await pgB.rejoin({ upstream: place.upstream(a, 1), onProgress: () => undefined }, within(30_000)),
    );
    assert.equal(back.how, "started");
    assert.equal(
      (await pgA.setQuorum({ epoch: 7, acknowledgements: 0, standbys: [] }, within(1000))).kind,
      "failed",
    );
  });

  await fact("no commit is acknowledged from when freeze resolves until thaw", async (t) => {
    for (const acknowledgements of [1, 0]) {
      ok(
        await pgA.setQuorum(
          { epoch: 1, acknowledgements, standbys: acknowledgements === 0 ? [] : [b, c] },
          within(5000),
        ),
      );
      const load = await startLoad(place, a, 8);
      const took: number[] = [];
      for (let round = 0; round < 7; round += 1) {
        await load.moreThan(20);
        const began = performance.now();
        ok(await pgA.freeze(within(5000)));
        took.push(ms(began));
        await drainSockets();
        const atLine = load.acknowledged();
        await quiet(100, () => load.acknowledged() === atLine);
        assert.equal((await pgA.inspect(500)).frozen, true);
        ok(await pgA.freeze(within(5000)));
        ok(await pgA.thaw(within(5000)));
        ok(await pgA.thaw(within(5000)));
      }
      await load.moreThan(20);
      await load.stop();
      assert.deepEqual(load.failures(), []);
      report(t, `freeze under load, waiting for ${acknowledgements}`, took);
    }
    ok(await pgA.setQuorum({ epoch: 1, acknowledgements: 1, standbys: [b, c] }, within(5000)));
  });

  await fact("a sealed standby's position stands still while its primary goes on", async (t) => {
    const load = await startLoad(place, a, 4);
    const took: number[] = [];
    for (let basis = 11; basis <= 15; basis += 1) {
      await load.moreThan(10);
      const began = performance.now();
      const sealed = ok(await pgC.seal({ basis }, within(5000)));
      took.push(ms(began));
      await load.moreThan(10);
      const seen = await pgC.inspect(500);
      assert.deepEqual([seen.state, seen.streaming, seen.epoch], ["standby", false, 0]);
      assert.deepEqual(
        [seen.position, seen.sealedBasis, seen.sealedPosition],
        [sealed.position, basis, sealed.position],
      );
      assert.deepEqual(ok(await pgC.seal({ basis: basis + 100 }, within(5000))).position, sealed.position);
      ok(await pgC.follow({ upstream: place.upstream(a, 1), promotedAt: null }, within(5000)));
      assert.equal((await pgC.inspect(500)).sealedBasis, 0);
    }
    await load.stop();
    report(t, "seal under load", took);
  });

  await fact("a standby that is started sealed tells all that it has", async (t) => {
    const took: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      const before = await settled(pgA, pgC);
      ok(await pgC.end(within(5000)));
      assert.equal((await pgC.inspect(500)).state, "stopped");
      const began = performance.now();
      const started = ok(await pgC.startSealed({ basis: 9 }, within(10_000)));
      took.push(ms(began));
      assert.ok(before <= started.position, `${started.position} is below ${before}`);
      assert.equal((await pgC.inspect(500)).sealedBasis, 9);
      ok(await pgC.follow({ upstream: place.upstream(a, 1), promotedAt: null }, within(5000)));
    }
    report(t, "startSealed", took);
  });

  await fact("after end resolved no process is left and no commit is acknowledged", async (t) => {
    const load = await startLoad(place, a, 8);
    await load.moreThan(50);
    const began = performance.now();
    ok(await pgA.end(within(5000)));
    report(t, "end under load", [ms(began)]);
    await drainSockets();
    const atLine = load.acknowledged();
    assert.deepEqual(place.processes(a), []);
    await quiet(100, () => load.acknowledged() === atLine);
    await load.stop();
    assert.equal((await pgA.inspect(500)).state, "stopped");
    ok(await pgA.end(within(1000)));
    acknowledgedByA = load.keys();
  });
  await fact(
    "of two sealed standbys the one ahead is promoted and misses nothing, and the third follows it",
    async () => {
      const sealed = new Map<string, number>();
      for (const [each, database] of [
        [b, pgB],
        [c, pgC],
      ] as const)
        sealed.set(each, ok(await database.seal({ basis: 20 }, within(5000))).position);
      // Both waited for one of two: the one ahead has all.
      const isB = (sealed.get(c) as number) <= (sealed.get(b) as number);
      const [leader, follower] = isB ? [pgB, pgC] : [pgC, pgB];
      const [leaderName, followerName] = isB ? [b, c] : [c, b];
      assert.equal(
        (await leader.promote({ epoch: 0, acknowledgements: 0, standbys: [] }, within(1000))).kind,
        "failed",
      );
      // An agent that was started anew in between may have another set in mind.
      ok(await leader.promote({ epoch: 2, acknowledgements: 1, standbys: [a] }, within(5000)));
      const promoted = ok(
        await leader.promote({ epoch: 2, acknowledgements: 1, standbys: [followerName] }, within(5000)),
      );
      assert.equal(promoted.timeline, 2);
      const seen = await leader.inspect(500);
      assert.deepEqual(seen.waitsFor, { acknowledgements: 1, standbys: [followerName] });
      assert.deepEqual([seen.state, seen.epoch, seen.floor, seen.frozen], ["primary", 2, 2, false]);
      ok(await follower.follow({ upstream: place.upstream(leaderName, 2), promotedAt: null }, within(5000)));
      const client = await place.client(leaderName);
      await client.write("in epoch 2");
      const kept = await client.keys();
      client.close();
      assert.deepEqual(
        [...acknowledgedByA].filter((key) => !kept.has(key)),
        [],
      );
      if (!isB) ok(await switchOver(place, { from: pgC, to: pgB, fromName: c, toName: b, epoch: 3 }));
    },
  );

  await fact("leadership moves in order, losing nothing, five times over", async (t) => {
    const took = {
      prepareStop: [] as number[],
      stopInOrder: [] as number[],
      seal: [] as number[],
      promote: [] as number[],
      follow: [] as number[],
    };
    let [from, to, fromName, toName] = [pgB, pgC, b, c];
    for (let epoch = 4; epoch <= 8; epoch += 1) {
      const client = await place.client(fromName);
      await client.write(`before ${epoch}`);
      client.close();
      const done = await switchOver(place, { from, to, fromName, toName, epoch });
      for (const what of Object.keys(took) as (keyof typeof took)[]) took[what].push(ok(done)[what]);
      const next = await place.client(toName);
      await next.write(`in ${epoch}`);
      assert.ok((await next.keys()).has(`before ${epoch}`));
      next.close();
      [from, to, fromName, toName] = [to, from, toName, fromName];
    }
    for (const what of Object.keys(took) as (keyof typeof took)[]) report(t, what, took[what]);
  });

  await fact("a stalled member is hung, and ends", async () => {
    // The last switchover left c in the lead and b behind it.
    place.stall(b);
    await eventually(pgB, (seen) => seen.state === "hung");
    ok(await pgB.end(within(2000)));
    assert.equal((await pgB.inspect(500)).state, "stopped");
    ok(await pgB.rejoin({ upstream: place.upstream(c, 8), onProgress: () => undefined }, within(30_000)));
  });

  await fact(
    "a crashed primary with a diverged tail returns as a standby, its tail kept and listed",
    async () => {
      ok(await pgA.rejoin({ upstream: place.upstream(c, 8), onProgress: () => undefined }, within(60_000)));
      ok(await pgC.setQuorum({ epoch: 8, acknowledgements: 0, standbys: [] }, within(5000)));
      // Cut off from its standbys, c goes on alone; asynchronously, so that the tail is acknowledged.
      const sealedA = ok(await pgA.seal({ basis: 30 }, within(5000)));
      ok(await pgB.seal({ basis: 30 }, within(5000)));
      const alone = await place.client(c);
      for (let i = 0; i < 5; i += 1) await alone.write(`lost ${i}`);
      alone.close();
      ok(await pgC.end(within(5000)));
      ok(await pgA.promote({ epoch: 9, acknowledgements: 0, standbys: [] }, within(5000)));
      const began = performance.now();
      const back = ok(
        await pgC.rejoin({ upstream: place.upstream(a, 9), onProgress: () => undefined }, within(60_000)),
      );
      report(t, `rejoin of a diverged member (${back.how})`, [ms(began)]);
      assert.ok(back.how === "rewound" || back.how === "seeded");
      assert.ok(back.divergence);
      assert.equal(back.divergence.transactions.length, 5);
      assert.equal(back.divergence.forkedAt, sealedA.position);
      const seen = await pgC.inspect(500);
      assert.deepEqual([seen.state, seen.epoch, seen.streaming], ["standby", 9, true]);
      const client = await place.client(a);
      assert.deepEqual(
        [...(await client.keys())].filter((key) => key.startsWith("lost")),
        [],
      );
      client.close();
    },
  );

  await fact("nobody follows a member that does not lead the epoch", async () => {
    const wrong = await pgB.follow({ upstream: place.upstream(c, 9), promotedAt: null }, within(3000));
    assert.equal(wrong.kind, "failed");
    const early = await pgB.follow({ upstream: place.upstream(a, 10), promotedAt: null }, within(3000));
    assert.equal(early.kind, "failed");
    ok(await pgB.rejoin({ upstream: place.upstream(a, 9), onProgress: () => undefined }, within(30_000)));
  });
}

interface Switchover {
  readonly prepareStop: number;
  readonly stopInOrder: number;
  readonly seal: number;
  readonly promote: number;
  readonly follow: number;
}

async function switchOver(
  place: DatabasePlace,
  request: {
    readonly from: Database;
    readonly to: Database;
    readonly fromName: string;
    readonly toName: string;
    readonly epoch: number;
  },
): Promise<Outcome<Switchover>> {
  const { from, to, fromName, toName, epoch } = request;
  const at: number[] = [performance.now()];
  const lap = () => at.push(performance.now());
  ok(await from.prepareStop(within(10_000)));
  lap();
  const stopped = ok(await from.stopInOrder(within(10_000)));
  lap();
  const sealed = ok(await to.seal({ basis: epoch }, within(5000)));
  lap();
  assert.equal(sealed.position, stopped.position, "the standby has all up to the very end");
  ok(await to.promote({ epoch, acknowledgements: 1, standbys: [fromName] }, within(5000)));
  lap();
  ok(await from.startSealed({ basis: 0 }, within(10_000)));
  const began = performance.now();
  ok(await from.follow({ upstream: place.upstream(toName, epoch), promotedAt: null }, within(10_000)));
  const [a, b, c, d, e] = at as [number, number, number, number, number];
  return {
    kind: "succeeded",
    prepareStop: b - a,
    stopInOrder: c - b,
    seal: d - c,
    promote: e - d,
    follow: ms(began),
  };
}

/** Position of the primary once the standby has it. */
async function settled(primary: Database, standby: Database): Promise<number> {
  const { position } = await primary.inspect(500);
  await eventually(standby, (seen) => position <= seen.position);
  return position;
}

async function startLoad(place: DatabasePlace, name: string, clients: number) {
  let isStopping = false;
  const acknowledged = new Set<string>();
  const failures: string[] = [];
  const all = await Promise.all(Array.from({ length: clients }, () => place.client(name)));
  const prefix = `${name}-${performance.now()}`;
  const loops = all.map(async (client, index) => {
    for (let i = 0; !isStopping; i += 1) {
      const key = `${prefix}-${index}-${i}`;
      try {
        await client.write(key);
        acknowledged.add(key);
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
        return;
      }
    }
  });
  return {
    acknowledged: () => acknowledged.size,
    keys: () => acknowledged,
    failures: () => failures,
    async moreThan(count: number) {
      const before = acknowledged.size;
      const deadline = performance.now() + 5000;
      while (acknowledged.size <= before + count) {
        assert.ok(
          performance.now() < deadline,
          `no more than ${acknowledged.size - before} writes; ${failures}`,
        );
        await new Promise((wake) => setTimeout(wake, 2));
      }
    },
    async stop() {
      isStopping = true;
      await Promise.all(loops);
      for (const client of all) client.close();
    },
  };
}

/** What the kernel had received before this was called has been read when it resolves. */
async function drainSockets(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await nextTurn();
}

/** The condition holds at every look during the span. */
async function quiet(spanMs: number, holds: () => boolean): Promise<void> {
  const until = performance.now() + spanMs;
  while (performance.now() < until) {
    assert.ok(holds());
    await new Promise((wake) => setTimeout(wake, 2));
  }
  assert.ok(holds());
}

function report(t: TestContext, what: string, took: readonly number[]): void {
  const sorted = [...took].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] as number;
  t.diagnostic(
    `${what}: median ${median.toFixed(0)} ms of ${took.length}, worst ${(sorted.at(-1) as number).toFixed(0)} ms`,
  );
}

export function within(spanMs: number): AbortSignal {
  return AbortSignal.timeout(spanMs);
}

/** The outcome's values; anything but success fails the test with what it says. */
export function ok<T>(outcome: Outcome<T>): T {
  if (outcome.kind !== "succeeded") assert.fail(`${outcome.kind}: ${outcome.because}`);
  return outcome;
}

export async function eventually(
  database: Database,
  holds: (seen: MemberInspection) => boolean,
  spanMs = 5000,
): Promise<MemberInspection> {
  const until = performance.now() + spanMs;
  for (;;) {
    const seen = await database.inspect(500);
    if (holds(seen)) return seen;
    if (until < performance.now()) assert.fail(`still ${JSON.stringify(seen)}`);
    await new Promise((wake) => setTimeout(wake, 10));
  }
}
