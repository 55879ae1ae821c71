/** What every adapter of the port `store` must do: `storeContract(name, newPlace)` registers the cases. */
import assert from "node:assert/strict";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { suite, test } from "node:test";
import fc from "fast-check";
import {
  type Store,
  type StoreChange,
  StoreError,
  storeLimits,
  type WatchEvent,
} from "../../src/ports/store.ts";
import { revisionOf, StoreModel } from "./store-model.ts";
import { eventually, type StorePlace, startClient } from "./store-place.ts";
import { Reader } from "./store-reader.ts";

/** More than any store here needs, so that a busy machine fails no case that is not about time. */
const PATIENCE_MS = 30_000;

const deadline = (ms = PATIENCE_MS) => AbortSignal.timeout(ms);

export function storeContract(name: string, newPlace: () => Promise<StorePlace>): void {
  void suite(`store contract: ${name}`, () => {
    const inPlace = (fact: string, body: (place: StorePlace) => Promise<void>): void => {
      void test(fact, { timeout: 120_000 }, async () => {
        const place = await newPlace();
        try {
          await body(place);
        } finally {
          await place.remove();
        }
      });
    };
    const withStore = (fact: string, body: (store: Store, place: StorePlace) => Promise<void>): void =>
      inPlace(fact, async (place) => {
        const store = await place.open();
        try {
          await body(store, place);
        } finally {
          await store.close();
        }
      });

    withStore(
      "a record is created only where none stands, and a conflict shows what stands",
      async (store) => {
        const first = await swap(store, "lease/a", 0, "1");
        const second = await store.compareAndSwap("lease/a", 0, "2", deadline());
        const standing = { key: "lease/a", value: "1", revision: first };
        assert.deepEqual(second, { kind: "conflict", current: standing });
        assert.deepEqual(await store.get("lease/a", deadline()), standing);
        assert.deepEqual(await store.compareAndSwap("lease/b", first, "2", deadline()), {
          kind: "conflict",
          current: null,
        });
        assert.equal(await store.get("lease/b", deadline()), null);
      },
    );

    withStore(
      "a record is replaced and deleted at its last revision only, and revisions only rise",
      async (store) => {
        const first = await swap(store, "a", 0, "1");
        const other = await swap(store, "b", 0, "1");
        const second = await swap(store, "a", first, "2");
        assert.ok(0 < first && first < other && other < second, `${first} < ${other} < ${second}`);
        for (const stale of [first, other, second + 1, 0])
          for (const value of ["3", null])
            assert.equal((await store.compareAndSwap("a", stale, value, deadline())).kind, "conflict");
        const deletion = await swap(store, "a", second, null);
        assert.ok(second < deletion);
        assert.equal(await store.get("a", deadline()), null);
        assert.equal((await store.compareAndSwap("a", second, "4", deadline())).kind, "conflict");
        const again = await swap(store, "a", 0, "5");
        assert.ok(deletion < again);
      },
    );

    withStore(
      "a write over one whose outcome is not waited for stands, whichever of the two comes first",
      async (store) => {
        for (const order of [0, 1]) {
          const key = `over-${order}`;
          const first = await swap(store, key, 0, "1");
          const renew = () => store.compareAndSwap(key, first, "2", deadline());
          const over = () => store.compareAndSwap(key, first, "3", deadline(), "2");
          const outcomes = await Promise.all(order === 0 ? [renew(), over()] : [over(), renew()]);
          assert.equal(outcomes[1 - order]?.kind, "succeeded", JSON.stringify(outcomes));
          const standing = await store.get(key, deadline());
          assert.equal(standing?.value, "3");
          // What came between neither is nobody's to write over.
          const late = await store.compareAndSwap(key, first, "4", deadline(), "2");
          assert.deepEqual(late, { kind: "conflict", current: standing });
        }
        assert.deepEqual(await store.compareAndSwap("absent", 7, "1", deadline(), "2"), {
          kind: "conflict",
          current: null,
        });
      },
    );

    withStore("deleting what does not exist succeeds and changes nothing", async (store) => {
      const first = await swap(store, "a", 0, "1");
      assert.equal(await swap(store, "b", 0, null), first);
      assert.equal((await store.list("", deadline())).revision, first);
    });

    withStore("a list holds what begins with its prefix, in the order of UTF-8 bytes", async (store) => {
      for (const key of hostileKeys) await swap(store, key, 0, JSON.stringify(key));
      const model = new StoreModel();
      for (const key of hostileKeys) model.compareAndSwap(key, 0, JSON.stringify(key));
      for (const prefix of ["", ...hostileKeys, "no such", "leas", "lease/"]) {
        const { records } = await store.list(prefix, deadline());
        assert.deepEqual(
          records.map(({ key, value }) => [key, value]),
          model.list(prefix).map(({ key, value }) => [key, value]),
          JSON.stringify(prefix),
        );
      }
      for (const key of hostileKeys)
        assert.equal((await store.get(key, deadline()))?.value, JSON.stringify(key), JSON.stringify(key));
    });

    withStore("a value of 256 KiB comes back whole, by get, list and watch", async (store) => {
      const value = JSON.stringify("é".repeat(storeLimits.valueBytesMax / 2 - 1));
      assert.equal(Buffer.byteLength(value), storeLimits.valueBytesMax);
      using watch = new Reader(store, "", 0);
      const revision = await swap(store, "large", 0, value);
      const record = { key: "large", value, revision };
      assert.deepEqual(await store.get("large", deadline()), record);
      assert.deepEqual((await store.list("l", deadline())).records, [record]);
      await watch.reaches(revision);
      assert.deepEqual(watch.model.get("large"), record);
    });

    withStore("what the port does not take is refused, and certainly not written", async (store) => {
      const tooLong = "x".repeat(storeLimits.valueBytesMax + 1);
      for (const [key, value] of [
        ["", "1"],
        ["lone \ud800", "1"],
        ["k".repeat(storeLimits.keyBytesMax + 1), "1"],
        ["a", "lone \udc00"],
        ["a", tooLong],
      ] as const) {
        const outcome = await store.compareAndSwap(key, 0, value, deadline());
        assert.ok(
          outcome.kind === "unknown" && outcome.because.includes("certainly not"),
          JSON.stringify(outcome),
        );
        if (key !== "a") await assert.rejects(store.get(key, deadline()), hasCode("HOLDFAST_STORE_REFUSED"));
      }
      assert.deepEqual((await store.list("", deadline())).records, []);
    });

    inPlace("what one client does is what the model does, and every watch tells the same", async (place) => {
      const [one, two] = [await place.open(), await place.open()];
      // From 0 a watch would begin with a snapshot.
      await swap(one, "first", 0, "1");
      let run = 0;
      try {
        await fc.assert(
          fc.asyncProperty(fc.array(operation, { maxLength: 25 }), async (operations) => {
            run += 1;
            await sameAsModel([one, two], `run-${run}/`, operations);
          }),
          { numRuns: 25 },
        );
      } finally {
        await one.close();
        await two.close();
      }
    });

    inPlace("four processes count exactly, one of them killed", async (place) => {
      const times = 60;
      const clients = ["a", "b", "c", "d"].map((name) =>
        startClient(place, { kind: "count", key: "n", name, times }),
      );
      const victim = clients[3]!;
      try {
        await eventually("the fourth counts", () => 10 <= victim.lines.length);
        victim.kill();
        const codes = await Promise.all(clients.map((client) => client.exit));
        assert.deepEqual(codes, [0, 0, 0, null]);
        const store = await place.open();
        const counter = JSON.parse((await store.get("n", deadline()))?.value ?? "null");
        await store.close();
        const { a, b, c, d } = counter.shares;
        assert.deepEqual([a, b, c], [times, times, times]);
        const acknowledged = victim.lines.length;
        assert.ok(
          d === acknowledged || d === acknowledged + 1,
          `${d} after ${acknowledged} acknowledgements`,
        );
        assert.equal(counter.total, 3 * times + d);
      } finally {
        for (const client of clients) await client[Symbol.asyncDispose]();
      }
    });

    withStore(
      "no change of three writing processes is missing or doubled in any watch or list",
      async (store, place) => {
        const before = await swap(store, "w/before", 0, "1");
        using fromStart = new Reader(store, "w/", 0);
        using fromRevision = new Reader(store, "w/", before);
        using ofPart = new Reader(store, "w/shared/", before);
        const clients = ["a", "b", "c"].map((name) =>
          startClient(place, { kind: "write", prefix: "w/", name, times: 100 }),
        );
        const lists: Awaited<ReturnType<Store["list"]>>[] = [];
        try {
          let running = true;
          const exits = Promise.all(clients.map((client) => client.exit)).finally(() => {
            running = false;
          });
          while (running) {
            lists.push(await store.list("w/", deadline()));
            await new Promise((resolve) => setTimeout(resolve, 20));
          }
          assert.deepEqual(await exits, [0, 0, 0]);
        } finally {
          for (const client of clients) await client[Symbol.asyncDispose]();
        }
        const written = clients
          .flatMap(({ lines }) => lines as { change: StoreChange }[])
          .map(({ change }) => change)
          .sort((x, y) => revisionOf(x) - revisionOf(y));
        assert.equal(written.length, 300);
        const last = revisionOf(written.at(-1)!);
        for (const reader of [fromStart, fromRevision, ofPart]) await reader.reaches(last);
        assert.deepEqual(fromRevision.model.history, written);
        assert.deepEqual(
          ofPart.model.history,
          written.filter((change) => keyOf(change).startsWith("w/shared/")),
        );
        assert.equal(fromStart.events[0]?.kind, "snapshot");
        const missed = written.length - fromStart.model.history.length;
        assert.deepEqual(fromStart.model.history, written.slice(missed));
        using late = new Reader(store, "w/", revisionOf(written[149]!));
        await late.reaches(last);
        assert.deepEqual(late.model.history, written.slice(150));
        assert.deepEqual((await store.list("w/", deadline())).records, fromStart.model.list("w/"));
        assert.ok(0 < lists.length);
        for (const { records, revision } of lists) {
          const then = new StoreModel();
          then.apply({ kind: "put", record: { key: "w/before", value: "1", revision: before } });
          for (const change of written) if (revisionOf(change) <= revision) then.apply(change);
          assert.deepEqual(records, then.list("w/"), `at revision ${revision}`);
        }
      },
    );

    withStore(
      "a watch from a revision whose history is gone begins with a snapshot",
      async (store, place) => {
        const first = await swap(store, "a", 0, "1");
        const second = await swap(store, "b", 0, "1");
        await swap(store, "b", second, null);
        await swap(store, "a", first, "2");
        await place.compact();
        using reader = new Reader(store, "", first);
        const last = (await store.list("", deadline())).revision;
        await reader.reaches(last);
        assert.equal(reader.events[0]?.kind, "snapshot");
        assert.deepEqual(reader.model.list(""), (await store.list("", deadline())).records);
        const next = await swap(store, "c", 0, "1");
        await reader.reaches(next);
        assert.equal(reader.model.get("c")?.revision, next);
      },
    );

    withStore("a watch that is not read for a long time misses nothing", async (store) => {
      const first = await swap(store, "a", 0, "0");
      const stop = new AbortController();
      const iterator = store.watch("a", first, stop.signal)[Symbol.asyncIterator]();
      let revision = first;
      for (let value = 1; value <= 300; value += 1)
        revision = await swap(store, "a", revision, String(value));
      const model = new StoreModel();
      while (model.revision < revision) {
        const { value, done } = await iterator.next();
        assert.ok(!done && model.follow(value));
      }
      assert.deepEqual(
        model.history.map((change) => (change.kind === "put" ? Number(change.record.value) : null)),
        Array.from({ length: 300 }, (_, index) => index + 1),
      );
      stop.abort();
    });

    withStore("a quiet watch gives a sign of life at least once a second", async (store) => {
      using reader = new Reader(store, "", 0);
      await reader.sees("progress", 4);
      const gaps = reader.times.slice(1).map((time, index) => time - (reader.times[index] as number));
      // 200 ms for a busy machine.
      assert.ok(Math.max(...gaps) < 1200, `gaps of ${gaps.map(Math.round).join(", ")} ms`);
    });

    withStore(
      "while the store is lost every call ends in time and the event loop runs",
      async (store, place) => {
        const lags: number[] = [];
        // A machine shared with others may stop this thread once; one that waits for a lock stops it each time.
        for (let attempt = 1; attempt <= 3; attempt += 1) {
          const { over } = await place.lose(1200);
          const lag = monitorEventLoopDelay({ resolution: 1 });
          lag.enable();
          const late = await Promise.all([
            lateness(300, (signal) =>
              assert.rejects(store.get("a", signal), hasCode("HOLDFAST_STORE_TIMEOUT")),
            ),
            lateness(400, (signal) =>
              assert.rejects(store.list("", signal), hasCode("HOLDFAST_STORE_TIMEOUT")),
            ),
            ...Array.from({ length: 20 }, (_, index) =>
              lateness(300 + 10 * index, async (signal) => {
                const outcome = await store.compareAndSwap(`b/${attempt}/${index}`, 0, "2", signal);
                assert.equal(outcome.kind, "unknown");
              }),
            ),
          ]);
          lag.disable();
          const lagMs = lag.max / 1e6;
          lags.push(lagMs);
          await over;
          await settled(store);
          if (Math.max(...late) < 50 && lagMs < 20) return;
        }
        assert.fail(`a call came late, or the event loop stood still for ${lags.join(", ")} ms`);
      },
    );

    withStore("what is given up before it was begun is never written", async (store, place) => {
      const aborted = await store.compareAndSwap("a", 0, "1", AbortSignal.abort());
      assert.equal(aborted.kind, "unknown");
      await assert.rejects(store.get("a", AbortSignal.abort()), hasCode("HOLDFAST_STORE_TIMEOUT"));
      const { over } = await place.lose(600);
      const outcomes = await Promise.all(
        ["b", "c", "d"].map((key) => store.compareAndSwap(key, 0, "1", deadline(200))),
      );
      await over;
      await settled(store);
      assert.equal(await store.get("a", deadline()), null);
      for (const [index, outcome] of outcomes.entries()) {
        assert.equal(outcome.kind, "unknown");
        if (outcome.kind !== "unknown" || !outcome.because.includes("certainly not written")) continue;
        assert.equal(await store.get(["b", "c", "d"][index]!, deadline()), null);
      }
    });

    withStore("a watch says that the store is lost, and then misses nothing", async (store, place) => {
      const first = await swap(store, "a", 0, "0");
      using reader = new Reader(store, "", first);
      await reader.sees("progress", 1);
      const { over } = await place.lose(2500);
      const lostAt = performance.now();
      await reader.sees("lost", 1);
      // A second of silence, counted from the last sign of life; 500 ms for a busy machine.
      assert.ok(performance.now() - lostAt < 1500, `lost after ${performance.now() - lostAt} ms`);
      await over;
      await settled(store);
      const outcome = await store.compareAndSwap("a", first, "1", deadline());
      assert.ok(outcome.kind === "succeeded", JSON.stringify(outcome));
      await reader.reaches(outcome.revision);
      assert.deepEqual(reader.model.history, [
        { kind: "put", record: { key: "a", value: "1", revision: outcome.revision } },
      ]);
      assert.equal(reader.events.filter(({ kind }) => kind === "lost").length, 1);
    });

    withStore("a watch ends by its signal, by its reader, and by close", async (store) => {
      const stop = new AbortController();
      const bySignal = store.watch("", 0, stop.signal)[Symbol.asyncIterator]();
      await bySignal.next();
      const waiting = untilEnd(bySignal);
      stop.abort();
      await waiting;
      for await (const _ of store.watch("", 0, new AbortController().signal)) break;
      for await (const _ of store.watch("", 0, AbortSignal.abort()))
        assert.fail("an ended watch told something");
      const byClose = untilEnd(store.watch("", 0, new AbortController().signal)[Symbol.asyncIterator]());
      await store.close();
      await byClose;
    });

    withStore("after close, which may be called twice, every call is refused", async (store) => {
      await Promise.all([store.close(), store.close()]);
      await assert.rejects(store.get("a", deadline()), hasCode("HOLDFAST_STORE_CLOSED"));
      await assert.rejects(store.list("", deadline()), hasCode("HOLDFAST_STORE_CLOSED"));
      assert.equal((await store.compareAndSwap("a", 0, "1", deadline())).kind, "unknown");
      for await (const _ of store.watch("", 0, deadline())) assert.fail("a closed store told something");
    });

    inPlace("a process whose store is closed ends by itself", async (place) => {
      await using client = startClient(place, { kind: "open-and-close" });
      assert.equal(await client.exit, 0);
      assert.deepEqual(client.lines, [{ closed: true }]);
    });
  });
}

