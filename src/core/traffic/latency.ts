/**
 * How long an upstream takes, as a number to choose by (Finagle's peak EWMA, `PeakEwma.scala`).
 *
 * A slower answer than usual counts at once and in full, a faster one little by little: an upstream that begins to hang is
 * left after one answer, and comes back by time and not by luck.
 */
import type { InstantMs, SpanMs } from "../model/time.ts";

export interface Latency {
  /** 0: nothing is known yet. */
  readonly ms: SpanMs;
  readonly at: InstantMs;
}

export const unknownLatency: Latency = { ms: 0, at: 0 };

/** Finagle: 10 s. Shorter: a slow answer is forgotten sooner, and tried for again. */
const forgetsOverMs = 10_000;

export function afterLatency(before: Latency, tookMs: SpanMs, now: InstantMs): Latency {
  if (before.ms < tookMs) return { ms: tookMs, at: now };
  const kept = Math.exp(-Math.max(0, now - before.at) / forgetsOverMs);
  return { ms: before.ms * kept + tookMs * (1 - kept), at: now };
}

/** What one more request there would cost: the time, as far as it is remembered, for each that is under way, and for itself. */
export function costOf({ ms, at }: Latency, inFlight: number, now: InstantMs): number {
  const remembered = ms * Math.exp(-Math.max(0, now - at) / forgetsOverMs);
  // Of those that nothing is known of, the one with the least to do.
  return (remembered + 0.001) * (inFlight + 1);
}
