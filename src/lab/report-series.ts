/** A run over time, in even buckets: what ended in each, and how long it had waited. */
import type { InstantMs, SpanMs } from "../core/model/time.ts";
import type { LoadHistory, RequestRecord } from "./load-record.ts";
import { percentile } from "./load-stats.ts";

/** Column by column; bucket `i` begins at `fromMs + i * bucketMs`, from the fault. */
export interface Series {
  readonly fromMs: number;
  readonly bucketMs: SpanMs;
  /** Requests that ended in the bucket. */
  readonly ok: readonly number[];
  readonly failed: readonly number[];
  /** Orders acknowledged in the bucket. */
  readonly acknowledged: readonly number[];
  /** Waits of those that succeeded, from when they were due; null: none did. */
  readonly p50Ms: readonly (number | null)[];
  readonly p99Ms: readonly (number | null)[];
  readonly maxMs: readonly (number | null)[];
}

/** More would be more than a screen has dots: longer runs get wider buckets. */
const bucketsMax = 1_200;
const bucketMinMs = 100;

export function seriesOf(history: LoadHistory, faultAt: InstantMs): Series {
  const { startedAt, stoppedAt, endedAt, requests } = history;
  const until = Math.max(stoppedAt, startedAt + 1, Math.min(endedAt, lastEnd(requests)));
  const bucketMs = bucketMinMs * Math.ceil((until - startedAt) / bucketMinMs / bucketsMax);
  const count = Math.floor((until - startedAt) / bucketMs) + 1;
  const buckets = Array.from({ length: count }, () => ({
    failed: 0,
    acknowledged: 0,
    waits: [] as number[],
  }));
  for (const { doneAt, dueAt, failure, receipt } of requests) {
    const bucket = buckets[Math.floor((doneAt - startedAt) / bucketMs)];
    if (bucket === undefined) continue;
    if (failure === "") bucket.waits.push(doneAt - dueAt);
    else bucket.failed += 1;
    if (receipt !== null) bucket.acknowledged += 1;
  }
  for (const { waits } of buckets) waits.sort((a, b) => a - b);
  const waitAt = (share: number) =>
    buckets.map(({ waits }) => (waits.length === 0 ? null : round(percentile(waits, share))));
  return {
    fromMs: round(startedAt - faultAt),
    bucketMs,
    ok: buckets.map(({ waits }) => waits.length),
    failed: buckets.map(({ failed }) => failed),
    acknowledged: buckets.map(({ acknowledged }) => acknowledged),
    p50Ms: waitAt(0.5),
    p99Ms: waitAt(0.99),
    maxMs: waitAt(1),
  };
}

function lastEnd(requests: readonly RequestRecord[]): InstantMs {
  return requests.reduce((last, { doneAt }) => Math.max(last, doneAt), 0);
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