/** Bytes and code points that tempt quoting, patterns, ends of strings, and orders by UTF-16. */
const hostileKeys = [
  "lease/orders-db",
  "lease/orders-db/",
  "lease",
  "lease0",
  "a",
  "a\0",
  "a\0b",
  "a\n",
  "'; DROP TABLE record; --",
  "%",
  "_",
  "*[a-z]",
  "\\",
  "\u007f",
  "é",
  "e\u0301",
  "\ud7ff",
  "\ue000",
  "\uffff",
  "\u{10000}",
  "🙂",
  "\u{10ffff}",
  "\u{10ffff}\u{10ffff}",
  "../../etc/passwd",
  "k".repeat(storeLimits.keyBytesMax),
];

interface Operation {
  readonly client: 0 | 1;
  readonly key: string;
  readonly expect: "current" | "stale" | "none";
  readonly value: string | null;
  readonly orValue: "none" | "standing" | "other";
}

/** Few keys, so that operations meet. */
const operation: fc.Arbitrary<Operation> = fc.record({
  client: fc.constantFrom(0 as const, 1 as const),
  key: fc.constantFrom("a", "a/", "a/b", "b", "🙂", "\uffff"),
  expect: fc.constantFrom("current" as const, "current" as const, "stale" as const, "none" as const),
  value: fc.option(fc.json({ maxDepth: 1 }), { freq: 4 }),
  orValue: fc.constantFrom("none" as const, "none" as const, "standing" as const, "other" as const),
});

