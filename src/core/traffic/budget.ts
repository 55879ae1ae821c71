/** How many repeats may be under way at once, so that a sick region is not beaten with retries (S16). */

export interface RetryBudget {
  /** Share of the requests under way, 0 to 1. */
  readonly ratio: number;
  /** Always allowed at once, however few requests there are (Envoy: 3). */
  readonly atLeast: number;
}

/**
 * A repeat that finds no room is not refused: it waits its turn, since P5 promises that only latency is seen. At 20 % the
 * load on the upstreams is at most 1.2 times what people ask for at any moment.
 */
export function mayRepeat(budget: RetryBudget, requestsActive: number, repeatsActive: number): boolean {
  return repeatsActive < Math.max(budget.atLeast, Math.floor(budget.ratio * requestsActive));
}
