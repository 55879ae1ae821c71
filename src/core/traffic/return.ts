/**
 * How many writes may be under way while a writer comes back: few at first, one more with each that succeeds, and twice as
 * many with each tenth of a second in which none fails, so that slow writes do not wait for one another.
 *
 * After an outage everything that was held wants in at once; a database that has just been promoted would be overrun by it
 * (S16, SCENARIOS 46). Without a failure or a change there is no limit at all.
 */
import type { InstantMs } from "../model/time.ts";

export interface Returning {
  /** Writes that might be under way at `since`; Infinity: as many as come. */
  readonly limit: number;
  /** When the writer changed, or last failed. */
  readonly since: InstantMs;
}

export const unlimited: Returning = { limit: Number.POSITIVE_INFINITY, since: 0 };

/** Enough that the first tries already tell something. */
const firstLimit = 8;
/** Beyond this the bulkhead of each upstream is the limit. */
const enough = 512;
const doublesEveryMs = 100;

export function afterWriterFailed(now: InstantMs): Returning {
  return { limit: firstLimit, since: now };
}

/**
 * A new writer, which nobody has a session with yet: a planned change is over when the first write is through, and that one
 * waits for all that open sessions beside it.
 */
export function afterWriterChanged(now: InstantMs): Returning {
  return { limit: 1, since: now };
}

export function afterWriteSucceeded(returning: Returning): Returning {
  if (returning.limit === Number.POSITIVE_INFINITY) return returning;
  const limit = returning.limit + 1;
  return enough < limit ? unlimited : { ...returning, limit };
}

/** Writes that may be under way now. */
export function limitAt({ limit, since }: Returning, now: InstantMs): number {
  return limit * 2 ** Math.max(0, (now - since) / doublesEveryMs);
}
