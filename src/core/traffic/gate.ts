/**
 * Orders and the clock in, what a gate may pass out: the guard of L7, free of sockets.
 *
 * - G1. The clock outranks every order: after `holdAt` nothing passes, after `cutAt` every session ends.
 * - G2. An order below the highest epoch that was seen is refused; a higher one closes what the lower had opened.
 * - G3. `closed` is the beginning: a gate that nobody has opened passes nothing (R4, fail-closed).
 * - G4. During a drain only a session that has something under way passes, and only as long as G1 lets it.
 */
import type { Epoch } from "../model/id.ts";
import type { InstantMs } from "../model/time.ts";

export interface GateState {
  /** Highest epoch seen, from an order or from a table. */
  readonly epoch: Epoch;
  readonly mode: "open" | "hold" | "closed";
  readonly draining: boolean;
  readonly holdAt: InstantMs;
  readonly cutAt: InstantMs;
}

/** The part of a port's `GateOrder` that the rules need. */
export interface GateCommand {
  readonly epoch: Epoch;
  readonly mode: "open" | "hold" | "closed";
  readonly holdAt: InstantMs;
  readonly cutAt: InstantMs;
}

/** `pass`: all bytes. `finish`: only sessions with something under way (a drain). `hold`: none. `cut`: no session lives. */
export type GateVerdict = "pass" | "finish" | "hold" | "cut";

export const closedGate: GateState = { epoch: 0, mode: "closed", draining: false, holdAt: 0, cutAt: 0 };

export type GateOutcome =
  | { readonly kind: "refused"; readonly because: string }
  /** `cutSessions`: those that were opened under the lower epoch end now (S4). */
  | { readonly kind: "obeyed"; readonly state: GateState; readonly cutSessions: boolean };

export function obey(state: GateState, command: GateCommand): GateOutcome {
  if (command.epoch < state.epoch)
    return { kind: "refused", because: `epoch ${command.epoch} is below ${state.epoch}, which was seen` };
  const risen = state.epoch < command.epoch;
  return {
    kind: "obeyed",
    cutSessions: risen || command.mode === "closed",
    state: {
      epoch: command.epoch,
      mode: command.mode,
      // A holder that renews its lease repeats `hold` during a drain: that must not stop the drain.
      draining: command.mode === "hold" && !risen && state.draining,
      holdAt: command.holdAt,
      cutAt: command.cutAt,
    },
  };
}

/** A table or another gate told of an epoch: what is below it closes (S5). */
export function seeEpoch(state: GateState, epoch: Epoch): GateState {
  return epoch <= state.epoch ? state : { ...closedGate, epoch };
}

/** Holds an open gate and lets what is under way finish. A closed one has nothing to finish. */
export function startDrain(state: GateState): GateState {
  return state.mode === "closed" ? state : { ...state, mode: "hold", draining: true };
}

export function verdictAt(state: GateState, now: InstantMs): GateVerdict {
  if (state.mode === "closed" || state.cutAt <= now) return "cut";
  if (state.holdAt <= now) return "hold";
  if (state.mode === "open") return "pass";
  return state.draining ? "finish" : "hold";
}
