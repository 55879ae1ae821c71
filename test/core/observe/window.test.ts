/** Samples in, what one vantage point sees out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { observe, unseen, type Window } from "../../../src/core/observe/window.ts";

function sightsOf(samples: string): string {
  let window: Window = unseen;
  return [...samples]
    .map((sample) => {
      window = observe(window, sample === "+");
      return { up: "u", suspected: "s", down: "d" }[window.sight];
    })
    .join("");
}

test("down after three failures in a row, up again only after five successes in a row", () => {
  assert.equal(sightsOf("---"), "ssd");
  assert.equal(sightsOf("--+--"), "ssuss");
  assert.equal(sightsOf("---++++"), "ssddddd");
  assert.equal(sightsOf("---+++++"), "ssdddddu");
  assert.equal(sightsOf("---++++-+++++"), "ssddddddddddu");
});

test("what nobody has looked at is not accused", () => {
  assert.equal(unseen.sight, "up");
});

test("O1: what flaps faster than five good samples in a row stays down", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 50 }), (runs) => {
      let window: Window = [false, false, false].reduce(observe, unseen);
      for (const run of runs) {
        for (let good = 0; good < run; good++) window = observe(window, true);
        window = observe(window, false);
        assert.equal(window.sight, "down");
      }
    }),
  );
});
