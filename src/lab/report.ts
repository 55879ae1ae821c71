/** The figures of a drill as one JSON document: what happened, when, to whom, and whether the objectives were met. */
import { cpus, totalmem } from "node:os";
import type { Epoch, MemberName, RegionName } from "../core/model/id.ts";
import type { InstantMs, SpanMs, WallMs } from "../core/model/time.ts";
import type { LoadHistory } from "./load-record.ts";
import type { Findings, WindowFigures } from "./oracle.ts";
import type { Violation } from "./oracle-evidence.ts";
import { type Series, seriesOf } from "./report-series.ts";

/** The marks of an incident, in order (DESIGN section 8). */
export const marks = {
  t0: "impact",
  t1: "detected",
  t2: "acknowledged",
  t3: "decided",
  t4: "fenced",
  t5: "writable",
  t6: "routed",
  t7: "validated",
  t8: "mitigated",
} as const;
export type Mark = keyof typeof marks;
export const markNames = Object.keys(marks) as readonly Mark[];

export interface DrillReport {
  /** Of this document: 1. Fields are added, never given another meaning. */
  readonly schema: 1;
  /** Of Holdfast. */
  readonly version: string;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly run: string;
  readonly seed: number | null;
  /** What was done, such as `region-loss`. */
  readonly fault: string;
  /** The same in one sentence for people. */
  readonly faultText: string;
  readonly profile: string;
  readonly objectivesMet: boolean;
  readonly objectives: readonly Objective[];
  /** Milliseconds from the fault; null: not reached, or not measured. `t0` is 0. */
  readonly chronicle: Readonly<Record<Mark, number | null>>;
  /** What the machine saw and did, in its own words, in the order of time. */
  readonly events: readonly ReportEvent[];
  readonly writeGapMs: SpanMs;
  readonly requests: Findings["requests"];
  readonly orders: Findings["orders"];
  readonly writers: {
    readonly overlapMs: SpanMs;
    readonly overlapProvenMs: SpanMs;
    /** In the order of their first acknowledgements; milliseconds from the fault. */
    readonly terms: readonly ReportTerm[];
  };
  readonly epoch: { readonly before: Epoch; readonly after: Epoch };
  /** When the lost member was back as a standby, from the fault; null: not seen. */
  readonly rejoin: { readonly asStandbyMs: SpanMs | null };
  /** null in the fields: no failback was part of it. */
  readonly failback: {
    readonly startedMs: number | null;
    readonly writeGapMs: SpanMs | null;
    readonly requestsFailed: number | null;
  };
  readonly violated: Findings["violated"];
  readonly violations: readonly Violation[];
  /** Why the run proves nothing; empty: it does. */
  readonly problems: readonly string[];
  readonly series: Series;
  readonly machine: Machine;
}

/** Met when something was measured, and it is `atMost` or less. */
export interface Objective {
  readonly id: string;
  readonly label: string;
  readonly unit: "ms" | "count";
  readonly atMost: number;
  /** null: could not be measured, which is not met. */
  readonly measured: number | null;
  readonly met: boolean;
  /** Whether `objectivesMet` depends on it. */
  readonly required: boolean;
}

export interface ReportEvent {
  /** From the fault. */
  readonly atMs: number;
  readonly who: string;
  readonly what: string;
}

export interface ReportTerm {
  readonly member: MemberName;
  /** Empty: not known. */
  readonly region: RegionName;
  readonly epoch: Epoch;
  readonly firstAckMs: number;
  readonly lastAckMs: number;
  readonly acknowledged: number;
}

export interface Machine {
  readonly cores: number;
  readonly processor: string;
  readonly memoryBytes: number;
  readonly platform: string;
  readonly node: string;
  readonly postgresql: string;
}

/** Name of the window in `Findings.windows` that the figures of the failback are taken from. */
export const failbackWindow = "failback";

export interface ReportRequest {
  readonly version: string;
  readonly createdAt: WallMs;
  readonly seed: number | null;
  readonly fault: string;
  readonly faultText: string;
  readonly faultAt: InstantMs;
  readonly profile: string;
  readonly rtoMs: SpanMs;
  /** Of the data: how old an acknowledged order may be that is lost; 0: none may. */
  readonly rpoMs: SpanMs;
  /** When each mark was reached, on the clock of the load; what is missing was not. */
  readonly chronicle: Readonly<Partial<Record<Mark, InstantMs>>>;
  readonly events: readonly { readonly at: InstantMs; readonly who: string; readonly what: string }[];
  readonly epoch: { readonly before: Epoch; readonly after: Epoch };
  readonly rejoinedAt: InstantMs | null;
  readonly failbackAt: InstantMs | null;
  readonly regionOf: Readonly<Record<MemberName, RegionName>>;
  readonly history: LoadHistory;
  /** Its first window is the fault; one named `failback` the failback. */
  readonly findings: Findings;
  readonly machine: Machine;
}