async function sameAsModel(
  stores: readonly [Store, Store],
  base: string,
  operations: readonly Operation[],
): Promise<void> {
  const model = new StoreModel();
  model.revision = (await stores[0].list("", deadline())).revision;
  using watch = new Reader(stores[1], base, model.revision);
  for (const { client, key: name, expect, value, orValue } of operations) {
    const key = base + name;
    const current = model.get(key)?.revision ?? 0;
    const revision = expect === "none" ? 0 : expect === "current" ? current : Math.max(1, current - 1);
    const or = orValue === "none" ? undefined : orValue === "standing" ? model.get(key)?.value : `${value} `;
    const actual = await stores[client].compareAndSwap(key, revision, value, deadline(), or);
    assert.deepEqual(actual, model.compareAndSwap(key, revision, value, or));
    assert.deepEqual(await stores[1 - client]!.get(key, deadline()), model.get(key));
  }
  for (const prefix of [base, `${base}a`, `${base}a/`])
    assert.deepEqual(await stores[0].list(prefix, deadline()), {
      records: model.list(prefix),
      revision: model.revision,
    });
  if (0 < model.history.length) await watch.reaches(model.revision);
  assert.deepEqual(watch.model.history, model.history);
}

async function swap(store: Store, key: string, expect: number, value: string | null): Promise<number> {
  const outcome = await store.compareAndSwap(key, expect, value, deadline());
  assert.ok(outcome.kind === "succeeded", `${key}: ${JSON.stringify(outcome)}`);
  return outcome.revision;
}

/** The store answers again. */
async function settled(store: Store): Promise<void> {
  const endsAt = performance.now() + PATIENCE_MS;
  for (;;) {
    const answered = await store.get("any", deadline(1000)).then(
      () => true,
      () => false,
    );
    if (answered) return;
    assert.ok(performance.now() < endsAt, "the store answers again");
  }
}

async function untilEnd(iterator: AsyncIterator<WatchEvent>): Promise<void> {
  while (!(await iterator.next()).done);
}

/** By how many milliseconds `work` ended after its deadline. */
async function lateness(deadlineMs: number, work: (signal: AbortSignal) => Promise<void>): Promise<number> {
  const endsAt = performance.now() + deadlineMs;
  await work(deadline(deadlineMs));
  return performance.now() - endsAt;
}

function keyOf(change: StoreChange): string {
  return change.kind === "put" ? change.record.key : change.key;
}

function hasCode(code: StoreError["code"]): (error: unknown) => boolean {
  return (error) => error instanceof StoreError && error.code === code;
}
