/** How long a request may wait for better times, and how often it looks whether they have come. */
import type { ServiceRules } from "../model/rules.ts";
import type { InstantMs, SpanMs } from "../model/time.ts";

export type HoldDecision =
  | { readonly kind: "wait"; readonly pauseMs: SpanMs }
  | { readonly kind: "give-up"; readonly because: string };

export interface HoldFacts {
  readonly now: InstantMs;
  /** When the request came in. */
  readonly arrivedAt: InstantMs;
  /** Pauses that it has made already. */
  readonly pauses: number;
  /** Requests held by this edge now, this one not counted. */
  readonly held: number;
}

const firstPauseMs: SpanMs = 5;
/** Ten looks a second: a change of writer that no table announces is noticed 50 ms late on average. */
const longestPauseMs: SpanMs = 100;

/** 5, 10, 20, 40, 80, 100, 100, ... milliseconds; a new table ends the pause at once. */
export function decideHold(rules: ServiceRules, facts: HoldFacts): HoldDecision {
  if (rules.holdMaxCount <= facts.held)
    return { kind: "give-up", because: `${facts.held} requests are held already` };
  const leftMs = facts.arrivedAt + rules.holdMaxMs - facts.now;
  if (leftMs <= 0) return { kind: "give-up", because: `held for ${rules.holdMaxMs} ms` };
  const backoffMs = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(facts.pauses, 10));
  return { kind: "wait", pauseMs: Math.min(backoffMs, leftMs) };
}