export function composeReport(request: ReportRequest): DrillReport {
  const { findings, faultAt } = request;
  const fromFault = (at: InstantMs) => round(at - faultAt);
  const [fault] = findings.windows;
  const failback = findings.windows.find(({ name }) => name === failbackWindow);
  const chronicle = Object.fromEntries(
    markNames.map((mark) => {
      const at = mark === "t0" ? faultAt : request.chronicle[mark];
      return [mark, at === undefined ? null : fromFault(at)];
    }),
  ) as Record<Mark, number | null>;
  const objectives = objectivesOf(request, fault, failback, chronicle);
  return {
    schema: 1,
    version: request.version,
    createdAt: new Date(request.createdAt).toISOString(),
    run: request.history.run,
    seed: request.seed,
    fault: request.fault,
    faultText: request.faultText,
    profile: request.profile,
    objectivesMet: objectives.every(({ met, required }) => met || !required),
    objectives,
    chronicle,
    events: request.events
      .map(({ at, who, what }) => ({ atMs: fromFault(at), who, what }))
      .sort((a, b) => a.atMs - b.atMs),
    writeGapMs: round(fault?.writeGapMs ?? 0),
    requests: { ...findings.requests, longestWaitMs: round(findings.requests.longestWaitMs) },
    orders: findings.orders,
    writers: {
      overlapMs: findings.writers.overlapMs,
      overlapProvenMs: findings.writers.overlapProvenMs,
      terms: findings.writers.terms.map(({ member, epoch, firstAckAt, lastAckAt, acknowledged }) => ({
        member,
        region: request.regionOf[member] ?? "",
        epoch,
        firstAckMs: fromFault(firstAckAt),
        lastAckMs: fromFault(lastAckAt),
        acknowledged,
      })),
    },
    epoch: request.epoch,
    rejoin: { asStandbyMs: request.rejoinedAt === null ? null : fromFault(request.rejoinedAt) },
    failback: {
      startedMs: request.failbackAt === null ? null : fromFault(request.failbackAt),
      writeGapMs: failback === undefined ? null : round(failback.writeGapMs),
      requestsFailed: failback === undefined ? null : failback.safeFailed + failback.unsafeFailed,
    },
    violated: findings.violated,
    violations: findings.violations,
    problems: findings.problems,
    series: seriesOf(request.history, faultAt),
    machine: request.machine,
  };
}

function objectivesOf(
  { findings, rtoMs, rpoMs, epoch }: ReportRequest,
  fault: WindowFigures | undefined,
  failback: WindowFigures | undefined,
  chronicle: DrillReport["chronicle"],
): readonly Objective[] {
  const { orders, requests, writers, violated } = findings;
  const elsewhere = new Set(["lost", "doubled", "overlap"]);
  const others = Object.entries(violated).reduce((sum, [kind, n]) => sum + (elsewhere.has(kind) ? 0 : n), 0);
  // Writes that never resumed have no gap to compare: the gap is open.
  const gapMs = fault === undefined || fault.resumedAfterMs === null ? null : fault.writeGapMs;
  // A fault that moved nobody, such as the loss of a witness, has no incident: then recovery is what clients saw.
  const moved = epoch.before !== epoch.after || markNames.some((mark) => (chronicle[mark] ?? 0) > 0);
  const validatedMs = moved ? chronicle.t7 : gapMs;
  const list: readonly Omit<Objective, "met" | "required">[] = [
    { id: "recovery", label: "Recovery validated", unit: "ms", atMost: rtoMs, measured: validatedMs },
    { id: "write-gap", label: "Longest time without writes", unit: "ms", atMost: rtoMs, measured: gapMs },
    rpoMs === 0
      ? { id: "lost", label: "Acknowledged orders lost", unit: "count", atMost: 0, measured: orders.lost }
      : {
          id: "lost",
          label: "Age of the oldest order lost",
          unit: "ms",
          atMost: rpoMs,
          measured: orders.lostAgeMs,
        },
    { id: "doubled", label: "Orders doubled", unit: "count", atMost: 0, measured: orders.doubled },
    {
      id: "safe-failed",
      label: "Repeatable requests failed",
      unit: "count",
      atMost: 0,
      measured: requests.safeFailed,
    },
    { id: "overlap", label: "Two writers at a time", unit: "ms", atMost: 0, measured: writers.overlapMs },
    { id: "other", label: "Other broken promises", unit: "count", atMost: 0, measured: others },
    {
      id: "proof",
      label: "Reasons why the run proves nothing",
      unit: "count",
      atMost: 0,
      measured: findings.problems.length,
    },
  ];
  const judged = list.map(
    (objective): Objective => ({ ...objective, met: isMet(objective), required: true }),
  );
  if (failback === undefined) return judged;
  const planned = {
    id: "failback-failed",
    label: "Requests failed in the failback",
    unit: "count",
    atMost: 0,
    measured: failback.safeFailed + failback.unsafeFailed,
  } as const;
  return [...judged, { ...planned, met: isMet(planned), required: false }];
}

function isMet({ measured, atMost }: Pick<Objective, "measured" | "atMost">): boolean {
  return measured !== null && measured <= atMost;
}

export function describeMachine(postgresql: string): Machine {
  return {
    cores: cpus().length,
    processor: cpus()[0]?.model ?? "",
    memoryBytes: totalmem(),
    platform: `${process.platform} ${process.arch}`,
    node: process.versions.node,
    postgresql,
  };
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
