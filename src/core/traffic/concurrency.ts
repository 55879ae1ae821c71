/**
 * How many requests an upstream can take at once, learnt from how long they take (after Netflix's concurrency-limits,
 * `Gradient2Limit`).
 *
 * When answers come slower than they usually do, a queue is building up somewhere, and the limit shrinks in proportion;
 * when they do not, it grows by a little, so that it finds out whether there is room.
 */
import type { Priority } from "../model/degradation.ts";
import type { SpanMs } from "../model/time.ts";

export interface ConcurrencyLimit {
  readonly limit: number;
  /** Exponential mean over some 600 answers: what is usual. 0: none yet. */
  readonly usualMs: SpanMs;
}

export interface ConcurrencyRules {
  readonly least: number;
  readonly most: number;
  /** Slower than usual by this factor is still no queue. Netflix: 1.5; higher: more load, longer answers. */
  readonly tolerance: number;
  /** Share of the new estimate that is taken at once, 0 to 1. Netflix: 0.2; higher: faster and more restless. */
  readonly smoothing: number;
}

/**
 * `least` 32: with tries of 2 s that nobody answers, 16 a second still find out whether the upstream is back.
 * `most` 512: as many connections as there may be.
 */
export const concurrencyRules: ConcurrencyRules = { least: 32, most: 512, tolerance: 1.5, smoothing: 0.2 };

export const firstLimit: ConcurrencyLimit = { limit: 64, usualMs: 0 };

/** Netflix: the long window. Shorter: overload is taken for usual sooner. */
const usualOver = 600;

export interface Answered {
  readonly tookMs: SpanMs;
  /** Under way when it began, this one counted. */
  readonly inFlight: number;
  /** It was refused or timed out: there was no room for it. */
  readonly dropped: boolean;
}

export function afterAnswer(
  before: ConcurrencyLimit,
  answered: Answered,
  rules: ConcurrencyRules,
): ConcurrencyLimit {
  if (answered.dropped) return { ...before, limit: Math.max(rules.least, before.limit * 0.9) };
  const tookMs = Math.max(0.01, answered.tookMs);
  const usualMs = before.usualMs === 0 ? tookMs : before.usualMs + (tookMs - before.usualMs) / usualOver;
  // Load went away: what was usual in the jam is forgotten faster than it was learnt.
  const settledMs = usualMs > 2 * tookMs ? usualMs * 0.95 : usualMs;
  // Far below the limit nothing is learnt about it: it must not grow without having been tried.
  if (answered.inFlight < before.limit / 2) return { limit: before.limit, usualMs: settledMs };
  const gradient = Math.max(0.5, Math.min(1, (rules.tolerance * settledMs) / tookMs));
  const room = Math.sqrt(before.limit);
  const estimate = before.limit * gradient + room;
  const limit = before.limit * (1 - rules.smoothing) + estimate * rules.smoothing;
  return { limit: Math.max(rules.least, Math.min(rules.most, limit)), usualMs: settledMs };
}

/**
 * Share of the limit that a class may fill: what is kept free above it is the higher classes' (so critical requests find
 * room at any load that they alone do not fill). Source: the order of AWS's and Google's load shedders; shares are ours.
 */
const shares: Readonly<Record<Priority, number>> = { critical: 1, standard: 0.9, sheddable: 0.7 };

export function mayEnter(limit: number, inFlight: number, priority: Priority): boolean {
  return inFlight < Math.max(1, Math.floor(limit * shares[priority]));
}
