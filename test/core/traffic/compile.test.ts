/** How a routing table comes of a topology and facts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RegionState } from "../../../src/core/model/routing.ts";
import { accept } from "../../../src/core/traffic/accept.ts";
import { compileEvacuation, type RoutingFacts } from "../../../src/core/traffic/compile.ts";
import { compile, facts, sha256, topology } from "./tables.ts";

const first = compile();
const placesOf = (table: typeof first) => table.services.orders!.targets.map(({ region }) => region);

test("targets come in the order of the plan, witnesses serve nothing", () => {
  assert.deepEqual(placesOf(first), ["west", "central", "east"]);
  assert.deepEqual(first.regions, { west: "active", central: "active", east: "standby" });
  assert.equal(first.because, "first table");
});

test("the same facts give the same object, and other facts the next generation with the reason", () => {
  assert.equal(compile({ previous: first, issuedAt: 2000 }), first);
  const stores = { "orders-db": { epoch: 4, writer: "pg-central", changing: false } };
  const next = compile({ previous: first, facts: { ...facts, stores } });
  assert.equal(next.generation, 2);
  assert.equal(next.epoch, 4);
  assert.equal(next.digestBefore, first.digest);
  assert.equal(next.because, "writer of orders-db: pg-west -> pg-central in epoch 4");
  assert.equal(accept(first, next, sha256).kind, "take");
});

test("a region judged down is left out, and when all are down all are kept (R5)", () => {
  const judged = (health: RoutingFacts["health"]) => placesOf(compile({ facts: { ...facts, health } }));
  assert.deepEqual(judged({ orders: { west: "down" } }), ["central", "east"]);
  assert.deepEqual(judged({ orders: { west: "down", central: "down", east: "down" } }), [
    "west",
    "central",
    "east",
  ]);
});

test("what is forbidden or fenced serves nothing and writes nothing", () => {
  for (const state of ["forbidden", "fenced"] as const) {
    const table = compile({ facts: { ...facts, regions: { west: state } } });
    assert.deepEqual(placesOf(table), ["central", "east"]);
    assert.equal(table.stores["orders-db"]?.writer, null);
  }
});

test("facts older than the table leave the writer where it is (S5)", () => {
  const stores = { "orders-db": { epoch: 2, writer: "pg-central", changing: false } };
  assert.equal(compile({ previous: first, facts: { ...facts, stores } }), first);
  assert.equal(compile({ previous: first, facts: { ...facts, stores: {} } }), first);
});

test("an evacuation drains its region and is void after the next table", () => {
  const request = { topology, facts, previous: first, issuedAt: 1, issuedBy: "west", digest: sha256 };
  const evacuation = compileEvacuation(request, "west");
  assert.equal(evacuation.regions.west, "drained");
  assert.equal(evacuation.because, "region west: active -> drained");
  assert.equal(accept(first, evacuation, sha256).kind, "take");
  const next = compile({ previous: first, facts: { ...facts, modes: { orders: "ro" } } });
  assert.equal(accept(next, evacuation, sha256).kind, "refuse");
});

test("whatever the facts, the next table is taken after the one before, and names only what may serve", () => {
  const states: readonly RegionState[] = ["active", "standby", "draining", "drained", "forbidden", "fenced"];
  const verdict = fc.constantFrom("up" as const, "down" as const);
  const perRegion = <T>(values: fc.Arbitrary<T>) =>
    fc.record({ west: values, central: values, east: values }, { requiredKeys: [] }) as fc.Arbitrary<
      Record<string, T>
    >;
  const anyFacts: fc.Arbitrary<RoutingFacts> = fc.record({
    stores: fc.record({
      "orders-db": fc.record({
        epoch: fc.integer({ min: 0, max: 5 }),
        writer: fc.constantFrom("pg-west", "pg-central", "gone", null),
        changing: fc.boolean(),
      }),
    }),
    regions: perRegion(fc.constantFrom(...states)),
    health: perRegion(verdict).map((orders) => ({ orders })),
    modes: fc.constantFrom({}, { orders: "ro" as const }),
  });
  fc.assert(
    fc.property(fc.array(anyFacts, { minLength: 1, maxLength: 6 }), (many) => {
      let previous = first;
      for (const each of many) {
        const next = compile({ previous, facts: each });
        if (next !== previous) assert.equal(accept(previous, next, sha256).kind, "take");
        previous = next;
      }
    }),
  );
});
