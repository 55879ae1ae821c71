/**
 * A breaker for one upstream: failures in a row eject it for a while, a probe that succeeds lets it back in.
 *
 * Passive and bounded: it only orders targets, it never takes the last one away (see `choose`).
 */
import type { InstantMs, SpanMs } from "../model/time.ts";

export interface Breaker {
  readonly failuresInRow: number;
  /** Times it was ejected of late: each ejection lasts longer. */
  readonly ejections: number;
  /** Ejected until a probe after this instant succeeds; null: closed. */
  readonly openUntil: InstantMs | null;
  /** When it was last ejected or let back in. */
  readonly turnedAt: InstantMs;
}

export interface BreakerLimits {
  /** Failures in a row that eject. Lower: faster away from a dead region; higher: fewer false ejections. */
  readonly failuresMax: number;
  /** The n-th ejection lasts n times this long before a probe may end it (Envoy: 30 s). */
  readonly baseEjectionMs: SpanMs;
  /** The longest; and n goes down by one for each such span without an ejection (Envoy: 10 s each). */
  readonly maxEjectionMs: SpanMs;
}

/**
 * 3 in a row: at 1 % of errors once in a million requests. 500 ms and not Envoy's 30 s, since a probe of ours and not a
 * user's request tries whether the upstream is back: trying early costs nobody anything.
 */
export const breakerLimits: BreakerLimits = { failuresMax: 3, baseEjectionMs: 500, maxEjectionMs: 10_000 };

export const closedBreaker: Breaker = { failuresInRow: 0, ejections: 0, openUntil: null, turnedAt: 0 };

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

/**
 * A request or probe succeeded. One success closes it: the next failures count from zero. How often it was ejected is not
 * forgotten at once, or one that answers probes and fails requests would be back every half second.
 */
export function afterSuccess(breaker: Breaker, now: InstantMs): Breaker {
  if (breaker.openUntil !== null) return { ...breaker, failuresInRow: 0, openUntil: null, turnedAt: now };
  return breaker.failuresInRow === 0 ? breaker : { ...breaker, failuresInRow: 0 };
}

export function mayProbe(breaker: Breaker, now: InstantMs): boolean {
  return breaker.openUntil !== null && breaker.openUntil <= now;
}

export function afterProbeFailure(breaker: Breaker, now: InstantMs, limits: BreakerLimits): Breaker {
  return eject(breaker, breaker.failuresInRow, now, limits);
}

function eject(breaker: Breaker, failuresInRow: number, now: InstantMs, limits: BreakerLimits): Breaker {
  const calmMs = breaker.openUntil === null ? now - breaker.turnedAt : 0;
  const forgotten = Math.floor(calmMs / limits.maxEjectionMs);
  const ejections = Math.max(0, breaker.ejections - forgotten) + 1;
  const lastsMs = Math.min(ejections * limits.baseEjectionMs, limits.maxEjectionMs);
  const turnedAt = breaker.openUntil === null ? now : breaker.turnedAt;
  return { failuresInRow, ejections, openUntil: now + lastsMs, turnedAt };
}

/**
 * Which of a service's upstreams are left out, when at most `shareMax` of them may be and one always may: those that were
 * ejected first. `ejectedSince`: null where it is not.
 */
export function boundEjections(
  ejectedSince: readonly (InstantMs | null)[],
  shareMax: number,
): readonly boolean[] {
  const most = Math.max(1, Math.floor(ejectedSince.length * shareMax));
  const ejected = ejectedSince.flatMap((since, at) => (since === null ? [] : [{ since, at }]));
  const first = new Set(
    ejected
      .sort((a, b) => a.since - b.since)
      .slice(0, most)
      .map(({ at }) => at),
  );
  return ejectedSince.map((_since, at) => first.has(at));
}
