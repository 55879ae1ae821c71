/**
 * A breaker for one upstream: failures in a row eject it for a while, a probe that succeeds lets it back in.
 *
 * Passive and bounded: it only orders targets, it never takes the last one away (see `choose`).
 */
import type { InstantMs, SpanMs } from "../model/time.ts";

export interface Breaker {
  readonly failuresInRow: number;
  /** Times it was ejected in a row: each ejection lasts longer. */
  readonly ejections: number;
  /** Ejected until a probe after this instant succeeds; null: closed. */
  readonly openUntil: InstantMs | null;
}

export interface BreakerLimits {
  /** Failures in a row that eject. Lower: faster away from a dead region; higher: fewer false ejections. */
  readonly failuresMax: number;
  /** The n-th ejection in a row lasts n times this long before a probe may end it (Envoy: 30 s). */
  readonly baseEjectionMs: SpanMs;
  readonly maxEjectionMs: SpanMs;
}

/**
 * 3 in a row: at 1 % of errors once in a million requests. 500 ms and not Envoy's 30 s, since a probe of ours and not a
 * user's request tries whether the upstream is back: trying early costs nobody anything.
 */
export const breakerLimits: BreakerLimits = { failuresMax: 3, baseEjectionMs: 500, maxEjectionMs: 10_000 };

export const closedBreaker: Breaker = { failuresInRow: 0, ejections: 0, openUntil: null };

export function isOpen(breaker: Breaker): boolean {
  return breaker.openUntil !== null;
}

export function afterFailure(breaker: Breaker, now: InstantMs, limits: BreakerLimits): Breaker {
  const failuresInRow = breaker.failuresInRow + 1;
  // Failures of requests that were on their way when it opened say nothing new.
  if (breaker.openUntil !== null) return { ...breaker, failuresInRow };
  if (failuresInRow < limits.failuresMax) return { ...breaker, failuresInRow };
  return eject(breaker, failuresInRow, now, limits);
}

/** A request or probe succeeded. One success closes it: the next failures count from zero. */
export function afterSuccess(breaker: Breaker): Breaker {
  if (breaker.failuresInRow === 0 && breaker.openUntil === null && breaker.ejections === 0) return breaker;
  return closedBreaker;
}

export function mayProbe(breaker: Breaker, now: InstantMs): boolean {
  return breaker.openUntil !== null && breaker.openUntil <= now;
}

export function afterProbeFailure(breaker: Breaker, now: InstantMs, limits: BreakerLimits): Breaker {
  return eject(breaker, breaker.failuresInRow, now, limits);
}

function eject(breaker: Breaker, failuresInRow: number, now: InstantMs, limits: BreakerLimits): Breaker {
  const ejections = breaker.ejections + 1;
  const lastsMs = Math.min(ejections * limits.baseEjectionMs, limits.maxEjectionMs);
  return { failuresInRow, ejections, openUntil: now + lastsMs };
}
