/** Levels in a table: what an order makes of a route, and what holds at each level. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Levels } from "../../../src/core/model/degradation.ts";
import type { Service, Topology } from "../../../src/core/model/topology.ts";
import { standAt, treatmentOf } from "../../../src/core/traffic/degrade.ts";
import { capacityOf, entitledRps } from "../../../src/core/traffic/share.ts";
import { compile, facts, topology } from "./tables.ts";

const levels: Levels = {
  automatic: 1,
  flags: { search: true, recommendations: true },
  page: null,
  steps: [
    {
      name: "lean",
      mode: "rw",
      flags: { search: true, recommendations: false },
      classes: { crawlers: "refuse" },
      saves: 0.3,
    },
    {
      name: "essential",
      mode: "ro",
      flags: { search: false, recommendations: false },
      classes: { crawlers: "refuse", search: "stale" },
      saves: 0.6,
    },
  ],
};
const [orders] = topology.services as readonly [Service];
const degradable: Topology = { ...topology, services: [{ ...orders, levels }] };

test("an order becomes level and mode of the route, and the table says so", () => {
  const normal = compile({ topology: degradable });
  assert.deepEqual([normal.services.orders?.level, normal.services.orders?.mode], [0, "rw"]);
  const table = compile({
    topology: degradable,
    previous: normal,
    facts: { ...facts, levels: { orders: 2 } },
  });
  assert.deepEqual([table.services.orders?.level, table.services.orders?.mode], [2, "ro"]);
  assert.equal(table.because, "service orders: level 0 -> 2, ro");
  assert.equal(table.generation, normal.generation + 1);
});

test("an order for a level that this topology does not have is the highest that it has", () => {
  for (const [ordered, level] of [
    [9, 2],
    [-1, 0],
    [1.5, 1],
  ] as const)
    assert.equal(
      compile({ topology: degradable, facts: { ...facts, levels: { orders: ordered } } }).services.orders
        ?.level,
      level,
    );
});

test("a service without levels has a route as before there were any, whatever is ordered", () => {
  const table = compile({ facts: { ...facts, levels: { orders: 2 } } });
  assert.equal(table.digest, compile().digest);
  assert.deepEqual(Object.keys(table.services.orders ?? {}), [
    "allow",
    "dataStores",
    "mode",
    "rules",
    "targets",
  ]);
});

test("a service that nobody may serve is off, at every level", () => {
  const drained = { west: "drained", central: "drained", east: "drained" } as const;
  const table = compile({
    topology: degradable,
    facts: { ...facts, regions: drained, levels: { orders: 2 } },
  });
  assert.equal(table.services.orders?.mode, "off");
});

test("an edge goes by the higher of what was ordered and what it takes itself, within what is allowed", () => {
  const route = compile({ topology: degradable }).services.orders;
  assert.ok(route);
  fc.assert(
    fc.property(fc.nat(4), fc.nat(4), fc.nat(2), (ordered, automatic, allowed) => {
      const stand = standAt(
        { ...route, level: ordered, levels: { ...levels, automatic: allowed } },
        automatic,
      );
      assert.equal(stand.level, Math.min(2, Math.max(ordered, Math.min(automatic, allowed))));
      assert.equal(stand.mode, stand.level === 2 ? "ro" : "rw");
    }),
  );
});

test("features are told as a structured field, in one order, at level 0 too", () => {
  const route = compile({ topology: degradable }).services.orders;
  assert.ok(route);
  assert.equal(standAt(route, 0).flags, "recommendations=?1, search=?1");
  assert.equal(standAt({ ...route, level: 1 }, 0).flags, "recommendations=?0, search=?1");
  assert.equal(standAt({ ...route, level: 2 }, 0).flags, "recommendations=?0, search=?0");
});

test("a class that a level does not name is served, also one that is called as things are in JavaScript", () => {
  const route = compile({ topology: degradable, facts: { ...facts, levels: { orders: 2 } } }).services.orders;
  assert.ok(route);
  const stand = standAt(route, 0);
  for (const [name, expected] of [
    ["crawlers", "refuse"],
    ["search", "stale"],
    ["checkout", "serve"],
    ["constructor", "serve"],
  ])
    assert.equal(treatmentOf(stand, name as string), expected, name);
});

test("what a region can carry is shared by demand, and unknown where somebody does not say what he needs", () => {
  const regions = topology.regions.map((region) => ({
    ...region,
    capacityRps: region.name === "watch" ? 0 : 900,
  }));
  const other = { ...orders, name: "other", demandRps: 200, endpoints: orders.endpoints.slice(1, 2) };
  const of = (demandRps: number, others: readonly Service[]) => {
    const service = { ...orders, demandRps };
    return capacityOf({ ...topology, regions, services: [service, ...others] }, service).map(
      ({ region, rps }) => [region, rps],
    );
  };
  assert.deepEqual(of(0, []), [
    ["east", 900],
    ["west", 900],
    ["central", 900],
  ]);
  assert.deepEqual(of(400, [other]), [
    ["east", 900],
    ["west", 600],
    ["central", 900],
  ]);
  assert.deepEqual(of(0, [other]), []);
  assert.deepEqual(capacityOf(topology, orders), []);
});

test("an edge may send its part of what is left, and the edge of a lost region is lost with it", () => {
  const capacity = ["west", "central", "east"].map((region) => ({ region, rps: 900, edges: 1 }));
  assert.equal(entitledRps(capacity, new Set(["west", "central", "east"])), 900);
  assert.equal(entitledRps(capacity, new Set(["west", "central"])), 900);
  const uneven = [
    { region: "west", rps: 900, edges: 2 },
    { region: "central", rps: 300, edges: 1 },
  ];
  assert.equal(entitledRps(uneven, new Set(["west", "central"])), 400);
  assert.equal(entitledRps(uneven, new Set(["central"])), 300);
  assert.equal(entitledRps(uneven, new Set()), 0);
  assert.equal(entitledRps([], new Set(["west"])), null);
  assert.equal(entitledRps(undefined, new Set(["west"])), null);
});
