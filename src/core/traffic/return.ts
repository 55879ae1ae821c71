/**
 * How many writes may be under way while a writer comes back: few at first, twice as many with each that succeeds.
 *
 * After an outage everything that was held wants in at once; a database that has just been promoted would be overrun by it
 * (S16, SCENARIOS 46). Without a failure there is no limit at all.
 */

export interface Returning {
  /** Writes that may be under way; Infinity: as many as come. */
  readonly limit: number;
}

export const unlimited: Returning = { limit: Number.POSITIVE_INFINITY };

/** As many sessions as one instance of a service has, so that the first tries already tell something. */
const firstLimit = 8;
/** Beyond this the bulkhead of each upstream is the limit. */
const enough = 512;

export function afterWriterFailed(): Returning {
  return { limit: firstLimit };
}

/** Doubles once for each full round of successes: one success in a round of eight adds one. */
export function afterWriteSucceeded(returning: Returning): Returning {
  if (returning.limit === Number.POSITIVE_INFINITY) return returning;
  const limit = returning.limit + 1;
  return enough < limit ? unlimited : { limit };
}
