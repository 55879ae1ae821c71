/** Runs of one system and one fault taken together, and the targets that they are held against. Pure. */
import { median } from "../parts/median.ts";
import { type FaultName, faultTexts } from "./faults.ts";
import type { Figures } from "./figures.ts";

export interface Row {
  readonly system: string;
  readonly fault: FaultName;
  readonly runs: number;
  /** Runs in which writes came back while the fault lasted. */
  readonly recovered: number;
  /** Of all runs, one that did not come back being the longest; null: it did not. */
  readonly gapMedianMs: number | null;
  readonly gapMaxMs: number | null;
  readonly newPrimaryMedianMs: number | null;
  readonly oldPrimaryAcksMaxMs: number | null;
  readonly overlapMaxMs: number;
  readonly overlapWritesMax: number;
  readonly acknowledged: number;
  readonly lost: number;
  readonly lostMax: number;
  /** Of a run, by what the system promises; null: it promises nothing. */
  readonly mayLose: number | null;
  readonly safeFailed: number;
  readonly unsafeFailed: number;
  readonly requests: number;
  /** Of the machine, before the busiest run: figures of a busy one are the machine's. */
  readonly loadMax: number;
  /** Runs that prove nothing, such as those of a machine that was too busy. */
  readonly doubtful: number;
}

export function summarize(runs: readonly Figures[]): readonly Row[] {
  const names = [...new Set(runs.map(({ system }) => system))];
  const faults = Object.keys(faultTexts) as FaultName[];
  return names.flatMap((system) =>
    faults.flatMap((fault) => {
      const own = runs.filter((run) => run.system === system && run.fault === fault);
      return own.length === 0 ? [] : [rowOf(system, fault, own)];
    }),
  );
}

function rowOf(system: string, fault: FaultName, own: readonly Figures[]): Row {
  const gaps = own.map(({ writeGapMs }) => writeGapMs);
  const sum = (of: (run: Figures) => number) => own.reduce((total, run) => total + of(run), 0);
  const largest = (of: (run: Figures) => number) => Math.max(...own.map(of));
  const old = own.flatMap(({ oldPrimaryAcksMs }) => oldPrimaryAcksMs ?? []);
  return {
    system,
    fault,
    runs: own.length,
    recovered: gaps.filter((gap) => gap !== null).length,
    gapMedianMs: medianGap(gaps),
    gapMaxMs: gaps.includes(null) ? null : Math.max(...gaps.map(Number)),
    newPrimaryMedianMs: medianGap(own.map(({ newPrimaryMs }) => newPrimaryMs)),
    oldPrimaryAcksMaxMs: old.length === 0 ? null : Math.max(...old),
    overlapMaxMs: largest(({ overlapMs }) => overlapMs),
    overlapWritesMax: largest(({ overlapWrites }) => overlapWrites),
    acknowledged: sum(({ acknowledged }) => acknowledged),
    lost: sum(({ lost }) => lost ?? 0),
    lostMax: largest(({ lost }) => lost ?? 0),
    mayLose: own[0]?.mayLose ?? null,
    safeFailed: sum(({ http }) => http.safeFailed),
    unsafeFailed: sum(({ http }) => http.unsafeFailed),
    requests: sum(({ http }) => http.requests),
    loadMax: largest(({ loadAverage }) => loadAverage),
    doubtful: own.filter(({ problems }) => problems.length > 0).length,
  };
}

/** null counts as endless. */
export function medianGap(values: readonly (number | null)[]): number | null {
  const value = median(values.map((one) => one ?? Number.POSITIVE_INFINITY));
  return Number.isFinite(value) ? value : null;
}

export interface Target {
  readonly text: string;
  readonly met: boolean;
}

const ours = "holdfast-fast-sync";
const tunedPeer = "pg_auto_failover-tuned-sync";
const fastestPatroni = "patroni-fastest-sync";
const regionLost: readonly FaultName[] = ["region-kill", "region-blackhole", "region-freeze"];
const memberLost: readonly FaultName[] = ["primary-crash", "switchover"];

const comparisons = [
  ...regionLost.flatMap((fault) => [
    { fault, peer: tunedPeer, times: 2.5 },
    { fault, peer: fastestPatroni, times: 7 },
  ]),
  ...memberLost.flatMap((fault) => [
    { fault, peer: tunedPeer, times: 4 },
    { fault, peer: fastestPatroni, times: 4 },
  ]),
];

/** Those that can be judged by what was run. */
export function judgeTargets(rows: readonly Row[]): readonly Target[] {
  const rowOf = (system: string, fault: FaultName) =>
    rows.find((row) => row.system === system && row.fault === fault);
  const ratios = comparisons.flatMap(({ fault, peer, times }): Target[] => {
    const own = rowOf(ours, fault);
    const other = rowOf(peer, fault);
    if (!own || !other) return [];
    const ratio = ratioOf(own.gapMedianMs, other.gapMedianMs);
    return [
      {
        text: `${fault}: write gap at least ${times} times shorter than ${peer}: ${ratio.toFixed(1)} times`,
        met: ratio >= times,
      },
    ];
  });
  const safe = rows
    .filter(({ system }) => system.startsWith("holdfast-"))
    .map((row): Target => {
      const { system, fault, overlapWritesMax, lostMax, mayLose } = row;
      const most = mayLose ?? 0;
      const losses =
        most === 0
          ? `lost no acknowledged write (${lostMax})`
          : `lost no more than its RPO in any run (${lostMax} of ${most} writes)`;
      return {
        text: `${fault}: ${system} never had two writers (${overlapWritesMax} writes) and ${losses}`,
        met: overlapWritesMax === 0 && lostMax <= most,
      };
    });
  return [...ratios, ...safe];
}

/** How many times the other's is longer; one that did not end is the longer one. */
function ratioOf(own: number | null, other: number | null): number {
  if (own === null) return 0;
  return other === null ? Number.POSITIVE_INFINITY : other / own;
}
