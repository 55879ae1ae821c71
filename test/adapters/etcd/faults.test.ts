/** The etcd store while members stop, die, lose their leader or their quorum, and while an endpoint swallows. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { openEtcdStore } from "../../../src/adapters/etcd/etcd.ts";
import { type Store, StoreError } from "../../../src/ports/store.ts";
import { revisionOf } from "../../contract/store-model.ts";
import { eventually } from "../../contract/store-place.ts";
import { Reader } from "../../contract/store-reader.ts";
import { type Relay, startRelay } from "./blackhole.ts";
import { type EtcdCluster, hasEtcd, leaveOut, startCluster } from "./cluster.ts";

/** What a renewal of the profile `fast` could be given. */
const WRITE_TIMEOUT_MS = 700;
const deadline = (ms = 20_000) => AbortSignal.timeout(ms);

let shared: Promise<EtcdCluster> | null = null;
let topologies = 0;
after(async () => (await shared)?.[Symbol.asyncDispose]());

inCluster(
  "an attempt may take an odd number of milliseconds, as with the profile balanced",
  async (cluster) => {
    const store = await openEtcdStore({ ...optionsOf(cluster), callTimeoutMs: 625 });
    try {
      assert.equal(await store.get("odd", deadline()), null);
    } finally {
      await store.close();
    }
  },
);

inCluster("a member that is stopped costs no more than one attempt, and no event", async (cluster) => {
  const leader = await cluster.leader();
  const follower = cluster.members.find((member) => member !== leader)!;
  const gapMs = await underLoad(cluster, othersAfter(cluster, follower.url), async (written) => {
    follower.signal("SIGSTOP");
    await written(20);
    follower.signal("SIGCONT");
  });
  // One attempt of 700 ms and a reconnection; the rest for a busy machine.
  assert.ok(gapMs < 2500, `no write for ${gapMs} ms`);
});

inCluster("the nearest endpoint is used, and gone back to when it answers again", (cluster) =>
  comesBack(cluster, false),
);

inCluster("an endpoint that was not there at the start is measured when it answers", (cluster) =>
  comesBack(cluster, true),
);

inCluster(
  "where none answered at the start, as with etcd started a moment later, the nearest is found",
  async (cluster) => {
    const [one, other] = cluster.members;
    assert.ok(one && other);
    await using far = await startRelay(Number(new URL(one.url).port), 30);
    await using near = await startRelay(Number(new URL(other.url).port));
    for (const relay of [far, near]) relay.stall(true);
    const opening = open(
      cluster,
      [far, near].map(({ port }) => `http://127.0.0.1:${port}`),
    );
    await setTimeout(1500);
    far.stall(false);
    const store = await opening;
    near.stall(false);
    try {
      await eventuallyAsync(async () => {
        const before = [far.bytes, near.bytes];
        await store.get("any", deadline());
        return far.bytes === before[0] && before[1] !== near.bytes;
      });
    } finally {
      await store.close();
    }
  },
);

inCluster("an endpoint that is far is not taken for one that is silent", async (cluster) => {
  const [one, other] = cluster.members;
  assert.ok(one && other);
  await using far = await startRelay(Number(new URL(one.url).port), 80);
  await using near = await startRelay(Number(new URL(other.url).port));
  const endpoints = [near, far].map(({ port }) => `http://127.0.0.1:${port}`);
  // Less than there and back.
  const store = await openEtcdStore({ ...optionsOf(cluster), endpoints, callTimeoutMs: 150 });
  try {
    near.stall(true);
    // The first one finds out, and its outcome is not known.
    await store.compareAndSwap("a", 0, "a", deadline());
    for (const key of ["b", "c", "d"]) {
      const outcome = await store.compareAndSwap(key, 0, key, deadline());
      assert.equal(outcome.kind, "succeeded", JSON.stringify(outcome));
    }
  } finally {
    await store.close();
  }
});

