/** Active checks of an upstream: answers in, healthy or not out; so many in a row turn it, one alone never does. */

import type { SpanMs } from "../model/time.ts";
import type { CheckRules } from "../model/traffic.ts";

export interface Checked {
  readonly isHealthy: boolean;
  /** Answers in a row that speak against `isHealthy`. */
  readonly against: number;
}

/** Nobody is called ill before it was asked: an edge that starts serves at once. */
export const unchecked: Checked = { isHealthy: true, against: 0 };

export function afterCheck(before: Checked, passed: boolean, rules: CheckRules): Checked {
  if (passed === before.isHealthy) return before.against === 0 ? before : { ...before, against: 0 };
  const against = before.against + 1;
  const needed = before.isHealthy ? rules.unhealthyAfter : rules.healthyAfter;
  return against < needed ? { ...before, against } : { isHealthy: passed, against: 0 };
}

/** `point` in [0, 1): evenly around `everyMs`, so that a thousand edges do not ask in step. */
export function nextCheckIn({ everyMs, jitter }: CheckRules, point: number): SpanMs {
  return everyMs * (1 + jitter * (2 * point - 1));
}
