/**
 * How many repeats there may be, so that a sick region is not beaten with retries (S16).
 *
 * - B1. At any moment at most `ratio` of the requests under way are repeats.
 * - B2. Over time at most `ratio` of the requests are sent again: what servers are offered is at most 1.2 times what people
 *   ask for. B1 alone does not give that: a region that refuses in a millisecond could be asked again by everybody.
 * - B3. With few requests `atLeast` a second: else nobody alone could ever repeat.
 */
import type { InstantMs } from "../model/time.ts";

export interface RetryBudget {
  /** Share of the requests, 0 to 1. */
  readonly ratio: number;
  /** Always allowed at once, and in each second, however few requests there are (Envoy: 3 at once). */
  readonly atLeast: number;
}

/** B1. A repeat that finds no room waits its turn, since P5 promises that only latency is seen. */
export function mayRepeat(budget: RetryBudget, requestsActive: number, repeatsActive: number): boolean {
  return repeatsActive < Math.max(budget.atLeast, Math.floor(budget.ratio * requestsActive));
}

/**
 * Finagle's `RetryBudget` remembers 10 s too. Longer: more repeats at once after a quiet time; shorter than
 * `tryTimeout / ratio` (2 s / 0.2): requests that were under way when a region froze could not all be repeated at once.
 */
const remembersMs = 10_000;

/**
 * B2, B3: requests and what was sent again, both forgotten at the same pace. One object for the life of a service, changed
 * in place: it is told of every request.
 */
export class RetryLedger {
  #requests = 0;
  #resent = 0;
  #at: InstantMs = 0;

  request(now: InstantMs): void {
    this.#forget(now);
    this.#requests++;
  }

  mayResend({ ratio, atLeast }: RetryBudget, now: InstantMs): boolean {
    this.#forget(now);
    const allowed = Math.max(ratio * this.#requests, (atLeast * remembersMs) / 1000);
    return this.#resent + 1 <= allowed;
  }

  /** What had been sent before, wholly or in part, is sent again. A request of which no byte left costs nobody anything. */
  resent(now: InstantMs): void {
    this.#forget(now);
    this.#resent++;
  }

  #forget(now: InstantMs): void {
    const elapsedMs = now - this.#at;
    // In steps: an exponential for each request would be the dearest part of choosing.
    if (elapsedMs < 50) return;
    const kept = Math.exp(-elapsedMs / remembersMs);
    this.#requests *= kept;
    this.#resent *= kept;
    this.#at = now;
  }
}