inCluster(
  "an endpoint that stands still is not gone back to when another one answers again",
  async (cluster) => {
    await using relays = new AsyncDisposableStack();
    const [near, next, far] = await Promise.all(
      cluster.endpoints.map(async (endpoint, index) =>
        relays.use(await startRelay(Number(new URL(endpoint).port), 15 * index)),
      ),
    );
    assert.ok(near && next && far);
    const store = await openEtcdStore({
      ...optionsOf(cluster),
      endpoints: [near, next, far].map(({ port }) => `http://127.0.0.1:${port}`),
      callTimeoutMs: 300,
    });
    /** One attempt at what stalls, whose outcome is not known; all that follow go to one that answers. */
    const leaves = async (stalling: Relay, key: string) => {
      stalling.stall(true);
      assert.equal((await store.compareAndSwap(`${key} first`, 0, key, deadline())).kind, "unknown");
      for (const then of ["second", "third"]) {
        const outcome = await store.compareAndSwap(`${key} ${then}`, 0, key, deadline());
        assert.equal(outcome.kind, "succeeded", JSON.stringify(outcome));
      }
    };
    try {
      await leaves(near, "near");
      await leaves(next, "next");
      next.stall(false);
      const before = next.bytes;
      await eventually("it is asked whether it is back", () => before < next.bytes);
      await eventually("it has answered, and is asked no more", async () => {
        const { bytes } = next;
        await setTimeout(1200);
        return bytes === next.bytes;
      });
      await leaves(far, "far");
    } finally {
      await store.close();
    }
  },
);

inCluster("a call that had no answer in time ends no watch that goes on telling", async (cluster) => {
  const leader = await cluster.leader();
  const [one, other] = cluster.members.filter((member) => member !== leader);
  assert.ok(one && other);
  await using near = await startRelay(Number(new URL(one.url).port));
  await using far = await startRelay(Number(new URL(other.url).port), 30);
  const endpoints = [near, far].map(({ port }) => `http://127.0.0.1:${port}`);
  const store = await openEtcdStore({ ...optionsOf(cluster), endpoints, callTimeoutMs: 150 });
  const writer = await open(cluster, [other.url]);
  using reader = new Reader(store, "", 0);
  const write = async (key: string): Promise<void> => {
    const outcome = await writer.compareAndSwap(key, 0, key, deadline());
    if (outcome.kind !== "succeeded") return write(`${key} again`);
    await reader.reaches(outcome.revision);
  };
  try {
    await reader.sees("snapshot", 1);
    leader.signal("SIGSTOP");
    assert.equal((await store.compareAndSwap("slow", 0, "slow", deadline(300))).kind, "unknown");
    leader.signal("SIGCONT");
    // Longer than a connection that was left is kept, and than it is asked whether it answers again.
    for (let n = 0; n < 25; n += 1) {
      await write(`meanwhile ${n}`);
      await setTimeout(100);
    }
    const before = near.bytes;
    await write("then");
    assert.ok(before < near.bytes, "the watch left the nearest endpoint");
  } finally {
    await store.close();
    await writer.close();
  }
});

inCluster("a leader that is killed costs an election, and no event", async (cluster) => {
  const leader = await cluster.leader();
  const gapMs = await underLoad(cluster, othersAfter(cluster, leader.url), async (written) => {
    await leader.kill();
    await written(20);
    leader.start();
    await written(20);
  });
  // An election at 1 s takes up to 2 s, and one more after a split vote.
  assert.ok(gapMs < 8000, `no write for ${gapMs} ms`);
});

inCluster("a leader that moves costs no event", async (cluster) => {
  const leader = await cluster.leader();
  const next = cluster.members.find((member) => member !== leader)!;
  const gapMs = await underLoad(cluster, cluster.endpoints, async (written) => {
    await cluster.control(["move-leader", await cluster.idOf(next)], leader);
    assert.equal(await cluster.leader(), next);
    await written(20);
  });
  assert.ok(gapMs < 2500, `no write for ${gapMs} ms`);
});

