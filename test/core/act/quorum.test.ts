/** What commits wait for is widened before it is published, and published before it is narrowed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { nextQuorumStep, type QuorumSet, sameSet } from "../../../src/core/act/quorum.ts";
import type { CopyRef } from "../../../src/core/model/record.ts";

const copies: readonly CopyRef[] = ["a", "b", "c", "d"].flatMap((member) =>
  // Of each member a first and a rebuilt incarnation: the old one must never stand in for the new.
  [1, 2].map((life) => ({ member, incarnation: `${member}#${life}` })),
);

/** Q1 as a question: does waiting for `configured` keep the promise of `published`? */
function isAtLeastAsStrong(configured: QuorumSet, published: QuorumSet): boolean {
  if (published.acknowledgements === 0) return true;
  return (
    configured.acknowledgements >= published.acknowledgements &&
    configured.standbys.every((copy) => published.standbys.includes(copy))
  );
}

const quorumSet: fc.Arbitrary<QuorumSet> = fc
  .subarray([...copies], { maxLength: 4 })
  .chain((standbys) =>
    fc.integer({ min: 0, max: standbys.length }).map((acknowledgements) => ({ acknowledgements, standbys })),
  );

/** As the machine does it: one step after the other, until there is none. Each step is told what both are then. */
function walk(
  start: QuorumSet,
  wanted: QuorumSet,
  see: (published: QuorumSet, configured: QuorumSet) => void,
): number {
  let published = start;
  let configured = start;
  for (let steps = 0; ; steps++) {
    const step = nextQuorumStep(published, configured, wanted);
    if (step.kind === "done") return steps;
    if (step.kind === "publish") published = step.set;
    else configured = step.set;
    see(published, configured);
    assert.ok(steps < 4, "it does not come to an end");
  }
}

test("Q1: at every moment PostgreSQL waits for at least what is published", () => {
  fc.assert(
    fc.property(quorumSet, quorumSet, (start, wanted) => {
      walk(start, wanted, (published, configured) => {
        assert.ok(isAtLeastAsStrong(configured, published));
      });
    }),
    { numRuns: 3000 },
  );
});

test("Q1 holds when what is wanted changes in the middle of a change", () => {
  fc.assert(
    fc.property(quorumSet, fc.array(fc.tuple(quorumSet, fc.nat(3)), { maxLength: 6 }), (start, plan) => {
      let published = start;
      let configured = start;
      for (const [wanted, steps] of plan)
        for (let count = 0; count < steps; count++) {
          const step = nextQuorumStep(published, configured, wanted);
          if (step.kind === "publish") published = step.set;
          if (step.kind === "configure") configured = step.set;
          assert.ok(isAtLeastAsStrong(configured, published));
        }
    }),
    { numRuns: 3000 },
  );
});

test("a change ends, in three steps at most, with both as they are wanted", () => {
  fc.assert(
    fc.property(quorumSet, quorumSet, (start, wanted) => {
      let last: [QuorumSet, QuorumSet] = [start, start];
      const steps = walk(start, wanted, (published, configured) => {
        last = [published, configured];
      });
      assert.ok(steps <= 3);
      assert.ok(sameSet(last[0], wanted) && sameSet(last[1], wanted));
    }),
  );
});

test("strength means loss: what one promises of a write, the stronger one keeps, whoever acknowledged it", () => {
  fc.assert(
    fc.property(quorumSet, quorumSet, fc.subarray([...copies]), (configured, published, flushed) => {
      const count = (set: QuorumSet) => set.standbys.filter((copy) => flushed.includes(copy)).length;
      const acknowledged = count(configured) >= configured.acknowledgements;
      if (isAtLeastAsStrong(configured, published) && acknowledged)
        assert.ok(count(published) >= published.acknowledgements);
    }),
    { numRuns: 5000 },
  );
});
