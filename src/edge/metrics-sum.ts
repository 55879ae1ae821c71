/**
 * The metrics of several processes as those of one.
 *
 * - What is counted is added up, and never goes down: what a process that ended had counted is kept.
 * - Gauges are added up too, but for those that tell of one thing that each process sees for itself.
 */
import type { FamilyReading, HistogramReading } from "./metrics.ts";

export type Reading = readonly FamilyReading[];

/** Of these the worst counts. */
const worst: Readonly<Record<string, (...values: number[]) => number>> = {
  holdfast_edge_breaker_open: Math.max,
  holdfast_edge_certificate_not_after_seconds: Math.min,
  holdfast_edge_certificate_refused: Math.max,
  holdfast_edge_level: Math.max,
  holdfast_edge_level_automatic: Math.max,
};

type Series = Map<string, number | HistogramReading>;

interface Family {
  readonly kind: FamilyReading["kind"];
  readonly series: Series;
}

export class MetricsSum {
  /** Counters and histograms of processes that ended. */
  readonly #ended = new Map<string, Family>();

  retire(reading: Reading): void {
    for (const family of reading) if (family.kind !== "gauge") merge(this.#ended, family);
  }

  /** `own`: of the process that adds up. */
  of(own: Reading, living: readonly Reading[]): Reading {
    this.#fold(living);
    const sum = new Map<string, Family>();
    for (const reading of [own, ...living]) for (const family of reading) merge(sum, family);
    for (const [name, { kind, series }] of this.#ended) merge(sum, { name, kind, series });
    return [...sum].map(([name, { kind, series }]) => ({ name, kind, series }));
  }

  /** What the dead counted under generations that the living have folded away goes on under `older`, as theirs does. */
  #fold(living: readonly Reading[]): void {
    let oldest = Number.POSITIVE_INFINITY;
    for (const reading of living)
      for (const { series } of reading)
        for (const labels of series.keys()) oldest = Math.min(oldest, generationIn(labels));
    if (oldest === Number.POSITIVE_INFINITY) return;
    for (const { series } of this.#ended.values())
      for (const [labels, value] of series) {
        if (oldest <= generationIn(labels)) continue;
        series.delete(labels);
        add(series, labels.replace(generation, 'generation="older"'), value);
      }
  }
}

/** A label, and not part of a value: there quotes are escaped. */
const generation = /(?<=^|,)generation="(\d+)"/;

/** Infinity: none. */
function generationIn(labels: string): number {
  return Number(generation.exec(labels)?.[1] ?? Number.POSITIVE_INFINITY);
}

function merge(into: Map<string, Family>, { name, kind, series }: FamilyReading): void {
  let family = into.get(name);
  if (!family) {
    family = { kind, series: new Map() };
    into.set(name, family);
  }
  for (const [labels, value] of series) add(family.series, labels, value, worst[name]);
}

function add(
  series: Series,
  labels: string,
  value: number | HistogramReading,
  among?: typeof Math.max,
): void {
  const before = series.get(labels);
  if (before === undefined) series.set(labels, value);
  else if (typeof before === "number" && typeof value === "number")
    series.set(labels, among ? among(before, value) : before + value);
  else if (typeof before !== "number" && typeof value !== "number")
    series.set(labels, {
      counts: before.counts.map((count, at) => count + (value.counts[at] ?? 0)),
      sum: before.sum + value.sum,
    });
}