inCluster(
  "without a quorum every call ends in time and nothing is written, and with it all goes on",
  async (cluster) => {
    const [store, other] = [await open(cluster), await open(cluster)];
    const first = await store.compareAndSwap("a", 0, "0", deadline());
    assert.ok(first.kind === "succeeded");
    using reader = new Reader(other, "", first.revision);
    await reader.sees("progress", 1);
    const [one, two] = cluster.members;
    await Promise.all([one!.kill(), two!.kill()]);
    const startedAt = performance.now();
    const [outcome] = await Promise.all([
      store.compareAndSwap("a", first.revision, "1", deadline(1500)),
      assert.rejects(store.get("a", deadline(1000)), timedOut),
      assert.rejects(store.list("", deadline(1000)), timedOut),
    ]);
    assert.ok(performance.now() - startedAt < 3000);
    assert.equal(outcome.kind, "unknown");
    await reader.sees("lost", 1);
    one!.start();
    two!.start();
    await cluster.ready();
    const record = await store.get("a", deadline());
    assert.ok(record !== null);
    if (outcome.kind === "unknown" && outcome.because.includes("certainly not written"))
      assert.equal(record.value, "0");
    const last = await store.compareAndSwap("a", record.revision, "2", deadline());
    assert.ok(last.kind === "succeeded", JSON.stringify(last));
    await reader.reaches(last.revision);
    assert.deepEqual(reader.model.get("a")?.value, "2");
    await store.close();
    await other.close();
  },
);

inCluster("an endpoint that swallows costs one attempt, and no event", async (cluster) => {
  // The others are farther, so that it is the one in use.
  await using relays = new AsyncDisposableStack();
  const [relay, ...rest] = await Promise.all(
    cluster.endpoints.map(async (endpoint, index) =>
      relays.use(await startRelay(Number(new URL(endpoint).port), index === 0 ? 0 : 15)),
    ),
  );
  const endpoints = [relay!, ...rest].map(({ port }) => `http://127.0.0.1:${port}`);
  const gapMs = await underLoad(cluster, endpoints, async (written) => {
    relay!.stall(true);
    await written(20);
    relay!.stall(false);
    await written(5);
  });
  // The attempt that it costs, and it was in use.
  assert.ok(300 < gapMs && gapMs < 2500, `no write for ${gapMs} ms`);
});

inCluster(
  "what the way keeps back for less than a silence arrives late, and nothing is missing",
  async (cluster) => {
    await using relay = await startRelay(Number(new URL(cluster.endpoints[0]!).port));
    const [writer, watcher] = [await open(cluster), await open(cluster, [`http://127.0.0.1:${relay.port}`])];
    using reader = new Reader(watcher, "", 0);
    await reader.sees("snapshot", 1);
    let revision = 0;
    const write = async (value: string) => {
      const outcome = await writer.compareAndSwap("a", revision, value, deadline());
      assert.ok(outcome.kind === "succeeded", JSON.stringify(outcome));
      revision = outcome.revision;
    };
    await write("before");
    await reader.reaches(revision);
    relay.stall(true);
    await write("meanwhile");
    await setTimeout(50);
    relay.stall(false);
    await write("after");
    await reader.reaches(revision);
    assert.deepEqual(
      reader.model.history.map((change) => change.kind === "put" && change.record.value),
      ["before", "meanwhile", "after"],
    );
    await writer.close();
    await watcher.close();
  },
);

inCluster(
  "a watch that was lost comes back where every answer takes most of an attempt's deadline",
  async (cluster) => {
    await using relays = new AsyncDisposableStack();
    const slow: Relay[] = [];
    for (const endpoint of cluster.endpoints)
      slow.push(relays.use(await startRelay(Number(new URL(endpoint).port), 90)));
    const [near, store] = [
      await open(cluster),
      await openEtcdStore({
        ...optionsOf(cluster),
        endpoints: slow.map(({ port }) => `http://127.0.0.1:${port}`),
        callTimeoutMs: 300,
      }),
    ];
    // Lost from the beginning: two answers of some 190 ms each are needed before it is found again.
    for (const relay of slow) relay.stall(true);
    using reader = new Reader(store, "", 0);
    await reader.sees("lost", 1);
    for (const relay of slow) relay.stall(false);
    const written = await near.compareAndSwap("a", 0, "1", deadline());
    assert.ok(written.kind === "succeeded", JSON.stringify(written));
    await reader.reaches(written.revision);
    await store.close();
    await near.close();
  },
);

inCluster("an endpoint that swallows from the start is passed over", async (cluster) => {
  await using relay = await startRelay(Number(new URL(cluster.endpoints[0]!).port));
  relay.stall(true);
  const store = await open(cluster, [`http://127.0.0.1:${relay.port}`, ...cluster.endpoints.slice(1)]);
  assert.equal((await store.compareAndSwap("a", 0, "1", deadline(1000))).kind, "succeeded");
  await store.close();
});

