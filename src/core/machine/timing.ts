/** A lease profile in, every derived span out: one place where the formulas stand. */
import type { LeaseProfile } from "../model/profile.ts";
import type { SpanMs } from "../model/time.ts";

export interface Timing {
  /** One call of the store, at most: two tries fit between the last renewal and the freeze. */
  readonly storeTimeoutMs: SpanMs;
  /** Silence of the store after which an agent says that it does not see it. */
  readonly storeLostMs: SpanMs;
  /** A holder without a renewal asks its peers after this long, and again as often (L6). */
  readonly askAfterMs: SpanMs;
  readonly askEveryMs: SpanMs;
  /** Agents rewrite their record this often. */
  readonly beatMs: SpanMs;
  /** A vote waits this long for the seal that was begun with it. */
  readonly tellSealWithinMs: SpanMs;
  /** An agent that has not beaten for this long is silent. */
  readonly silentMs: SpanMs;
  /** A primary whose processes exist but do not answer is ended after this long. */
  readonly hungMs: SpanMs;
  /** A claim that has not led to a primary by then is given up (trap 3). */
  readonly promoteWithinMs: SpanMs;
  /** The same for the first primary of all: it is made from nothing, and nobody waits for it yet. */
  readonly initializeWithinMs: SpanMs;
  /** The second best candidate waits this long for the best. */
  readonly patienceMs: SpanMs;
  /** A published standby that does not stream for this long is left out. */
  readonly redundancyWaitMs: SpanMs;
  /** A standby that has not streamed for this long, with a primary that lives, is made anew. */
  readonly rejoinAfterMs: SpanMs;
  /** First pause after an operation failed; doubles up to `retryMaxMs`. */
  readonly retryMs: SpanMs;
  readonly retryMaxMs: SpanMs;
  /** Pause after an `end`, a `freeze` or a `thaw` failed; longer than an inspection takes, so that one gets through. */
  readonly guardRetryMs: SpanMs;
  /** Edges get this long to tell that they hold, sessions this long to finish, before a planned change goes on. */
  readonly holdWithinMs: SpanMs;
  readonly drainWithinMs: SpanMs;
  readonly stopWithinMs: SpanMs;
  readonly endWithinMs: SpanMs;
  readonly seedWithinMs: SpanMs;
}

export function timing(profile: LeaseProfile, storeTimeoutMs?: SpanMs): Timing {
  const { leaseMs, renewMs, freezeMs } = profile;
  return {
    // Two tries, the first sent one renewal after the last that succeeded: 1100 - 250 = 850 -> 425 in `fast`.
    storeTimeoutMs: storeTimeoutMs ?? (freezeMs - renewMs) / 2,
    storeLostMs: renewMs * 1.5,
    askAfterMs: renewMs * 1.5,
    askEveryMs: renewMs / 2,
    beatMs: renewMs,
    tellSealWithinMs: 30,
    silentMs: leaseMs * 1.5,
    // Hung is seldom, starved of CPU is not: ending a primary that would have answered costs a failover.
    hungMs: 2 * leaseMs,
    promoteWithinMs: Math.max(3 * leaseMs, 5000),
    initializeWithinMs: 120_000,
    patienceMs: renewMs * 2,
    redundancyWaitMs: Math.max(leaseMs, 2000),
    rejoinAfterMs: Math.max(6 * leaseMs, 15_000),
    retryMs: 50,
    retryMaxMs: 5000,
    guardRetryMs: 150,
    holdWithinMs: 150,
    drainWithinMs: 1000,
    stopWithinMs: 3000,
    endWithinMs: 2000,
    seedWithinMs: 3_600_000,
  };
}
