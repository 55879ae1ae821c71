/** Slow start: an upstream that returned gets its share little by little, so that cold caches and pools are not overrun. */
import type { InstantMs, SpanMs } from "../model/time.ts";

/** Envoy's `min_weight_percent`: less, and nothing would be learnt of it. */
const least = 0.1;

/** The part of its weight that counts at `now`, 0.1 to 1. `since`: when it returned; null: it was never gone. */
export function rampAt(since: InstantMs | null, overMs: SpanMs, now: InstantMs): number {
  if (since === null || overMs <= 0) return 1;
  return Math.min(1, Math.max(least, (now - since) / overMs));
}
