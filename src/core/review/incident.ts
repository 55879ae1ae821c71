/**
 * A finished change of primary in, an incident out: what happened when, by one agent's clock, with the reasons.
 *
 * Instants are milliseconds after `impactAt`, the first thing this agent knows of the fault (for silence: the last
 * renewal that it saw, so that every figure is an upper bound).
 */
import type { Epoch, MemberName, RegionName, StoreName } from "../model/id.ts";
import type { SpanMs, WallMs } from "../model/time.ts";

export interface IncidentRecord {
  readonly schema: 1;
  readonly id: string;
  readonly kind: "failover" | "switchover" | "failback" | "bootstrap";
  readonly dataStore: StoreName;
  readonly epochBefore: Epoch;
  readonly epoch: Epoch;
  readonly from: MemberName | null;
  readonly to: MemberName;
  readonly writtenBy: RegionName;
  readonly impactAt: WallMs;
  readonly chronicle: Chronicle;
  /** Why it was decided: evidence for P8. */
  readonly because: string;
  readonly steps: readonly IncidentStep[];
  readonly status: "running" | "declared" | "paused";
  /** Copies that held every write when clients were admitted. */
  readonly redundancy: number;
}

/** Source of the names: DESIGN section 8. Null: has not happened (yet). */
export interface Chronicle {
  readonly t0Impact: SpanMs;
  readonly t1Detected: SpanMs | null;
  readonly t2Acknowledged: SpanMs | null;
  readonly t3Decided: SpanMs | null;
  readonly t4Fenced: SpanMs | null;
  readonly t5Writable: SpanMs | null;
  readonly t6Routed: SpanMs | null;
  readonly t7Validated: SpanMs | null;
  readonly t8Mitigated: SpanMs | null;
}

export interface IncidentStep {
  readonly at: SpanMs;
  readonly name: string;
  readonly outcome: "started" | "succeeded" | "failed" | "unknown" | "undone";
  readonly because: string;
}

export const emptyChronicle: Chronicle = {
  t0Impact: 0,
  t1Detected: null,
  t2Acknowledged: null,
  t3Decided: null,
  t4Fenced: null,
  t5Writable: null,
  t6Routed: null,
  t7Validated: null,
  t8Mitigated: null,
};

/** TTD, TTA, the recovery time achieved: spans between marks; null where a mark is missing. */
export function measured(chronicle: Chronicle): {
  readonly ttdMs: SpanMs | null;
  readonly ttaMs: SpanMs | null;
  readonly writableMs: SpanMs | null;
  readonly recoveryMs: SpanMs | null;
} {
  const since = (to: SpanMs | null, from: SpanMs | null) => (to === null || from === null ? null : to - from);
  return {
    ttdMs: since(chronicle.t1Detected, chronicle.t0Impact),
    ttaMs: since(chronicle.t2Acknowledged, chronicle.t1Detected),
    writableMs: since(chronicle.t5Writable, chronicle.t0Impact),
    recoveryMs: since(chronicle.t7Validated, chronicle.t0Impact),
  };
}

/** At most this many steps are kept: a failover takes some twelve; a flapping one must not fill the store. */
const stepsMax = 100;

export function withStep(incident: IncidentRecord, step: IncidentStep): IncidentRecord {
  return incident.steps.length < stepsMax ? { ...incident, steps: [...incident.steps, step] } : incident;
}
