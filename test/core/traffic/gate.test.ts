/** The rules of the gate, free of sockets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  closedGate,
  type GateState,
  obey,
  seeEpoch,
  startDrain,
  verdictAt,
} from "../../../src/core/traffic/gate.ts";

const open: GateState = { epoch: 3, mode: "open", draining: false, holdAt: 100, cutAt: 200 };

function told(state: GateState, command: Parameters<typeof obey>[1]): GateState {
  const outcome = obey(state, command);
  assert.equal(outcome.kind, "obeyed");
  return outcome.kind === "obeyed" ? outcome.state : state;
}

test("the clock outranks every order (G1)", () => {
  const rows = [
    [open, 99.999, "pass"],
    [open, 100, "hold"],
    [open, 200, "cut"],
    [startDrain(open), 99, "finish"],
    [startDrain(open), 100, "hold"],
    [startDrain(open), 200, "cut"],
    [{ ...open, mode: "hold" }, 0, "hold"],
    [{ ...open, mode: "closed" }, 0, "cut"],
    [closedGate, 0, "cut"],
  ] as const;
  for (const [state, now, expected] of rows) assert.equal(verdictAt(state as GateState, now), expected);
});

test("a lower epoch is refused, a higher one cuts what the lower had opened (G2)", () => {
  const order = { epoch: 3, mode: "open", holdAt: 300, cutAt: 400 } as const;
  assert.equal(obey(open, { ...order, epoch: 2 }).kind, "refused");
  const same = obey(open, order);
  assert.ok(same.kind === "obeyed" && !same.cutSessions);
  const higher = obey(open, { ...order, epoch: 4 });
  assert.ok(higher.kind === "obeyed" && higher.cutSessions);
  assert.equal(verdictAt(seeEpoch(open, 4), 0), "cut");
  assert.equal(seeEpoch(open, 3), open);
  assert.equal(obey(seeEpoch(open, 4), order).kind, "refused");
});

test("a drain survives the holder's renewals, and ends with open, closed or a new epoch (G4)", () => {
  const draining = startDrain(open);
  const renewed = told(draining, { epoch: 3, mode: "hold", holdAt: 300, cutAt: 400 });
  assert.equal(verdictAt(renewed, 150), "finish");
  assert.equal(told(renewed, { epoch: 3, mode: "open", holdAt: 300, cutAt: 400 }).draining, false);
  assert.equal(told(renewed, { epoch: 4, mode: "hold", holdAt: 300, cutAt: 400 }).draining, false);
  assert.equal(verdictAt(startDrain(closedGate), 0), "cut");
});

test("after any sequence of orders, nothing passes past a deadline or below the highest epoch", () => {
  const command = fc.record({
    epoch: fc.integer({ min: 0, max: 3 }),
    mode: fc.constantFrom("open" as const, "hold" as const, "closed" as const),
    holdAt: fc.integer({ min: 0, max: 20 }),
    cutAt: fc.integer({ min: 0, max: 20 }),
  });
  const event = fc.oneof(
    command.map((order) => ({ kind: "order" as const, order })),
    fc.integer({ min: 0, max: 3 }).map((epoch) => ({ kind: "epoch" as const, epoch })),
    fc.constant({ kind: "drain" as const }),
  );
  fc.assert(
    fc.property(fc.array(event), fc.integer({ min: 0, max: 20 }), (events, now) => {
      let state = closedGate;
      let highest = 0;
      for (const each of events) {
        if (each.kind === "order") {
          const outcome = obey(state, each.order);
          if (outcome.kind === "obeyed") state = outcome.state;
          highest = Math.max(highest, each.order.epoch);
        } else if (each.kind === "epoch") {
          state = seeEpoch(state, each.epoch);
          highest = Math.max(highest, each.epoch);
        } else state = startDrain(state);
        assert.equal(state.epoch, highest);
        const verdict = verdictAt(state, now);
        if (state.holdAt <= now) assert.ok(verdict === "hold" || verdict === "cut");
        if (state.cutAt <= now) assert.equal(verdict, "cut");
      }
    }),
  );
});
