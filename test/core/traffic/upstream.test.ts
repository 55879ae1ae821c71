/** What an edge learns of one upstream: ejections that grow and are forgotten, checks, shares that grow, time that is left. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  afterFailure,
  afterSuccess,
  type Breaker,
  boundEjections,
  breakerLimits,
  closedBreaker,
} from "../../../src/core/traffic/breaker.ts";
import { RetryLedger } from "../../../src/core/traffic/budget.ts";
import { afterCheck, nextCheckIn, unchecked } from "../../../src/core/traffic/check.ts";
import { leftOf, toldLeft, tryWithin } from "../../../src/core/traffic/deadline.ts";
import { afterLatency, costOf, unknownLatency } from "../../../src/core/traffic/latency.ts";
import { afterValue } from "../../../src/core/traffic/percentile.ts";
import { rampAt } from "../../../src/core/traffic/ramp.ts";
import { mergeRules, plainRules } from "../../../src/core/traffic/upstream-rules.ts";

function failTimes(breaker: Breaker, now: number): Breaker {
  let next = breaker;
  for (let n = 0; n < breakerLimits.failuresMax; n++) next = afterFailure(next, now, breakerLimits);
  return next;
}

test("each ejection lasts longer than the last, also when a probe let it back in, until it has been calm", () => {
  let breaker = failTimes(closedBreaker, 0);
  const lasted: number[] = [];
  let now = 0;
  for (let n = 0; n < 30; n++) {
    lasted.push((breaker.openUntil as number) - now);
    now = breaker.openUntil as number;
    breaker = failTimes(afterSuccess(breaker, now), now);
  }
  assert.deepEqual(lasted.slice(0, 3), [500, 1000, 1500]);
  assert.equal(lasted.at(-1), breakerLimits.maxEjectionMs);
  const back = afterSuccess(breaker, now);
  const calm = failTimes(back, now + 29 * breakerLimits.maxEjectionMs);
  assert.equal((calm.openUntil as number) - calm.turnedAt, 1500, "29 of 31 are forgotten");
  const calmer = failTimes(back, now + 400 * breakerLimits.maxEjectionMs);
  assert.equal((calmer.openUntil as number) - calmer.turnedAt, 500);
});

test("a share of the upstreams is ejected at most, one always, those that failed first", () => {
  assert.deepEqual(boundEjections([null, 5, 3, null], 0.25), [false, false, true, false]);
  assert.deepEqual(boundEjections([null, 5, 3, null], 0.5), [false, true, true, false]);
  assert.deepEqual(boundEjections([7], 0), [true]);
  fc.assert(
    fc.property(
      fc.array(fc.option(fc.nat()), { minLength: 1 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (since, share) => {
        const out = boundEjections(since, share);
        const count = out.filter(Boolean).length;
        const asked = since.filter((each) => each !== null).length;
        assert.equal(count, Math.min(asked, Math.max(1, Math.floor(since.length * share))));
        assert.ok(out.every((isOut, at) => !isOut || since[at] !== null));
      },
    ),
  );
});

test("what is sent again is a fifth of the requests at most, whatever happens when", () => {
  const budget = { ratio: 0.2, atLeast: 3 };
  const eventArb = fc.oneof(
    fc.record({ kind: fc.constant("request" as const), count: fc.integer({ min: 1, max: 2000 }) }),
    fc.record({ kind: fc.constant("ask" as const), count: fc.integer({ min: 1, max: 2000 }) }),
    fc.record({ kind: fc.constant("wait" as const), count: fc.integer({ min: 1, max: 20_000 }) }),
  );
  fc.assert(
    fc.property(fc.array(eventArb, { maxLength: 60 }), (events) => {
      const ledger = new RetryLedger();
      let [now, requests, granted] = [1e6, 0, 0];
      for (const { kind, count } of events) {
        if (kind === "wait") now += count;
        for (let n = 0; kind === "request" && n < count; n++, requests++) ledger.request(now);
        for (let n = 0; kind === "ask" && n < count && ledger.mayResend(budget, now); n++, granted++)
          ledger.resent(now);
        const elapsedS = (now - 1e6) / 1000;
        // 30: three a second, remembered for ten.
        assert.ok(granted <= 0.2 * requests + 30 + 3 * elapsedS + 1e-6, `${granted} of ${requests}`);
      }
    }),
  );
});

test("under load the floor of three a second adds nothing, and all that was under way may be repeated at once", () => {
  const budget = { ratio: 0.2, atLeast: 3 };
  const ledger = new RetryLedger();
  let [requests, granted] = [0, 0];
  for (let now = 0; now < 60_000; now++) {
    ledger.request(now);
    requests++;
    while (ledger.mayResend(budget, now)) {
      ledger.resent(now);
      granted++;
    }
  }
  assert.ok(granted <= 0.2 * requests + 30, `${granted} of ${requests}`);
  assert.ok(granted > 0.19 * requests, `${granted} of ${requests}`);
  const calm = new RetryLedger();
  for (let now = 0; now < 30_000; now++) calm.request(now);
  let atOnce = 0;
  for (; calm.mayResend(budget, 30_000); atOnce++) calm.resent(30_000);
  assert.ok(1800 < atOnce && atOnce <= 2000, `${atOnce}: two seconds of requests`);
});

test("a check turns an upstream only when enough in a row say so", () => {
  const rules = { path: null, everyMs: 1000, jitter: 0.2, timeoutMs: 1, healthyAfter: 2, unhealthyAfter: 3 };
  const run = (answers: string) =>
    [...answers].reduce((state, answer) => afterCheck(state, answer === "+", rules), unchecked).isHealthy;
  const rows: readonly (readonly [string, boolean])[] = [
    ["", true],
    ["--", true],
    ["--+--", true],
    ["---", false],
    ["---+", false],
    ["---+-+", false],
    ["---++", true],
  ];
  for (const [answers, expected] of rows) assert.equal(run(answers), expected, answers);
  assert.equal(nextCheckIn(rules, 0), 800);
  assert.equal(nextCheckIn(rules, 0.5), 1000);
});

test("a slow answer counts at once, and is forgotten by time; requests under way make dearer", () => {
  const fast = afterLatency(unknownLatency, 10, 0);
  const slow = afterLatency(fast, 500, 1);
  assert.equal(slow.ms, 500);
  assert.ok(afterLatency(slow, 10, 2).ms > 490, "one fast answer does not make up for it");
  assert.ok(costOf(slow, 0, 60_000) < costOf(fast, 0, 1000), "after a minute it is tried again");
  assert.ok(costOf(fast, 3, 0) > 3 * costOf(fast, 0, 0));
  assert.ok(costOf(unknownLatency, 0, 0) < costOf(unknownLatency, 1, 0));
});

test("a share grows from a tenth to all of it", () => {
  assert.deepEqual(
    [0, 500, 5000, 9999, 10_000, 99_999].map((now) => rampAt(0, 10_000, now)),
    [0.1, 0.1, 0.5, 0.9999, 1, 1],
  );
  assert.equal(rampAt(null, 10_000, 0), 1);
  assert.equal(rampAt(0, 0, 0), 1);
});

test("time that is left is never more than the request's, and never promised", () => {
  assert.equal(leftOf(5000, 1000, 4000), 2000);
  assert.equal(tryWithin(500, 2000), 500);
  assert.equal(tryWithin(500, 20), 20);
  assert.equal(tryWithin(500, -5), 1);
  assert.equal(toldLeft(19.9), "19");
  assert.equal(toldLeft(-3), "0");
});

test("the estimate stands where as many answers come sooner as it says", () => {
  // Evenly from 0 to 1, in a fixed order without runs.
  const values = Array.from({ length: 5000 }, (_, n) => (n * 0.618_034) % 1);
  for (const share of [0.5, 0.9]) {
    const estimate = values.reduce((before, value) => afterValue(before, value, share), 0);
    assert.ok(Math.abs(estimate - share) < 0.15, `${estimate} for ${share}`);
  }
});

test("services that share an upstream get the strictest of what they ask", () => {
  assert.equal(mergeRules([undefined, undefined]), plainRules);
  const bulkhead = { connections: 10, pending: 5, requests: 20 };
  const merged = mergeRules([
    { bulkhead },
    undefined,
    { bulkhead: { ...bulkhead, connections: 50, requests: 3 }, slowStartMs: 1000 },
    { balance: { regions: "shared", pick: "latency", overprovisioning: 1.4, panicBelow: 0.5 } },
  ]);
  assert.deepEqual(merged.bulkhead, { connections: 10, pending: 5, requests: 3 });
  assert.equal(merged.slowStartMs, 1000);
  assert.equal(merged.learnsLatency, true);
});
