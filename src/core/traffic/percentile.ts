/**
 * A percentile of what is usual, from one number each (Frugal-1U with a step in proportion; Ma, Muthukrishnan, Sandler 2013).
 *
 * It goes up by `share` of a step when a value is above it, and down by the rest when it is below: it stands still where
 * `share` of the values lie below it.
 */

/** Of the estimate itself. Larger: follows a change sooner, and shakes more. */
const step = 0.05;

/** 0: nothing is known yet. */
export function afterValue(estimate: number, value: number, share: number): number {
  if (estimate === 0) return value;
  return value > estimate ? estimate * (1 + step * share) : estimate * (1 - step * (1 - share));
}
