/** How an upstream's limit is learnt, and who is let in when it is short. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  afterAnswer,
  type ConcurrencyLimit,
  concurrencyRules,
  firstLimit,
  mayEnter,
} from "../../../src/core/traffic/concurrency.ts";

/** A service with `capacity` workers of 10 ms each: beyond, answers take longer in proportion. */
function run(from: ConcurrencyLimit, capacity: number, offered: number, answers: number): ConcurrencyLimit {
  let limit = from;
  for (let n = 0; n < answers; n++) {
    const inFlight = Math.min(offered, Math.floor(limit.limit));
    const tookMs = 10 * Math.max(1, inFlight / capacity);
    limit = afterAnswer(limit, { tookMs, inFlight, dropped: false }, concurrencyRules);
  }
  return limit;
}

test("an idle upstream's limit stays, a busy and fast one's grows, an overloaded one's comes down to what it can take", () => {
  assert.equal(run(firstLimit, 1000, 5, 500).limit, firstLimit.limit);
  assert.ok(run(firstLimit, 1000, 1000, 500).limit > 200);
  const usual = run(firstLimit, 50, 40, 2000);
  const jammed = run({ ...usual, limit: 500 }, 50, 1000, 200);
  assert.ok(40 < jammed.limit && jammed.limit < 150, `${jammed.limit}`);
});

test("the limit never leaves its bounds, whatever is answered", () => {
  let limit = firstLimit;
  for (let n = 0; n < 1000; n++)
    limit = afterAnswer(limit, { tookMs: 1, inFlight: 1, dropped: true }, concurrencyRules);
  assert.equal(limit.limit, concurrencyRules.least);
  assert.equal(run(firstLimit, 1e9, 1e9, 5000).limit, concurrencyRules.most);
  const odd = afterAnswer(firstLimit, { tookMs: 0, inFlight: 64, dropped: false }, concurrencyRules);
  assert.ok(Number.isFinite(odd.limit));
});

test("when a jam is over, what was usual in it is forgotten", () => {
  let limit = run(firstLimit, 10, 64, 3000);
  assert.ok(limit.usualMs > 15);
  for (let n = 0; n < 500; n++)
    limit = afterAnswer(limit, { tookMs: 1, inFlight: 5, dropped: false }, concurrencyRules);
  assert.ok(limit.usualMs < 3, `${limit.usualMs}`);
});

test("sheddable requests leave room for standard ones, and those for critical ones", () => {
  const rows = [
    [69, "sheddable", true],
    [70, "sheddable", false],
    [89, "standard", true],
    [90, "standard", false],
    [99, "critical", true],
    [100, "critical", false],
  ] as const;
  for (const [inFlight, priority, expected] of rows)
    assert.equal(mayEnter(100, inFlight, priority), expected);
  assert.equal(mayEnter(1, 0, "sheddable"), true);
});
