/** Orders for a level in a real store: the newest stands, and it ends by itself, whoever counts. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openStore } from "../../src/adapters/adapters.ts";
import { orderLevel, type SeenOrders, watchOrders } from "../../src/agent/levels.ts";
import {
  degradationsOf,
  type LevelRecord,
  orderedLevel,
  ordersKept,
} from "../../src/core/model/degradation.ts";
import type { Store } from "../../src/ports/store.ts";
import { threeRegions } from "./three-regions.ts";

async function open() {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-levels-"));
  const topology = {
    ...threeRegions(),
    store: { kind: "embedded", path: join(folder, "store.db") },
  } as const;
  const store = await openStore(topology, folder, 2000);
  const clock = { at: 0, wallAt: 1_000_000, now: () => clock.at, wall: () => clock.wallAt };
  return {
    store,
    clock,
    async [Symbol.asyncDispose]() {
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const soon = () => AbortSignal.timeout(5000);

async function stands(store: Store): Promise<{ readonly record: LevelRecord; readonly revision: number }> {
  const found = await store.get("level/orders", soon());
  assert.ok(found);
  return { record: JSON.parse(found.value) as LevelRecord, revision: found.revision };
}

/** As the agent's machine tells it: what the store holds now. */
async function look(orders: SeenOrders, store: Store): Promise<number> {
  await orders.look({ orders: await stands(store) });
  return orderedLevel((await stands(store)).record);
}

test("an order says who, why and for how long; the next one ends it, and what was before is kept", async () => {
  await using place = await open();
  const order = (level: number, by: string) =>
    orderLevel(place, "orders", { level, forMs: 60_000, by, why: `for ${by}` }, soon());
  assert.equal((await order(2, "anna")).kind, "ordered");
  place.clock.wallAt = 2_000_000;
  await order(1, "ben");
  await order(0, "anna");
  const { record } = await stands(place.store);
  assert.equal(orderedLevel(record), 0);
  assert.deepEqual(
    degradationsOf(record).map(({ id, level, by, why, forMs, ended }) => [id, level, by, why, forMs, ended]),
    [
      ["orders-level-2", 1, "ben", "for ben", 60_000, { at: 2_000_000, because: "anna ordered level 0" }],
      ["orders-level-1", 2, "anna", "for anna", 60_000, { at: 2_000_000, because: "ben ordered level 1" }],
    ],
  );
});

test("many at once are all taken, one after the other, and the record stays small", async () => {
  await using place = await open();
  for (let round = 0; round < 30; round++) {
    const outcomes = await Promise.all(
      ["anna", "ben"].map((by) => orderLevel(place, "orders", { level: 1, forMs: 0, by, why: "" }, soon())),
    );
    assert.deepEqual(
      outcomes.map(({ kind }) => kind),
      ["ordered", "ordered"],
    );
  }
  const { record } = await stands(place.store);
  assert.equal(record.order.number, 60);
  assert.equal(record.before.length, ordersKept);
  assert.ok(record.before.every(({ ended }) => ended !== null));
});

test("O2: it ends after its time by the clock of who saw it, whatever the wall clock does", async () => {
  await using place = await open();
  await orderLevel(place, "orders", { level: 2, forMs: 1000, by: "anna", why: "" }, soon());
  const orders = watchOrders(place, () => {});
  assert.equal(await look(orders, place.store), 2);
  place.clock.wallAt += 86_400_000;
  place.clock.at = 999;
  assert.equal(await look(orders, place.store), 2);
  place.clock.at = 1000;
  assert.equal(await look(orders, place.store), 0);
  const { record } = await stands(place.store);
  assert.equal(record.order.ended?.because, "its time was over");
  // Once it is ended nobody writes again.
  const { revision } = await stands(place.store);
  place.clock.at = 5000;
  await look(orders, place.store);
  assert.equal((await stands(place.store)).revision, revision);
});

test("O1: an end that was decided on an old order does not end the one after it", async () => {
  await using place = await open();
  await orderLevel(place, "orders", { level: 2, forMs: 1000, by: "anna", why: "" }, soon());
  const orders = watchOrders(place, () => {});
  const old = await stands(place.store);
  await orders.look({ orders: old });
  await orderLevel(place, "orders", { level: 1, forMs: 1000, by: "ben", why: "" }, soon());
  place.clock.at = 1500;
  await orders.look({ orders: old });
  assert.equal(orderedLevel((await stands(place.store)).record), 1);
  // And the new one is counted from when it was seen.
  assert.equal(await look(orders, place.store), 1);
  place.clock.at = 2500;
  assert.equal(await look(orders, place.store), 0);
});

test("an order without an end stands, and one that is not to be read is replaced", async () => {
  await using place = await open();
  const poisoned = await place.store.compareAndSwap("level/orders", 0, "{}", soon());
  assert.equal(poisoned.kind, "succeeded");
  assert.equal(
    (await orderLevel(place, "orders", { level: 1, forMs: 0, by: "anna", why: "" }, soon())).kind,
    "ordered",
  );
  place.clock.at = 1e12;
  const orders = watchOrders(place, () => {});
  assert.equal(await look(orders, place.store), 1);
});
