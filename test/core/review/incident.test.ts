/** The marks of an incident in, the spans that responders ask for out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyChronicle, measured } from "../../../src/core/review/incident.ts";

test("a span between marks is null until both are reached", () => {
  assert.deepEqual(measured(emptyChronicle), {
    ttdMs: null,
    ttaMs: null,
    writableMs: null,
    recoveryMs: null,
  });
  assert.deepEqual(measured({ ...emptyChronicle, t0Impact: 0, t1Detected: 900 }), {
    ttdMs: 900,
    ttaMs: null,
    writableMs: null,
    recoveryMs: null,
  });
});

test("recovery counts from the impact, not from its detection", () => {
  const chronicle = {
    ...emptyChronicle,
    t0Impact: 10,
    t1Detected: 900,
    t2Acknowledged: 950,
    t5Writable: 1500,
    t7Validated: 1800,
  };
  assert.deepEqual(measured(chronicle), { ttdMs: 890, ttaMs: 50, writableMs: 1490, recoveryMs: 1790 });
});