inCluster(
  "a watch whose history was compacted while it was lost goes on with a snapshot",
  async (cluster) => {
    const [first] = cluster.endpoints;
    await using relay = await startRelay(Number(new URL(first!).port));
    const [writer, watcher] = [await open(cluster), await open(cluster, [`http://127.0.0.1:${relay.port}`])];
    const begin = await writer.compareAndSwap("a", 0, "0", deadline());
    assert.ok(begin.kind === "succeeded");
    using reader = new Reader(watcher, "", begin.revision);
    await reader.sees("progress", 1);
    relay.stall(true);
    await reader.sees("lost", 1);
    let revision = begin.revision;
    for (let value = 1; value <= 5; value += 1) {
      const outcome = await writer.compareAndSwap("a", revision, String(value), deadline());
      assert.ok(outcome.kind === "succeeded");
      revision = outcome.revision;
    }
    await cluster.control(["compact", String(revision)]);
    relay.stall(false);
    await reader.reaches(revision);
    assert.equal(
      reader.events.find(({ kind }) => kind === "snapshot" || kind === "changes")?.kind,
      "snapshot",
    );
    assert.equal(reader.model.get("a")?.value, "5");
    await writer.close();
    await watcher.close();
  },
);

inCluster("records of another schema are not touched", async (cluster) => {
  const options = optionsOf(cluster);
  await cluster.control(["put", `holdfast/${encodeURIComponent(options.topology)}/schema`, "2"]);
  await assert.rejects(openEtcdStore(options), (error) => {
    assert.ok(error instanceof StoreError && error.code === "HOLDFAST_STORE_OTHER_SCHEMA");
    assert.match(error.message, /records have schema 2, and this program knows schema 1/);
    return true;
  });
});

inCluster("two topologies in one cluster see nothing of each other", async (cluster) => {
  const base = `nested ${process.pid}`;
  const stores = await Promise.all(
    [base, `${base}/record`, `${base}/record/a`, `${base}%2Frecord`].map((topology) =>
      openEtcdStore({ ...optionsOf(cluster), topology }),
    ),
  );
  for (const [index, store] of stores.entries()) {
    const outcome = await store.compareAndSwap("a", 0, String(index), deadline());
    assert.equal(outcome.kind, "succeeded");
  }
  for (const [index, store] of stores.entries()) {
    const { records } = await store.list("", deadline());
    assert.deepEqual(
      records.map(({ key, value }) => [key, value]),
      [["a", String(index)]],
    );
    await store.close();
  }
});

test("no endpoint at all is said within the time to open", async () => {
  const startedAt = performance.now();
  await assert.rejects(
    openEtcdStore({ endpoints: ["http://127.0.0.1:1"], topology: "t", openTimeoutMs: 500 }),
    (error) => {
      assert.ok(error instanceof StoreError && error.retryable);
      assert.match(error.message, /127\.0\.0\.1:1: .*ECONNREFUSED/);
      return true;
    },
  );
  assert.ok(performance.now() - startedAt < 1000);
});

/**
 * Writes one record again and again through `endpoints` while another client watches, troubles the cluster, and checks
 * that every acknowledged write was told once and in order. Resolves with the longest time between two of them.
 */
async function underLoad(
  cluster: EtcdCluster,
  endpoints: readonly string[],
  trouble: (written: (more: number) => Promise<void>) => Promise<void>,
): Promise<number> {
  const options = { ...optionsOf(cluster), endpoints };
  const [writer, watcher] = [await openEtcdStore(options), await openEtcdStore(options)];
  let running = true;
  try {
    const begin = await writer.compareAndSwap("load", 0, "begin", deadline());
    assert.ok(begin.kind === "succeeded");
    using reader = new Reader(watcher, "", begin.revision);
    await reader.sees("progress", 1);
    const acknowledged: { readonly revision: number; readonly value: string; readonly at: number }[] = [];
    const writing = writeOn(writer, begin.revision, () => running, acknowledged);
    const written = async (more: number) => {
      const target = acknowledged.length + more;
      await eventually(`${more} more writes`, () => target <= acknowledged.length);
    };
    await written(5);
    await trouble(written);
    running = false;
    await writing;
    await reader.reaches(acknowledged.at(-1)!.revision);
    const told = new Map(reader.model.history.map((change) => [revisionOf(change), change]));
    assert.equal(told.size, reader.model.history.length);
    for (const { revision, value } of acknowledged)
      assert.deepEqual(told.get(revision), { kind: "put", record: { key: "load", value, revision } });
    return Math.max(...acknowledged.slice(1).map(({ at }, index) => at - acknowledged[index]!.at));
  } finally {
    running = false;
    await writer.close();
    await watcher.close();
  }
}

