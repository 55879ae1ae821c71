/** The last tenth of a second in figures, for the live view. */
import type { InstantMs, SpanMs } from "../core/model/time.ts";
import type { RequestRecord } from "./load-record.ts";

export interface LiveStats {
  readonly kind: "live";
  /** End of the span. */
  readonly at: InstantMs;
  readonly spanMs: SpanMs;
  /** Requests that ended in this span. */
  readonly ok: number;
  readonly failed: number;
  /** Orders acknowledged in this span. */
  readonly acknowledged: number;
  /** Of the requests that succeeded in this span, from when they were due; 0 when none did. */
  readonly p50Ms: SpanMs;
  readonly p99Ms: SpanMs;
  readonly maxMs: SpanMs;
  readonly inFlight: number;
  /** The newest acknowledgement of an order: when, and by whom; null before the first. */
  readonly lastWrite: { readonly at: InstantMs; readonly member: string; readonly epoch: number } | null;
  readonly totals: {
    readonly sent: number;
    readonly ok: number;
    readonly failed: number;
    readonly acknowledged: number;
  };
}

export class StatsWindow {
  #since: InstantMs;
  #waits: number[] = [];
  #failed = 0;
  #acknowledged = 0;
  #lastWrite: LiveStats["lastWrite"] = null;
  #totals = { ok: 0, failed: 0, acknowledged: 0 };

  constructor(now: InstantMs) {
    this.#since = now;
  }

  add(record: RequestRecord): void {
    if (record.failure !== "") {
      this.#failed += 1;
      return;
    }
    this.#waits.push(record.doneAt - record.dueAt);
    if (record.receipt === null) return;
    this.#acknowledged += 1;
    const { byMember: member, byEpoch: epoch } = record.receipt;
    this.#lastWrite = { at: record.doneAt, member, epoch };
  }

  /** Closes the span at `now`, and begins the next. */
  take(now: InstantMs, sent: number): LiveStats {
    const waits = this.#waits.sort((a, b) => a - b);
    const totals = this.#totals;
    totals.ok += waits.length;
    totals.failed += this.#failed;
    totals.acknowledged += this.#acknowledged;
    const stats: LiveStats = {
      kind: "live",
      at: now,
      spanMs: now - this.#since,
      ok: waits.length,
      failed: this.#failed,
      acknowledged: this.#acknowledged,
      p50Ms: percentile(waits, 0.5),
      p99Ms: percentile(waits, 0.99),
      maxMs: waits.at(-1) ?? 0,
      inFlight: sent - totals.ok - totals.failed,
      lastWrite: this.#lastWrite,
      totals: { sent, ...totals },
    };
    this.#since = now;
    this.#waits = [];
    this.#failed = 0;
    this.#acknowledged = 0;
    return stats;
  }
}

/** Nearest rank of what is sorted already; 0 of nothing. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}
