/** A service's traffic rules, made ready once per route: what is asked for every request is only looked up then. */
import type { SpanMs } from "../core/model/time.ts";
import type { AffinityRules, TrafficRules } from "../core/model/traffic.ts";
import { type ArrangeRules, plainArrangement } from "../core/traffic/levels.ts";
import { compileSovereignty, type LimitOf } from "../core/traffic/sovereignty.ts";

export interface PlanRules {
  readonly arrange: ArrangeRules;
  readonly byLatency: boolean;
  /** Of the upstreams of the service, see `boundEjections`. */
  readonly ejectedShareMax: number;
  readonly limitOf: LimitOf | null;
  readonly affinity: AffinityRules | null;
  readonly deadlineMs: SpanMs | null;
  /** See `HedgeRules`; null: none. */
  readonly hedgeAfter: number | null;
}

/** Where nothing is asked for: one object for all services, so that nothing is paid for it. */
export const plainPlan: PlanRules = {
  arrange: plainArrangement,
  byLatency: false,
  ejectedShareMax: 1,
  limitOf: null,
  affinity: null,
  deadlineMs: null,
  hedgeAfter: null,
};

export function planRules(traffic: TrafficRules | undefined): PlanRules {
  if (!traffic) return plainPlan;
  const { sovereignty, balance, affinity, outliers, deadlineMs, hedge } = traffic;
  return {
    arrange: balance ?? plainArrangement,
    byLatency: balance?.pick === "latency",
    ejectedShareMax: outliers?.shareMax ?? 1,
    limitOf: sovereignty ? compileSovereignty(sovereignty) : null,
    affinity: affinity ?? null,
    deadlineMs: deadlineMs ?? null,
    hedgeAfter: hedge?.after ?? null,
  };
}
