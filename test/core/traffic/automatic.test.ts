/** The level that an edge takes by itself: soon up, slowly down, and rarely to and fro. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Level } from "../../../src/core/model/degradation.ts";
import {
  type Automatic,
  automaticRules,
  nextAutomatic,
  type Sight,
  unraised,
} from "../../../src/core/traffic/automatic.ts";

const step = (saves: number): Level => ({
  name: `saves-${saves}`,
  mode: "rw",
  flags: {},
  classes: {},
  saves,
});
const levels = (automatic: number) => ({ automatic, steps: [step(0.3), step(0.6), step(0.9)] });
const quiet: Sight = { offeredRps: 0, entitledRps: null, requests: 0, turnedAway: 0 };
const load = (offeredRps: number, entitledRps: number | null, turnedAway = 0): Sight => ({
  offeredRps,
  entitledRps,
  requests: offeredRps,
  turnedAway,
});

/** One look a second; the level after each. */
function run(seconds: number, sightAt: (second: number, level: number) => Sight, automatic = 3): number[] {
  let state: Automatic = unraised;
  return Array.from({ length: seconds }, (_, second) => {
    state = nextAutomatic(state, levels(automatic), sightAt(second, state.level), second * 1000);
    return state.level;
  });
}

test("when a region is lost, the second look takes the level at which the rest can carry the load", () => {
  assert.deepEqual(
    run(4, () => load(1000, 800)),
    [0, 1, 1, 1],
  );
  assert.deepEqual(
    run(4, () => load(1000, 500)),
    [0, 2, 2, 2],
  );
  assert.deepEqual(
    run(4, () => load(1000, 10)),
    [0, 3, 3, 3],
  );
  assert.deepEqual(
    run(4, () => load(1000, 1000)),
    [0, 0, 0, 0],
  );
});

test("one bad look is not enough", () => {
  assert.deepEqual(
    run(6, (second) => load(1000, second % 2 === 0 ? 500 : 2000)),
    [0, 0, 0, 0, 0, 0],
  );
});

test("when too many find no room, levels are taken one by one, each with time to work", () => {
  const taken = run(14, () => load(100, null, 50));
  assert.deepEqual(taken, [0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3]);
});

test("few requests prove nothing", () => {
  assert.deepEqual(
    run(5, () => ({ ...quiet, requests: 5, turnedAway: 5 })),
    [0, 0, 0, 0, 0],
  );
});

test("after the load is gone, levels go down one by one, a calm apart", () => {
  const taken = run(120, (second) => (second < 2 ? load(1000, 10) : load(10, 1000)));
  const downs = taken.flatMap((level, second) => (level < (taken[second - 1] ?? 0) ? [[second, level]] : []));
  assert.deepEqual(downs, [
    [32, 2],
    [63, 1],
    [94, 0],
  ]);
});

test("a load that would only just fit one level below is no calm", () => {
  // 1000 needs level 1 of 720; a tenth must stay free before it is given back.
  const taken = run(200, (second) => (second < 2 ? load(1000, 720) : load(700, 720)));
  assert.equal(taken.at(-1), 1);
  assert.equal(run(200, (second) => (second < 2 ? load(1000, 720) : load(640, 720))).at(-1), 0);
});

test("D1: the level is within what is allowed, and goes down one step at a time", () => {
  const sightArb = fc.record({
    offeredRps: fc.nat(2000),
    entitledRps: fc.option(fc.nat(2000)),
    requests: fc.nat(2000),
    turnedAway: fc.nat(200),
  });
  fc.assert(
    fc.property(fc.array(sightArb, { maxLength: 400 }), fc.nat(3), (sights, automatic) => {
      let before = 0;
      for (const level of run(sights.length, (second) => sights[second] as Sight, automatic)) {
        assert.ok(0 <= level && level <= automatic);
        assert.ok(before - 1 <= level);
        before = level;
      }
    }),
  );
});

test("D3: under steady load levels become steady, whatever the estimates are worth", () => {
  fc.assert(
    // `helps`: the level from which on there is room in truth.
    fc.property(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 20, max: 100 }), (helps, turnedAway) => {
      const taken = run(7200, (_second, level) => load(100, null, level < helps ? turnedAway : 0));
      const changesIn = (from: number, to: number) =>
        taken.slice(from, to).filter((level, at, all) => at > 0 && level !== all[at - 1]).length;
      // One to and fro in the longest calm and the look that finds out.
      assert.ok(
        changesIn(3600, 7200) <= 2 * Math.ceil(3_600_000 / automaticRules.calmMaxMs),
        `${changesIn(3600, 7200)}`,
      );
      assert.ok(0 < changesIn(0, 3600));
    }),
    { numRuns: 30 },
  );
});

test("a topology that allows none ends what was taken", () => {
  const raised: Automatic = { ...unraised, level: 2, hot: 1 };
  assert.equal(nextAutomatic(raised, levels(0), load(1000, 1), 0).level, 0);
  assert.equal(nextAutomatic(raised, undefined, load(1000, 1), 0).level, 0);
  assert.equal(nextAutomatic(raised, levels(1), load(1000, 1), 0).level, 1);
});
