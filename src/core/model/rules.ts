/** How edges treat the requests of a service while something is changing: hold, try, repeat, serve stale. */
import type { SpanMs } from "./time.ts";

export interface ServiceRules {
  /** A held request waits this long at most, then 503 with Retry-After. */
  readonly holdMaxMs: SpanMs;
  /** Requests held at once by one edge, at most. */
  readonly holdMaxCount: number;
  /** One try, from sending to the head of the response. */
  readonly tryTimeoutMs: SpanMs;
  /** Repeats as a share of the requests, 0 to 1 (Envoy: 0.2, at least 3 at once). */
  readonly retryBudget: number;
  /** How old content may be that is served when all targets are bad; 0: none. */
  readonly staleMaxMs: SpanMs;
  /** TTL in DNS answers. */
  readonly ttlMs: SpanMs;
}
