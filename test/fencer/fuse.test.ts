/** The fuse, by table and by property: F1 to F5 of `src/fencer/fuse.ts`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { burn, confirmGone, disarm, type Fuse, isExpired, newFuse, pet } from "../../src/fencer/fuse.ts";

const armed: Fuse = { ...newFuse, kind: "armed", epoch: 7, deadline: 1000 };
const burnt = confirmGone(burn(armed));

function check(fuse: Fuse, epoch: number, deadline: number, now: number, expected: "taken" | RegExp): void {
  const outcome = pet(fuse, { epoch, deadline }, now, 15_000);
  if (expected === "taken") assert.equal(outcome.kind, "taken", JSON.stringify(outcome));
  else {
    assert.equal(outcome.kind, "refused");
    assert.match((outcome as { because: string }).because, expected);
  }
}

test("a pet is taken exactly when it is newer, in time, and of an epoch that may", () => {
  check(newFuse, 1, 1000, 0, "taken");
  check(newFuse, 0, 1000, 0, /begin at 1/);
  check(armed, 7, 1400, 500, "taken");
  check(armed, 7, 1000, 500, "taken");
  check(armed, 8, 900, 500, "taken");
  check(armed, 7, 999, 500, /earlier deadline/);
  check(armed, 6, 1400, 500, /epoch 7 was seen/);
  check(armed, 7, 5000, 1000, "taken");
  check(armed, 7, 5000, 1000.001, /has passed/);
  check(armed, 8, 5000, 1001, /has passed/);
  check(newFuse, 1, 1000, 1000, /after its own deadline/);
  check(newFuse, 1, 1_790_000_000_000, 1000, /monotonic clock/);
  check(burn(armed), 8, 2000, 1001, /being ended/);
  check(burnt, 7, 2000, 1001, /fired in epoch 7/);
  check(burnt, 6, 2000, 1001, /fired in epoch 7/);
  check(burnt, 8, 2000, 1001, "taken");
});

test("after a firing a disarm lets the member be started, and the epoch stays burnt", () => {
  const outcome = disarm(burnt, { epoch: 7 });
  assert.equal(outcome.kind, "taken");
  if (outcome.kind === "taken") check(outcome.fuse, 7, 2000, 1001, /fired in epoch 7/);
  assert.equal(disarm(armed, { epoch: 6 }).kind, "refused");
  assert.equal(disarm(burn(armed), { epoch: 7 }).kind, "refused");
});

test("whatever comes in whatever order: epochs and deadlines never go back, and what burnt is never armed again", () => {
  // Small numbers, so that equal ones are common.
  const small = fc.integer({ min: 0, max: 6 });
  const step = fc.record({
    do: fc.constantFrom("pet", "disarm", "gone"),
    epoch: small,
    ahead: small,
    pass: small,
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let fuse = newFuse;
      let now = 0;
      for (const { do: what, epoch, ahead, pass } of steps) {
        now += pass;
        if (isExpired(fuse, now)) fuse = burn(fuse);
        const before = fuse;
        if (what === "gone" && fuse.kind === "burnt") fuse = confirmGone(fuse);
        const outcome =
          what === "pet" ? pet(fuse, { epoch, deadline: now + ahead }, now, 15_000) : disarm(fuse, { epoch });
        if (what !== "gone" && outcome.kind === "taken") fuse = outcome.fuse;
        assert.ok(before.epoch <= fuse.epoch);
        assert.ok(before.burntEpoch <= fuse.burntEpoch);
        if (fuse.kind === "armed") {
          assert.ok(fuse.burntEpoch < fuse.epoch, "armed in a burnt epoch");
          assert.ok(now <= fuse.deadline);
          if (before.kind === "armed" && before.epoch === fuse.epoch) {
            assert.ok(before.deadline <= fuse.deadline);
          }
          if (before.kind === "burnt") assert.ok(before.confirmed, "armed before it was seen gone");
        }
      }
    }),
  );
});
