/** Many plans in, one report out: what was run, what went wrong on purpose, what was reached, and what was broken. */
import { Coverage } from "./coverage.ts";
import type { Plan } from "./plan.ts";
import { type RunResult, run } from "./run.ts";

export interface HuntReport {
  readonly runs: number;
  readonly acts: number;
  /** Simulated hours. */
  readonly hours: number;
  readonly acknowledged: number;
  readonly inflicted: ReadonlyMap<string, number>;
  readonly sometimes: ReadonlyMap<string, number>;
  readonly coverage: Coverage;
  readonly failures: readonly RunResult[];
}

/** Runs `plan(0)`, `plan(1)`, ... while `goesOn` says so; `goesOn` is asked before each. */
export function hunt(
  plan: (index: number) => Plan,
  goesOn: (runs: number, failures: number) => boolean,
): HuntReport {
  const coverage = new Coverage();
  const inflicted = new Map<string, number>();
  const sometimes = new Map<string, number>();
  const failures: RunResult[] = [];
  let runs = 0;
  let acts = 0;
  let span = 0;
  let acknowledged = 0;
  for (; goesOn(runs, failures.length); runs++) {
    const result = run(plan(runs), coverage);
    acts += result.acts;
    span += result.span;
    acknowledged += result.acknowledged;
    add(inflicted, result.inflicted);
    add(sometimes, result.sometimes);
    if (result.violation) failures.push(result);
  }
  return { runs, acts, hours: span / 3.6e9, acknowledged, inflicted, sometimes, coverage, failures };
}

function add(sum: Map<string, number>, more: ReadonlyMap<string, number>): void {
  for (const [name, count] of more) sum.set(name, (sum.get(name) ?? 0) + count);
}
