/** Who may write and until when, by two clocks that drift apart. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  basisOf,
  expiresAt,
  holderDeadlines,
  isExpired,
  renewed,
  type SeenLease,
} from "../../../src/core/lease/lease.ts";
import { leaseProfiles } from "../../../src/core/model/profile.ts";
import type { LeaseRecord } from "../../../src/core/model/record.ts";
import { committedLease as record } from "../parts/lease.ts";

const seen = (more: Partial<LeaseRecord> = {}): SeenLease => ({
  record: { ...record, ...more },
  revision: 40,
  seenAt: 1000,
});
const profiles = Object.values(leaseProfiles);
const profile = fc.constantFrom(...profiles);

test("each profile renews before it freezes, freezes before it stops, and stops before the lease ends", () => {
  for (const { renewMs, freezeMs, stopMs, leaseMs } of profiles)
    assert.ok(renewMs < freezeMs && freezeMs < stopMs && stopMs < leaseMs);
});

test("L1: whatever the delay and the drift, the fence comes before the first observer may claim", () => {
  fc.assert(
    fc.property(
      profile,
      fc.double({ min: 0, max: 1e7, noNaN: true }),
      fc.double({ min: 0, max: 60_000, noNaN: true }),
      fc.double({ min: -1, max: 1, noNaN: true }),
      (chosen, sentAt, delayMs, apart) => {
        // Both run by world time; the observer's clock is faster than the holder's by up to the assumed drift.
        const rate = 1 + apart * chosen.maxClockDriftRatio;
        const stopAt = holderDeadlines(sentAt, chosen).stopAt;
        const receivedAt = sentAt + delayMs;
        const observed = { ...seen(), seenAt: receivedAt * rate };
        const claimAt = expiresAt(observed, chosen) / rate;
        assert.ok(stopAt < claimAt, `stop at ${stopAt}, claim at ${claimAt}`);
      },
    ),
    { numRuns: 5000 },
  );
});

test("L1 is strict: at the very instant the lease still counts", () => {
  for (const chosen of profiles) {
    const at = expiresAt(seen(), chosen);
    assert.equal(isExpired(seen(), chosen, at), false);
    assert.equal(isExpired(seen(), chosen, at + 0.001), true);
  }
});

test("L4: a vacant lease does not expire, it is over already", () => {
  assert.equal(isExpired(seen({ phase: "vacant" }), leaseProfiles.fast, 1e9), false);
});

test("trap 5: a renewal never takes the published position down, and always differs from the one before", () => {
  fc.assert(
    fc.property(fc.nat(2000), (position) => {
      const next = renewed(record, position);
      assert.equal(next.durable.position, Math.max(record.durable.position, position));
      assert.equal(next.renewal, record.renewal + 1);
      assert.deepEqual({ ...next, renewal: 0, durable: null }, { ...record, renewal: 0, durable: null });
    }),
  );
});

test("a claim carries the basis on; what the primary wrote itself is its own basis", () => {
  assert.equal(basisOf(record, 40), 40);
  assert.equal(basisOf({ ...record, phase: "claimed", basis: 33 }, 40), 33);
});
