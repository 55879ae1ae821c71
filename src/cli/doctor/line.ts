/** One line of what the doctor says: what was measured, what would fit, and what to do. */
import { type Fit, percentile, type Verdict } from "../../core/spec/fit.ts";
import { describeSpan } from "../../core/spec/units.ts";

export interface DoctorLine {
  /** Such as `commits to the store`. */
  readonly what: string;
  readonly fit: Fit;
  readonly measured: string;
  readonly fits: string;
  readonly advice: string;
  /** What it was judged by; names end in their unit. */
  readonly numbers: Readonly<Record<string, number>>;
}

export function lineOf(
  what: string,
  measured: string,
  { fit, fits, advice }: Verdict,
  numbers: DoctorLine["numbers"] = {},
): DoctorLine {
  return { what, fit, measured, fits, advice, numbers };
}

export interface Summary {
  readonly text: string;
  readonly p99Ms: number;
  readonly numbers: Readonly<Record<string, number>>;
}

/** null: nothing was measured. */
export function summarize(ms: readonly number[]): Summary | null {
  const [median, p99] = [percentile(ms, 0.5), percentile(ms, 0.99)];
  if (median === null || p99 === null) return null;
  return {
    text: `median ${shown(median)}, p99 ${shown(p99)} (${ms.length})`,
    p99Ms: p99,
    numbers: { samples: ms.length, medianMs: round(median), p99Ms: round(p99) },
  };
}

export function shown(ms: number): string {
  return describeSpan(Number(ms.toPrecision(3)));
}

export function round(value: number): number {
  return Number(value.toPrecision(4));
}
