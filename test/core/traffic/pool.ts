/** A service with a bounded pool of workers and a queue before it, under arrivals that do not wait: on virtual time. */
import {
  afterAnswer,
  type ConcurrencyLimit,
  concurrencyRules,
  mayEnter,
} from "../../../src/core/traffic/concurrency.ts";

type Priority = Parameters<typeof mayEnter>[2];

export interface Pool {
  readonly workers: number;
  /** What the n-th request takes of a worker. */
  readonly serviceMs: (n: number) => number;
}

export interface Served {
  readonly limit: ConcurrencyLimit;
  readonly answered: number;
  readonly refused: number;
  readonly refusedBy: Readonly<Record<Priority, number>>;
  /** Mean and longest of the last second. */
  readonly meanMs: number;
  readonly longestMs: number;
}

/** From `fromMs` on, for `forMs`, in a pool that is empty at first. */
export function serve(
  from: ConcurrencyLimit,
  pool: Pool,
  load: {
    readonly fromMs: number;
    readonly forMs: number;
    readonly perSecond: number;
    /** Of the n-th request, or of all. */
    readonly priority: Priority | ((n: number) => Priority);
  },
): Served {
  let limit = from;
  let answered = 0;
  const refusedBy = { critical: 0, standard: 0, sheddable: 0 };
  const last: number[] = [];
  const freeAt = Array.from({ length: pool.workers }, () => 0);
  let under: { readonly began: number; readonly ends: number; readonly among: number }[] = [];
  const untilMs = load.fromMs + load.forMs;
  const arrivals = Math.floor((load.forMs * load.perSecond) / 1000);
  for (let n = 0; n < arrivals; n++) {
    const now = load.fromMs + (n * 1000) / load.perSecond;
    for (const { began, ends, among } of under.filter(({ ends }) => ends <= now)) {
      limit = afterAnswer(
        limit,
        { now: ends, tookMs: ends - began, inFlight: among, dropped: false },
        concurrencyRules,
      );
      answered++;
      if (untilMs - 1000 <= ends) last.push(ends - began);
    }
    under = under.filter(({ ends }) => now < ends);
    const priority = typeof load.priority === "function" ? load.priority(n) : load.priority;
    if (!mayEnter(limit.limit, under.length, priority)) {
      refusedBy[priority]++;
      continue;
    }
    const worker = freeAt.indexOf(Math.min(...freeAt));
    const ends = Math.max(now, freeAt[worker] as number) + pool.serviceMs(n);
    freeAt[worker] = ends;
    under.push({ began: now, ends, among: under.length + 1 });
    under.sort((a, b) => a.ends - b.ends);
  }
  return {
    limit,
    answered,
    refused: refusedBy.critical + refusedBy.standard + refusedBy.sheddable,
    refusedBy,
    meanMs: last.reduce((sum, ms) => sum + ms, 0) / last.length,
    longestMs: Math.max(...last),
  };
}
