/**
 * Samples in, one vantage point's observation out.
 *
 * O1. Asymmetric on purpose, after gdnsd: down after few failures in a row, up again only after more successes in a
 *     row, so that what flaps stays down rather than flaps with its traffic.
 */

export interface Window {
  readonly sight: Sight;
  /** Failures in a row, or successes in a row since the last failure. */
  readonly failures: number;
  readonly successes: number;
}

export type Sight = "up" | "suspected" | "down";

/** Three losses in a row at 1 % loss: once in 12 days at one sample a second. Two: every 3 hours. */
const downAfter = 3;
const upAfter = 5;

/** What nobody has looked at yet is not accused. */
export const unseen: Window = { sight: "up", failures: 0, successes: 0 };

export function observe(window: Window, ok: boolean): Window {
  if (!ok) {
    const failures = window.failures + 1;
    if (window.sight === "down") return { sight: "down", failures, successes: 0 };
    return { sight: failures >= downAfter ? "down" : "suspected", failures, successes: 0 };
  }
  const successes = window.successes + 1;
  if (window.sight === "down" && successes < upAfter) return { sight: "down", failures: 0, successes };
  return { sight: "up", failures: 0, successes };
}
