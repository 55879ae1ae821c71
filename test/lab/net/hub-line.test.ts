/** One direction of the hub: nothing overtakes, nothing leaves early, and what does not fit is lost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { enter, keptMaxBytes, leave, newLine } from "../../../src/lab/net/hub-line.ts";

const plain = { delayMs: 0, jitterMs: 0, lossPercent: 0, rateMbit: 0 };
const never = { loss: 0.999, jitter: 0.5 };

test("packets leave in the order in which they entered, never before their delay is over", () => {
  fc.assert(
    fc.property(
      fc.record({ delayMs: fc.nat(200), jitterMs: fc.nat(50), rateMbit: fc.constantFrom(0, 1, 100) }),
      fc.array(
        fc.record({ gap: fc.nat(20), bytes: fc.integer({ min: 20, max: 1500 }), jitter: fc.nat(99) }),
        {
          minLength: 1,
          maxLength: 60,
        },
      ),
      (quality, packets) => {
        const line = newLine();
        let now = 1000;
        let before = 0;
        for (const { gap, bytes, jitter } of packets) {
          now += gap;
          const at = enter(line, { ...plain, ...quality }, { bytes, now }, { loss: 0, jitter: jitter / 100 });
          assert.ok(at !== null && before <= at && now + quality.delayMs <= at);
          before = at;
        }
      },
    ),
  );
});

test("a line of 1 Mbit/s takes 12 ms for a packet of 1500 bytes, one after the other", () => {
  const line = newLine();
  const quality = { ...plain, rateMbit: 1, delayMs: 10 };
  assert.equal(enter(line, quality, { bytes: 1500, now: 0 }, never), 22);
  assert.equal(enter(line, quality, { bytes: 1500, now: 0 }, never), 34);
  assert.equal(enter(line, quality, { bytes: 1500, now: 100 }, never), 122);
});

test("the chance of a loss is the one that was asked for", () => {
  const lost = Array.from({ length: 1000 }, (_, i) =>
    enter(newLine(), { ...plain, lossPercent: 5 }, { bytes: 100, now: 0 }, { loss: i / 1000, jitter: 0 }),
  ).filter((at) => at === null).length;
  assert.equal(lost, 50);
});

test("what does not fit is lost, and fits again when something has left", () => {
  const line = newLine();
  const whole = { bytes: keptMaxBytes, now: 0 };
  assert.notEqual(enter(line, { ...plain, delayMs: 1 }, whole, never), null);
  assert.equal(enter(line, { ...plain, delayMs: 1 }, { bytes: 1, now: 0 }, never), null);
  leave(line, keptMaxBytes);
  assert.notEqual(enter(line, { ...plain, delayMs: 1 }, { bytes: 1, now: 0 }, never), null);
});
