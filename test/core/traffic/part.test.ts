/** Limits divided among processes: what they add up to. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { partOf, whole } from "../../../src/core/traffic/part.ts";

test("parts of a limit add up to it, and differ by 1 at most", () => {
  const arb = fc
    .integer({ min: 1, max: 64 })
    .chain((of) => fc.record({ of: fc.constant(of), total: fc.integer({ min: of, max: 100_000 }) }));
  fc.assert(
    fc.property(arb, ({ of, total }) => {
      const parts = Array.from({ length: of }, (_, index) => partOf(total, { index, of }));
      assert.equal(
        parts.reduce((sum, part) => sum + part, 0),
        total,
      );
      assert.ok(Math.max(...parts) - Math.min(...parts) <= 1);
    }),
  );
});

test("nobody is left without, nothing stays nothing, and the whole is the whole", () => {
  assert.equal(partOf(1, { index: 0, of: 4 }), 1);
  assert.equal(partOf(0, { index: 3, of: 4 }), 0);
  assert.equal(partOf(Number.POSITIVE_INFINITY, { index: 1, of: 2 }), Number.POSITIVE_INFINITY);
  assert.equal(partOf(7, whole), 7);
});
