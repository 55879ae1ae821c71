/**
 * How many requests an upstream can take at once, learnt from how long they take (after Netflix's concurrency-limits,
 * `Gradient2Limit`, with Envoy's idea of measuring again what is usual).
 *
 * When answers come slower than they usually do, a queue is building up somewhere, and the limit shrinks in proportion;
 * when they do not, it grows by a little, so that it finds out whether there is room.
 *
 * - N1. What counts is the mean over a window, never one answer: a service whose answers differ a hundredfold has no queue
 *   because of that.
 * - N2. What is usual is learnt where no queue is: far below the limit. An overload of hours is not taken for usual.
 * - N3. When answers have been slower than usual for long, a trial with less than half the limit tells whether it is a queue (they
 *   get faster) or the service (they do not).
 */
import type { InstantMs, SpanMs } from "../model/time.ts";

export interface ConcurrencyLimit {
  /** In a trial: what is let in during it. */
  readonly limit: number;
  /** Mean without a queue. 0: not known yet. */
  readonly usualMs: SpanMs;
  /** When that was last found to be so. */
  readonly knownAt: InstantMs;
  /** The window: since when, how many answers, their times together, and the most that were under way in it. */
  readonly since: InstantMs;
  readonly answers: number;
  readonly sumMs: SpanMs;
  readonly longestMs: SpanMs;
  readonly inFlightMost: number;
  /** Windows that usual was learnt from. */
  readonly learnt: number;
  /** Of a trial: answers to what began until then count. */
  readonly countsUntil: InstantMs;
  /** The limit before the trial that is on; 0: none is. */
  readonly before: number;
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

export const firstLimit: ConcurrencyLimit = {
  limit: 64,
  usualMs: 0,
  knownAt: 0,
  since: 0,
  answers: 0,
  sumMs: 0,
  longestMs: 0,
  inFlightMost: 0,
  learnt: 0,
  countsUntil: 0,
  before: 0,
};

/** Shorter: restless; longer: it reacts late. The mean of 16 answers is right to a fourth of their spread. */
const windowMs: SpanMs = 20;
const windowAnswers = 16;
/** A window is as long as its longest answer, or it would be fast ones one time and slow ones another; but no longer. */
const windowMaxMs: SpanMs = 250;
/** The first answers are the fast ones: those that take long are still under way. */
const firstWindows = 4;
const firstWindowMs: SpanMs = 200;
/** Nobody is shed for so little: what takes 0.3 ms alone takes 2 ms beside 63 others, and all of them are well served. */
const unnoticedMs: SpanMs = 5;
/** Netflix learns over 600 answers; these are some 40 windows. */
const learning = 0.025;
/** Shorter: more often half the limit for a moment; longer: a service that became slower is kept small for as long. */
const trialEveryMs: SpanMs = 10_000;
/** After a trial that found a queue, there may be more of it below. */
const trialAgainMs: SpanMs = 1000;
const trialMaxMs: SpanMs = 2000;
/** Of the limit. At about twice as slow as usual the limit stands still: it takes less than half to find a queue below. */
const trialShare = 0.4;
/** Below `least`, which is meant for upstreams that do not answer at all. */
const trialLeast = 8;

export interface Answered {
  readonly now: InstantMs;
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
  const { now, tookMs, inFlight } = answered;
  if (before.before > 0) return inTrial(before, answered, rules);
  if (answered.dropped) return { ...before, limit: Math.max(rules.least, before.limit * 0.9) };
  const since = before.answers === 0 ? now : before.since;
  const window = {
    ...before,
    since,
    answers: before.answers + 1,
    sumMs: before.sumMs + Math.max(0.01, tookMs),
    longestMs: Math.max(before.longestMs, tookMs),
    inFlightMost: Math.max(before.inFlightMost, inFlight),
  };
  const leastMs = before.learnt < firstWindows ? firstWindowMs : windowMs;
  const forMs = Math.max(leastMs, Math.min(windowMaxMs, window.longestMs));
  if (window.answers < windowAnswers || now - since < forMs) return window;
  return { ...afterWindow(window, now, rules), answers: 0, sumMs: 0, longestMs: 0, inFlightMost: 0 };
}

function afterWindow(window: ConcurrencyLimit, now: InstantMs, rules: ConcurrencyRules): ConcurrencyLimit {
  const { limit, usualMs } = window;
  const meanMs = window.sumMs / window.answers;
  const isBusy = limit / 2 <= window.inFlightMost;
  // N2, but for the first: nothing is known yet.
  const next =
    !isBusy || window.learnt < firstWindows || meanMs < usualMs
      ? { ...window, usualMs: newUsual(window, meanMs), learnt: window.learnt + 1 }
      : window;
  // Nothing is learnt about the limit: it must not grow without having been tried.
  if (!isBusy) return { ...next, knownAt: now };
  const bearableMs = rules.tolerance * next.usualMs + unnoticedMs;
  const gradient = Math.max(0.5, Math.min(1, bearableMs / meanMs));
  // N3.
  if (gradient < 1 && window.knownAt + trialEveryMs <= now) {
    const countsUntil = now + Math.min(trialMaxMs, Math.max(windowMs, 2 * meanMs));
    return {
      ...next,
      since: now,
      countsUntil,
      before: limit,
      limit: Math.max(trialLeast, limit * trialShare),
    };
  }
  // Long windows of many answers are rare: without a sign of a queue it grows by as much as in many short ones.
  const steps = gradient < 1 ? 1 : Math.min(8, window.answers / windowAnswers);
  const estimate = limit * gradient + Math.sqrt(limit) * steps;
  const smoothed = limit * (1 - rules.smoothing) + estimate * rules.smoothing;
  return { ...next, limit: Math.max(rules.least, Math.min(rules.most, smoothed)) };
}

/** Twice as long as its answers may begin: or only the fast ones of them would be seen. */
function inTrial(trial: ConcurrencyLimit, answered: Answered, rules: ConcurrencyRules): ConcurrencyLimit {
  const { now, tookMs, inFlight, dropped } = answered;
  const began = now - tookMs;
  // Those that were let in before waited behind more than the trial lets in.
  const counts = !dropped && trial.since <= began && began <= trial.countsUntil && inFlight <= trial.limit;
  const answers = trial.answers + (counts ? 1 : 0);
  const sumMs = trial.sumMs + (counts ? tookMs : 0);
  if (now - trial.countsUntil < trial.countsUntil - trial.since) return { ...trial, answers, sumMs };
  const after = {
    ...trial,
    answers: 0,
    sumMs: 0,
    before: 0,
    knownAt: now,
    limit: Math.max(rules.least, trial.before),
  };
  if (answers === 0) return after;
  const usualMs = Math.max(0.01, sumMs / answers);
  // By the share of the trial, or near it: it was a queue to the end, and there may be one below. Above, there was none.
  const foundQueue = usualMs < 0.75 * trial.usualMs;
  return { ...after, usualMs, knownAt: foundQueue ? now - trialEveryMs + trialAgainMs : now };
}

/** What is twice as fast as usual is believed at once: load went away, and what was usual in a jam is to be forgotten. */
function newUsual({ usualMs, learnt }: ConcurrencyLimit, meanMs: SpanMs): SpanMs {
  const weight = 2 * meanMs < usualMs ? 0.5 : Math.max(learning, 1 / (learnt + 1));
  return usualMs === 0 ? meanMs : usualMs + (meanMs - usualMs) * weight;
}

/** `critical` is never shed for another's sake; `sheddable` goes first. */
export type Priority = "critical" | "standard" | "sheddable";

/**
 * Share of the limit that a class may fill: what is kept free above it is the higher classes' (so critical requests find
 * room at any load that they alone do not fill). Source: the order of AWS's and Google's load shedders; shares are ours.
 */
const shares: Readonly<Record<Priority, number>> = { critical: 1, standard: 0.9, sheddable: 0.7 };

export function mayEnter(limit: number, inFlight: number, priority: Priority): boolean {
  return inFlight < Math.max(1, Math.floor(limit * shares[priority]));
}
