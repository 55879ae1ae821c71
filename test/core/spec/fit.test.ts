/** Which profile a place can carry: the arithmetic, against the machine's own and by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { timing } from "../../../src/core/machine/timing.ts";
import { leaseProfiles } from "../../../src/core/model/profile.ts";
import {
  attemptMs,
  fitCommit,
  fitDrift,
  fitElection,
  fitElections,
  fitFsync,
  fitLoopDelay,
  fitOffset,
  fitPeer,
  percentile,
  shortestFitting,
} from "../../../src/core/spec/fit.ts";

const { fast, balanced, cautious } = leaseProfiles;
const profile = fc.constantFrom(fast, balanced, cautious);
const kind = fc.constantFrom("embedded" as const, "etcd" as const);

test("a try is as long as the machine gives one, and an endpoint of etcd gets two thirds of it", () => {
  for (const each of Object.values(leaseProfiles)) {
    assert.equal(attemptMs(each, "embedded"), timing(each).storeTimeoutMs);
    assert.equal(attemptMs(each, "etcd"), Math.floor(timing(each).storeTimeoutMs * 0.65));
  }
  assert.deepEqual(
    [fast, balanced, cautious].map((each) => attemptMs(each, "etcd")),
    [276, 812, 2275],
  );
});

test("a measured commit that fits lets a renewal be tried twice before the freeze", () => {
  fc.assert(
    fc.property(profile, kind, fc.integer({ min: 0, max: 5000 }), (each, store, p99) => {
      const { fit } = fitCommit(each, store, p99);
      assert.equal(fit !== "problem", p99 <= attemptMs(each, store));
      if (fit !== "problem") assert.ok(each.renewMs + 2 * p99 <= each.freezeMs);
      if (fit === "ok") assert.ok(each.renewMs + 4 * p99 <= each.freezeMs);
    }),
  );
});

test("the advice names a profile that fits, or says that none does", () => {
  fc.assert(
    fc.property(kind, fc.integer({ min: 0, max: 5000 }), (store, p99) => {
      const best = shortestFitting(store, p99);
      if (best !== null) assert.equal(fitCommit(leaseProfiles[best], store, p99).fit, "ok");
      else assert.notEqual(fitCommit(cautious, store, p99).fit, "ok");
      const { fit, advice } = fitCommit(fast, store, p99);
      if (fit === "problem") assert.match(advice, best === null ? /no profile fits/ : new RegExp(best));
    }),
  );
  assert.deepEqual(
    [20, 138, 139, 406, 407, 1137, 1138].map((p99) => shortestFitting("etcd", p99)),
    ["fast", "fast", "balanced", "balanced", "cautious", "cautious", null],
  );
});

test("an election and one write fit before the freeze, or the advice says what holds the primary", () => {
  const check = (each: typeof fast, electionMs: number, p99: number) => {
    const { fit, worstMs, advice } = fitElection(each, electionMs, p99);
    return [fit, worstMs, /other regions/.test(advice)];
  };
  assert.deepEqual(check(fast, 400, 50), ["ok", 850, false]);
  assert.deepEqual(check(fast, 401, 50), ["warning", 852, false]);
  assert.deepEqual(check(fast, 600, 50), ["warning", 1250, true]);
  assert.deepEqual(check(balanced, 1000, 100), ["ok", 2100, false]);
  assert.deepEqual(check(balanced, 1300, 100), ["warning", 2700, false]);
  assert.deepEqual(check(cautious, 3000, 500), ["ok", 6500, false]);
});

test("limits are where they are said to be", () => {
  const table: readonly (readonly [string, string])[] = [
    [fitElections(0).fit, "ok"],
    [fitElections(1).fit, "warning"],
    [fitElections(2).fit, "problem"],
    [fitFsync(10).fit, "ok"],
    [fitFsync(10.1).fit, "warning"],
    [fitFsync(101).fit, "problem"],
    [fitLoopDelay(fast, 50).fit, "ok"],
    [fitLoopDelay(fast, 250).fit, "warning"],
    [fitLoopDelay(fast, 251).fit, "problem"],
    [fitLoopDelay(balanced, 251).fit, "warning"],
    [fitPeer(fast, 212).fit, "ok"],
    [fitPeer(fast, 425).fit, "warning"],
    [fitPeer(fast, 426).fit, "problem"],
    [fitOffset(-1000, 0).fit, "ok"],
    [fitOffset(-1500, 400).fit, "warning"],
    [fitDrift(fast, 0.0001, 0.005).fit, "ok"],
    [fitDrift(fast, 0.0001, 0.02).fit, "ok"],
    [fitDrift(fast, 0.015, 0.02).fit, "warning"],
    [fitDrift(fast, -0.02, 0.005).fit, "problem"],
  ];
  for (const [index, [found, expected]] of table.entries()) assert.equal(found, expected, `row ${index}`);
});

test("a percentile is a value that was measured, and as many lie below as it says", () => {
  assert.equal(percentile([], 0.99), null);
  fc.assert(
    fc.property(
      fc.array(fc.integer(), { minLength: 1 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (values, share) => {
        const found = percentile(values, share);
        assert.ok(found !== null && values.includes(found));
        assert.ok(share * values.length <= values.filter((value) => value <= found).length + 1e-9);
      },
    ),
  );
});
