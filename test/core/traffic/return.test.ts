/** Writes return to a writer that failed or changed few by few, and never for long. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  afterWriterChanged,
  afterWriterFailed,
  afterWriteSucceeded,
  limitAt,
  unlimited,
} from "../../../src/core/traffic/return.ts";

test("after a failure eight writes may be under way, to a new writer one", () => {
  assert.equal(limitAt(afterWriterFailed(1000), 1000), 8);
  assert.equal(limitAt(afterWriterChanged(1000), 1000), 1);
  assert.equal(limitAt(unlimited, 1000), Number.POSITIVE_INFINITY);
});

test("each success lets one more in, until there is no limit", () => {
  let returning = afterWriterChanged(0);
  returning = afterWriteSucceeded(returning);
  assert.equal(limitAt(returning, 0), 2);
  for (let n = 0; n < 511; n++) returning = afterWriteSucceeded(returning);
  assert.equal(returning, unlimited);
});

test("slow writes do not wait for one another: within a second 1,000 may be under way", () => {
  const returning = afterWriterChanged(5000);
  assert.equal(limitAt(returning, 5100), 2);
  assert.ok(limitAt(returning, 6000) > 1000);
});

test("a writer that fails again begins anew, and a clock that stands before the change lets in no less", () => {
  assert.equal(limitAt(afterWriterFailed(9000), 9000), 8);
  assert.equal(limitAt(afterWriterChanged(9000), 8000), 1);
});
