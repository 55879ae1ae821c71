/** Who gets how much: places in order, what spills from them, draws by weight and by latency, and keys that stay. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RegionState } from "../../../src/core/model/routing.ts";
import {
  type ArrangeRules,
  arrange,
  type Candidate,
  draw,
  drawCheaper,
  ownerOf,
  plainArrangement,
} from "../../../src/core/traffic/levels.ts";
import { hashOf } from "../../../src/core/traffic/rendezvous.ts";
import { spread } from "../../../src/core/traffic/spill.ts";

function candidate(
  who: string,
  region: string,
  more: Partial<Candidate<string>> & { readonly weight?: number } = {},
): Candidate<string> {
  const target = { region, url: `http://${who}`, healthPath: "/", weight: more.weight ?? 1 };
  return { who, target, state: "active", hash: hashOf(who), isEjected: false, ramp: 1, ...more };
}

/** Draws at points evenly over [0, 1)^2: who gets which share. */
function shares(
  candidates: readonly Candidate<string>[],
  rules: ArrangeRules,
  cost?: (who: string) => number,
): Record<string, number> {
  const arrangement = arrange(candidates, rules);
  const got: Record<string, number> = {};
  const points = 40;
  for (let n = 0; n < points ** 3; n++) {
    const asked = [n % points, Math.floor(n / points) % points, Math.floor(n / points ** 2)];
    // Of one level only two numbers are asked for, or one: those that vary fastest.
    const chance = () => ((asked.shift() ?? 0) + 0.5) / points;
    const who = cost ? drawCheaper(arrangement, chance, cost) : draw(arrangement, chance);
    if (who !== null) got[who] = (got[who] ?? 0) + 1 / points ** 3;
  }
  return Object.fromEntries(Object.entries(got).map(([who, share]) => [who, Math.round(share * 100) / 100]));
}

const envoy: ArrangeRules = { regions: "local-first", overprovisioning: 1.4, panicBelow: 0.5 };

test("a level hands on what 1.4 times its healthy share does not cover, as in Envoy's table", () => {
  const rules = { overprovisioning: 1.4, panicBelow: 0.5 };
  const loads = (...healthy: readonly number[]) =>
    spread(
      healthy.map((each) => ({ total: 100, healthy: each })),
      rules,
    ).map(({ load }) => Math.round(load * 100));
  // envoyproxy.io, Priority levels: "Healthy endpoints" and the percentage to each priority.
  assert.deepEqual(loads(100, 100), [100, 0]);
  assert.deepEqual(loads(72, 100), [100, 0]);
  assert.deepEqual(loads(71, 100), [99, 1]);
  assert.deepEqual(loads(50, 100), [70, 30]);
  assert.deepEqual(loads(25, 100), [35, 65]);
  assert.deepEqual(loads(0, 100), [0, 100]);
  assert.deepEqual(loads(50, 25), [70, 30]);
  assert.deepEqual(loads(60, 10), [86, 14], "short everywhere: in proportion");
  assert.deepEqual(loads(25, 25), [100, 0], "both in panic: all are counted as healthy");
});

test("loads are 1 together, and a panic is only where most are ill everywhere", () => {
  const levelArb = fc
    .tuple(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 0, max: 100 }))
    .map(([total, healthy]) => ({ total, healthy: Math.min(total, healthy) }));
  fc.assert(
    fc.property(fc.array(levelArb, { minLength: 1, maxLength: 5 }), (levels) => {
      const loads = spread(levels, { overprovisioning: 1.4, panicBelow: 0.5 });
      const sum = loads.reduce((all, { load }) => all + load, 0);
      assert.ok(Math.abs(sum - 1) < 1e-9);
      const able = levels.reduce((all, { healthy, total }) => all + Math.min(1, (1.4 * healthy) / total), 0);
      if (1 <= able) assert.ok(loads.every(({ isPanic }) => !isPanic));
      const isSomebodyHealthy = levels.some(({ healthy, total }) => total <= 2 * healthy);
      for (const [at, { load, isPanic }] of loads.entries()) {
        const healthy = (levels[at] as (typeof levels)[number]).healthy;
        if (isSomebodyHealthy && healthy === 0) assert.equal(load, 0);
        if (load > 0 && !isPanic) assert.ok(healthy > 0);
      }
    }),
  );
});

