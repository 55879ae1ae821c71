/** What the services that share an upstream ask of it, as one: the strictest of each, since they share its troubles. */

import type { SpanMs } from "../model/time.ts";
import type { BulkheadRules, CheckRules, OutlierRules, TrafficRules } from "../model/traffic.ts";
import { type BreakerLimits, breakerLimits } from "./breaker.ts";

export interface UpstreamRules {
  readonly breaker: BreakerLimits;
  /** null: no answer only, and what was repeated elsewhere. */
  readonly counts: OutlierRules["count"] | null;
  readonly checks: CheckRules | null;
  readonly bulkhead: BulkheadRules;
  readonly slowStartMs: SpanMs;
  /** Whether anybody chooses by how long it takes. */
  readonly learnsLatency: boolean;
}

/** 512: a slow upstream ties up this many connections at most, and leaves the others their share. */
const plainBulkhead: BulkheadRules = {
  connections: 512,
  pending: Number.POSITIVE_INFINITY,
  requests: Number.POSITIVE_INFINITY,
};

/** Where nothing is asked for. */
export const plainRules: UpstreamRules = {
  breaker: breakerLimits,
  counts: null,
  checks: null,
  bulkhead: plainBulkhead,
  slowStartMs: 0,
  learnsLatency: false,
};

export function mergeRules(asked: readonly (TrafficRules | undefined)[]): UpstreamRules {
  return asked.reduce<UpstreamRules>((rules, traffic) => (traffic ? add(rules, traffic) : rules), plainRules);
}

function add(rules: UpstreamRules, { outliers, checks, bulkhead, slowStartMs, balance }: TrafficRules) {
  return {
    breaker: outliers
      ? {
          failuresMax: outliers.failures,
          baseEjectionMs: outliers.ejectionMs,
          maxEjectionMs: outliers.ejectionMaxMs,
        }
      : rules.breaker,
    counts: rules.counts === "all-5xx" ? rules.counts : (outliers?.count ?? rules.counts),
    checks:
      checks && (rules.checks === null || checks.everyMs < rules.checks.everyMs) ? checks : rules.checks,
    bulkhead: bulkhead ? narrower(rules.bulkhead, bulkhead) : rules.bulkhead,
    slowStartMs: Math.max(rules.slowStartMs, slowStartMs ?? 0),
    learnsLatency: rules.learnsLatency || balance?.pick === "latency",
  };
}

function narrower(one: BulkheadRules, other: BulkheadRules): BulkheadRules {
  return {
    connections: Math.min(one.connections, other.connections),
    pending: Math.min(one.pending, other.pending),
    requests: Math.min(one.requests, other.requests),
  };
}
