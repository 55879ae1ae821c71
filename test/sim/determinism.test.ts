/** The same seed tells the same story, whatever was run before it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Coverage } from "../../src/sim/coverage.ts";
import { run } from "../../src/sim/run.ts";
import { planFor } from "../../src/sim/swarm.ts";

test("one seed is one run, to the letter, with its story and without", () => {
  for (let seed = 1; seed <= 12; seed++) {
    const once = run(planFor(seed));
    const again = run(planFor(seed, true), new Coverage());
    assert.equal(again.digest, once.digest, `seed ${seed}`);
    assert.equal(again.acts, once.acts, `seed ${seed}`);
    assert.equal(again.acknowledged, once.acknowledged, `seed ${seed}`);
    assert.ok(again.story.length > 0);
  }
});

test("two seeds are two runs", () => {
  const digests = new Set([1, 2, 3, 4, 5, 6].map((seed) => run(planFor(seed)).digest));
  assert.equal(digests.size, 6);
});

test("no clock and no chance but the world's: Date, Math.random and timers are never asked", () => {
  const kept = { now: Date.now, random: Math.random, timeout: globalThis.setTimeout };
  const refuse = () => {
    throw new Error("the simulator asked the real world");
  };
  try {
    Date.now = refuse;
    Math.random = refuse;
    globalThis.setTimeout = refuse as unknown as typeof setTimeout;
    assert.equal(run(planFor(7)).violation, null);
  } finally {
    Date.now = kept.now;
    Math.random = kept.random;
    globalThis.setTimeout = kept.timeout;
  }
});