async function writeOn(
  store: Store,
  from: number,
  running: () => boolean,
  acknowledged: { revision: number; value: string; at: number }[],
): Promise<void> {
  let revision = from;
  for (let count = 0; running(); count += 1) {
    const value = `write ${count}`;
    const outcome = await store.compareAndSwap("load", revision, value, deadline(WRITE_TIMEOUT_MS));
    if (outcome.kind === "succeeded") {
      revision = outcome.revision;
      acknowledged.push({ revision, value, at: performance.now() });
    } else {
      // Unknown, or a conflict with one that was unknown: only the record tells.
      const record = await store.get("load", deadline(WRITE_TIMEOUT_MS)).catch(() => null);
      if (record !== null) revision = record.revision;
    }
    await setTimeout(10);
  }
}

function inCluster(fact: string, body: (cluster: EtcdCluster) => Promise<void>): void {
  void test(fact, { timeout: 120_000 }, async (context) => {
    if (!hasEtcd) {
      leaveOut(context);
      return;
    }
    shared ??= startCluster({ size: 3 });
    const cluster = await shared;
    await cluster.ready();
    topologies += 1;
    await body(cluster);
  });
}

/** The same within a test. */
function optionsOf(cluster: EtcdCluster) {
  const topology = `faults ${process.pid}/${topologies}`;
  return { endpoints: cluster.endpoints, topology, openTimeoutMs: 20_000 };
}

function open(cluster: EtcdCluster, endpoints = cluster.endpoints): Promise<Store> {
  return openEtcdStore({ ...optionsOf(cluster), endpoints });
}

async function comesBack(cluster: EtcdCluster, isLate: boolean): Promise<void> {
  const [one, other] = cluster.members;
  assert.ok(one && other);
  await using far = await startRelay(Number(new URL(one.url).port), 30);
  await using near = await startRelay(Number(new URL(other.url).port));
  near.stall(isLate);
  const store = await open(
    cluster,
    [far, near].map(({ port }) => `http://127.0.0.1:${port}`),
  );
  using reader = new Reader(store, "", 0);
  // On a busy machine a member takes longer than an attempt now and then: only a write that is certain is waited for.
  const write = async (key: string, tries = 3): Promise<void> => {
    const outcome = await store.compareAndSwap(`${key} ${tries}`, 0, key, deadline());
    if (outcome.kind === "succeeded") return reader.reaches(outcome.revision);
    assert.ok(outcome.kind === "unknown" && tries > 1, JSON.stringify(outcome));
    return write(key, tries - 1);
  };
  try {
    const farBefore = far.bytes;
    await write("near");
    assert.equal(far.bytes === farBefore, !isLate);
    near.stall(true);
    await eventuallyAsync(
      async () => (await store.get("any", deadline(700)).catch(() => undefined)) === null,
    );
    assert.ok(far.bytes > farBefore);
    near.stall(false);
    await eventuallyAsync(async () => {
      const before = far.bytes;
      await store.get("any", deadline());
      return far.bytes === before;
    });
    await write("back");
  } finally {
    await store.close();
  }
}

async function eventuallyAsync(condition: () => Promise<boolean>): Promise<void> {
  const over = deadline(30_000);
  while (!(await condition())) over.throwIfAborted();
}

function othersAfter(cluster: EtcdCluster, first: string): readonly string[] {
  return [first, ...cluster.endpoints.filter((url) => url !== first)];
}

function timedOut(error: unknown): boolean {
  return error instanceof StoreError && error.code === "HOLDFAST_STORE_TIMEOUT" && error.retryable;
}