test("own region first, by weight, the ejected get nothing, and standbys only when nobody else is there", () => {
  const west = [candidate("w1", "west"), candidate("w2", "west", { weight: 3 })];
  const rest = [candidate("c", "central"), candidate("e", "east", { state: "standby" })];
  assert.deepEqual(shares([...west, ...rest], plainArrangement), { w1: 0.25, w2: 0.75 });
  const ill = west.map((each) => ({ ...each, isEjected: true }));
  assert.deepEqual(shares([...ill, ...rest], plainArrangement), { c: 1 });
  assert.deepEqual(shares([...ill, rest[1]!], plainArrangement), { e: 1 });
  assert.deepEqual(shares(ill, plainArrangement), { w1: 0.25, w2: 0.75 }, "R5");
  // A full region is no reason to try one that is dead.
  assert.deepEqual(arrange([...ill, ...rest], plainArrangement).spill, ["c", "e"]);
  assert.deepEqual(arrange(ill, plainArrangement).spill, ["w1", "w2"]);
  assert.deepEqual(shares([ill[1]!, west[0]!, ...rest], envoy), { w1: 0.35, c: 0.65 }, "a quarter is left");
  assert.deepEqual(shares([...west, ...rest], { ...envoy, regions: "shared" }), { w1: 0.2, w2: 0.6, c: 0.2 });
  const returning = [candidate("w", "west", { ramp: 0.25 }), rest[0]!];
  assert.deepEqual(shares(returning, envoy), { w: 0.35, c: 0.65 }, "a slow start spills too");
});

test("by latency each keeps within its weight, and the faster gets more", () => {
  const weightsArb = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 2, maxLength: 4 });
  fc.assert(
    fc.property(
      weightsArb,
      fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
      (weights, costs) => {
        const all = weights.map((weight, at) => candidate(`u${at}`, "west", { weight }));
        const cost = new Map(all.map(({ who }) => [who, costs.next().value as number]));
        const got = shares(all, envoy, (who) => cost.get(who) as number);
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (const [at, weight] of weights.entries()) {
          const p = weight / total;
          const share = got[`u${at}`] ?? 0;
          assert.ok(p * p - 0.04 <= share && share <= 1 - (1 - p) ** 2 + 0.04, `${share} of weight ${p}`);
        }
      },
    ),
    { numRuns: 10 },
  );
});

const fleetArb = fc
  .uniqueArray(fc.integer({ min: 0, max: 1000 }), { minLength: 2, maxLength: 7 })
  .chain((ids) =>
    fc.tuple(
      ...ids.map((id) =>
        fc.integer({ min: 1, max: 5 }).map((weight) => candidate(`u${id}`, `region-${id}`, { weight })),
      ),
    ),
  );
const anyone = () => true;

test("when a region leaves only its own keys move, and they come back with it", () => {
  fc.assert(
    fc.property(fleetArb, fc.nat(), fc.array(fc.string(), { minLength: 20 }), (fleet, at, keys) => {
      const gone = fleet[at % fleet.length] as Candidate<string>;
      const before = arrange(fleet, envoy);
      const without = arrange(
        fleet.filter((each) => each !== gone),
        envoy,
      );
      const ejected = arrange(
        fleet.map((each) => (each === gone ? { ...each, isEjected: true } : each)),
        envoy,
      );
      // In another order, as another edge would have it.
      const again = arrange([...fleet].reverse(), envoy);
      for (const key of keys.map(hashOf)) {
        const owner = ownerOf(before, key, anyone);
        const then = ownerOf(without, key, anyone);
        if (owner !== gone.who) assert.equal(then, owner);
        else assert.notEqual(then, gone.who);
        assert.equal(ownerOf(ejected, key, anyone), then, "ejected is as good as gone");
        assert.equal(ownerOf(again, key, anyone), owner);
        assert.equal(
          ownerOf(before, key, (who) => who !== gone.who),
          then,
          "the next try goes where the key would go",
        );
      }
    }),
  );
});

test("keys are shared by weight, and never by who is ejected or only a standby", () => {
  const fleet = [
    candidate("a", "west", { weight: 3 }),
    candidate("b", "central"),
    candidate("ill", "north", { isEjected: true }),
    candidate("idle", "east", { state: "standby" as RegionState }),
  ];
  const arrangement = arrange(fleet, envoy);
  const owners = Array.from({ length: 4000 }, (_, n) => ownerOf(arrangement, hashOf(`user-${n}`), anyone));
  const ofA = owners.filter((who) => who === "a").length;
  assert.ok(2850 < ofA && ofA < 3150, `${ofA} of 4000 for three quarters`);
  assert.deepEqual([...new Set(owners)].sort(), ["a", "b"]);
  assert.equal(ownerOf(arrange([], envoy), 1, anyone), null);
});
