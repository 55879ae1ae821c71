/** Instants and spans: a monotonic clock for deciding, a wall clock only for telling people when. */

/** Milliseconds on one host's monotonic clock (CLOCK_MONOTONIC, fractions allowed). Never compared between hosts. */
export type InstantMs = number;

/** A span in milliseconds, zero or more. */
export type SpanMs = number;

/** Milliseconds since 1970 on the wall clock: for reports and audit, never for a decision. */
export type WallMs = number;

/** The instant that never comes. */
export const NEVER: InstantMs = Number.POSITIVE_INFINITY;
