/**
 * What an edge sees of a service in, the level that it takes by itself out.
 *
 * - D1. Never above what the topology allows, and never by more than one step down at a time.
 * - D2. Up as soon as two looks in a row say so; down only after a calm that the level below would have borne too.
 * - D3. A level that had to be taken again soon after it was left is left later each time: under steady load the changes
 *   become rare, whatever the estimates in the topology are worth.
 */
import type { Levels } from "../model/degradation.ts";
import type { InstantMs, SpanMs } from "../model/time.ts";

export interface AutomaticRules {
  /** Share of requests that found no room, from which on there is too little of it. */
  readonly turnedAway: number;
  /** Fewer requests than this in a look prove nothing. */
  readonly requestsAtLeast: number;
  /** What is left free of the capacity before a level is lowered, 0 to 1. */
  readonly spare: number;
  /** Between two raises for want of room: the first must have had time to work. */
  readonly raiseEveryMs: SpanMs;
  /** The first calm before a level is lowered. Shorter: features are back sooner, and go again more often. */
  readonly calmMs: SpanMs;
  /** The longest calm, after relapses. */
  readonly calmMaxMs: SpanMs;
}

export const automaticRules: AutomaticRules = {
  turnedAway: 0.1,
  requestsAtLeast: 10,
  spare: 0.1,
  raiseEveryMs: 5000,
  calmMs: 30_000,
  calmMaxMs: 480_000,
};

export interface Automatic {
  readonly level: number;
  /** Looks in a row that asked for more. */
  readonly hot: number;
  readonly raisedAt: InstantMs;
  readonly loweredAt: InstantMs;
  /** Since when the level below would do; null: it would not. */
  readonly calmSince: InstantMs | null;
  /** How long a calm it takes now. */
  readonly patienceMs: SpanMs;
}

export const unraised: Automatic = {
  level: 0,
  hot: 0,
  raisedAt: Number.NEGATIVE_INFINITY,
  loweredAt: Number.NEGATIVE_INFINITY,
  calmSince: null,
  patienceMs: automaticRules.calmMs,
};

/** What came within the last look of a second. */
export interface Sight {
  /** Requests that came, refused ones too, per second. */
  readonly offeredRps: number;
  /** What may be sent to the regions left; null: not declared. */
  readonly entitledRps: number | null;
  readonly requests: number;
  /** Requests that found no room anywhere. */
  readonly turnedAway: number;
}

export function nextAutomatic(
  before: Automatic,
  levels: Pick<Levels, "automatic" | "steps"> | undefined,
  sight: Sight,
  now: InstantMs,
  rules: AutomaticRules = automaticRules,
): Automatic {
  const most = levels?.automatic ?? 0;
  if (levels === undefined || most === 0) return unraised;
  const level = Math.min(before.level, most);
  const isCrowded =
    rules.requestsAtLeast <= sight.requests && rules.turnedAway < sight.turnedAway / sight.requests;
  const needed = Math.max(
    fitting(levels, sight, 1),
    isCrowded && before.raisedAt + rules.raiseEveryMs <= now ? Math.min(most, level + 1) : 0,
  );
  if (level < needed) {
    const hot = before.hot + 1;
    if (hot < 2) return { ...before, level, hot, calmSince: null };
    return {
      ...before,
      level: needed,
      hot: 0,
      raisedAt: now,
      calmSince: null,
      patienceMs: patience(before, now, rules),
    };
  }
  // A look without any request turned away: one is enough to stay.
  const isCalm = sight.turnedAway === 0 && fitting(levels, sight, 1 - rules.spare) < level;
  if (level === 0 || !isCalm) return { ...before, level, hot: 0, calmSince: null };
  const calmSince = before.calmSince ?? now;
  if (now < calmSince + before.patienceMs) return { ...before, level, hot: 0, calmSince };
  return { ...before, level: level - 1, hot: 0, loweredAt: now, calmSince: null };
}

/** The lowest level at which what is offered fits; the highest that is allowed when it fits at none. */
function fitting(
  { automatic, steps }: Pick<Levels, "automatic" | "steps">,
  sight: Sight,
  share: number,
): number {
  const { offeredRps, entitledRps } = sight;
  if (entitledRps === null) return 0;
  for (let level = 0; level <= automatic; level++) {
    const saves = steps[level - 1]?.saves ?? 0;
    if (offeredRps * (1 - saves) <= entitledRps * share) return level;
  }
  return automatic;
}

/** D3. Only the first raise after a lowering says anything about it. */
function patience(
  { raisedAt, loweredAt, patienceMs }: Automatic,
  now: InstantMs,
  rules: AutomaticRules,
): SpanMs {
  if (loweredAt <= raisedAt) return patienceMs;
  const isRelapse = now - loweredAt < 2 * patienceMs;
  return isRelapse ? Math.min(rules.calmMaxMs, 2 * patienceMs) : rules.calmMs;
}
