/** How much time a request has left, and how much of it one try may take. */
import type { InstantMs, SpanMs } from "../model/time.ts";

export function leftOf(deadlineMs: SpanMs, arrivedAt: InstantMs, now: InstantMs): SpanMs {
  return arrivedAt + deadlineMs - now;
}

/** A try ends with the request: the client has given up by then. */
export function tryWithin(tryTimeoutMs: SpanMs, leftMs: SpanMs): SpanMs {
  return Math.max(1, Math.min(tryTimeoutMs, leftMs));
}

/** For the header, in whole milliseconds: rounded down, so that a service does not work for nobody. */
export function toldLeft(leftMs: SpanMs): string {
  return String(Math.max(0, Math.floor(leftMs)));
}
