/** Which tables a data plane takes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RoutingTable } from "../../../src/core/model/routing.ts";
import { accept } from "../../../src/core/traffic/accept.ts";
import { altered, compile, sha256 } from "./tables.ts";

const current = altered(compile(), { epoch: 3, generation: 7 });
const orders = current.services.orders!;
const west = orders.targets[0]!;

function kindOf(next: RoutingTable, before: RoutingTable | null = current): string {
  const outcome = accept(before, next, sha256);
  return outcome.kind === "refuse" ? outcome.reason : outcome.kind;
}

test("only a greater (epoch, generation) is taken (R1)", () => {
  const rows: readonly (readonly [epoch: number, generation: number, expected: string])[] = [
    [3, 8, "take"],
    [4, 1, "take"],
    [3, 6, "older"],
    [2, 99, "older"],
    [3, 7, "conflict"],
  ];
  for (const [epoch, generation, expected] of rows) {
    const stores = { "orders-db": { ...current.stores["orders-db"]!, epoch: Math.min(epoch, 3) } };
    const store = epoch < 3 ? stores : current.stores;
    const next = altered(current, { epoch, generation, stores: store, because: "changed" });
    assert.equal(kindOf(next), expected, `epoch ${epoch}, generation ${generation}`);
  }
});

test("the same digest changes nothing, and a wrong one is refused", () => {
  assert.equal(kindOf(current), "unchanged");
  assert.equal(kindOf({ ...current, generation: 8 }), "digest");
});

test("no data store goes back in its epoch, even in a greater table (S5)", () => {
  const stores = { "orders-db": { ...current.stores["orders-db"]!, epoch: 2 } };
  assert.equal(kindOf(altered(current, { generation: 8, stores })), "older");
});

test("a table that would leave nobody to serve is refused (R2, S13)", () => {
  const next = (change: Partial<RoutingTable>) => altered(current, { generation: 8, ...change });
  const withOrders = (change: Partial<typeof orders>) =>
    next({ services: { orders: { ...orders, ...change } } });
  assert.equal(kindOf(next({ services: {} })), "empty");
  assert.equal(kindOf(next({ services: { other: orders } })), "empty");
  assert.equal(kindOf(next({ services: { other: orders }, topology: "topology-2" })), "take");
  assert.equal(kindOf(withOrders({ targets: [] })), "empty");
  assert.equal(kindOf(withOrders({ targets: [{ ...west, weight: 0 }] })), "empty");
  assert.equal(kindOf(withOrders({ targets: [], mode: "off" })), "take");
  const drained = { west: "drained", central: "drained", east: "drained" } as const;
  assert.equal(kindOf(next({ regions: drained })), "empty");
});

test("no target outside `allow`, forbidden, fenced or unknown is taken (R2, S14)", () => {
  const next = (change: Partial<RoutingTable>) => altered(current, { generation: 8, ...change });
  assert.equal(kindOf(next({ services: { orders: { ...orders, allow: ["central"] } } })), "target");
  for (const state of ["forbidden", "fenced"] as const)
    assert.equal(kindOf(next({ regions: { ...current.regions, east: state } })), "target");
  const mars = {
    ...orders,
    allow: [...orders.allow, "mars"],
    targets: [...orders.targets, { ...west, region: "mars" }],
  };
  assert.equal(kindOf(next({ services: { orders: mars } })), "target");
});

test("tables in any order leave the greatest in force", () => {
  const step = fc.record({
    epoch: fc.integer({ min: 3, max: 5 }),
    generation: fc.integer({ min: 1, max: 4 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      let held: RoutingTable | null = null;
      let greatest = [0, 0];
      for (const { epoch, generation } of steps) {
        const next = altered(current, { epoch, generation });
        if (accept(held, next, sha256).kind === "take") held = next;
        if (greatest[0]! < epoch || (greatest[0] === epoch && greatest[1]! < generation))
          greatest = [epoch, generation];
        assert.deepEqual([held?.epoch, held?.generation], greatest);
      }
    }),
  );
});
