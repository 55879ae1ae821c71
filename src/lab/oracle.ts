/**
 * What clients were told against what the database holds: the figures of a run, and every promise that was broken.
 *
 * Pure: records in, findings out. It believes nobody but the clients and the rows that are there at the end.
 *
 * - O1. Each acknowledged order is there, once, as it was acknowledged (S1).
 * - O2. Each row was asked for, and no order that was asked for once is there twice, with or without a key.
 * - O3. Intervals in which two members acknowledged never overlap (S2), by the time at which a client had the answer.
 * - O4. From one acknowledgement to the next the epoch never goes down, and each epoch has one member (S3).
 * - O5. A run that could not have failed has not succeeded: `problems` says why it proves nothing.
 */
import type { InstantMs, SpanMs } from "../core/model/time.ts";
import type { LoadHistory, RequestRecord } from "./load-record.ts";
import type { StoredOrders, Violation } from "./oracle-evidence.ts";
import { type CheckedOrders, checkOrders } from "./oracle-orders.ts";
import { type CheckedWriters, checkWriters } from "./oracle-writers.ts";

/** A fault or a planned change, and until when its consequences are counted: recovery, the next event, the end. */
export interface EventWindow {
  readonly name: string;
  readonly at: InstantMs;
  readonly until: InstantMs;
}

export interface Findings {
  readonly orders: CheckedOrders["orders"];
  readonly lost: CheckedOrders["lost"];
  readonly requests: RequestFigures;
  readonly windows: readonly WindowFigures[];
  readonly writers: CheckedWriters["writers"];
  /** How many there are of each kind. */
  readonly violated: Readonly<Partial<Record<Violation["kind"], number>>>;
  /** The first of each kind, 20 at most. */
  readonly violations: readonly Violation[];
  /** Why the run proves nothing; empty: it does. */
  readonly problems: readonly string[];
}

export interface RequestFigures {
  readonly total: number;
  /** Safe to repeat (GET, or with an Idempotency-Key), and still never answered with success. */
  readonly safeFailed: number;
  /** Orders without a key that failed: nobody could repeat them. */
  readonly unsafeFailed: number;
  /** Answered after an edge had held them. */
  readonly held: number;
  /** Longest wait of a request that succeeded, from when it was due. */
  readonly longestWaitMs: SpanMs;
  /** What ended them -> how many. */
  readonly failures: {
    readonly safe: Readonly<Record<string, number>>;
    readonly unsafe: Readonly<Record<string, number>>;
  };
}

export interface WindowFigures {
  readonly name: string;
  /**
   * The largest gap between two consecutive acknowledgements of orders, by the time at which a client had them, of those
   * gaps that touch the window: so the first is counted from the last acknowledgement before the event. When no
   * acknowledgement follows, the gap lasts until the load stopped sending. What lies beyond the window is the next event's.
   */
  readonly writeGapMs: SpanMs;
  /** When that gap ended, from the event; null: never. */
  readonly resumedAfterMs: SpanMs | null;
  /** Of requests that were on their way in the window. */
  readonly safeFailed: number;
  readonly unsafeFailed: number;
}

export function judgeRun(
  history: LoadHistory,
  stored: StoredOrders,
  events: readonly EventWindow[],
): Findings {
  const acknowledged = history.requests
    .filter((request) => request.receipt !== null)
    .sort((a, b) => a.doneAt - b.doneAt);
  const orders = checkOrders(history, stored);
  const writers = checkWriters(acknowledged);
  const violations = [...orders.violations, ...writers.violations];
  return {
    orders: orders.orders,
    lost: orders.lost,
    requests: countRequests(history.requests),
    windows: events.map((event) => measureWindow(event, history, acknowledged)),
    writers: writers.writers,
    violated: tally(violations.map(({ kind }) => kind)),
    violations: examplesOf(violations),
    problems: [...history.problems, ...whyItProvesNothing(events, acknowledged)],
  };
}

export function isSafe(request: RequestRecord): boolean {
  return request.kind !== "unsafe-order";
}

function countRequests(requests: readonly RequestRecord[]): RequestFigures {
  const failed = requests.filter(({ failure }) => failure !== "");
  const safe = failed.filter(isSafe);
  const unsafe = failed.filter((request) => !isSafe(request));
  return {
    total: requests.length,
    safeFailed: safe.length,
    unsafeFailed: unsafe.length,
    held: requests.filter(({ heldMs, failure }) => heldMs > 0 && failure === "").length,
    longestWaitMs: requests.reduce(
      (longest, { failure, doneAt, dueAt }) => (failure === "" ? Math.max(longest, doneAt - dueAt) : longest),
      0,
    ),
    failures: {
      safe: tally(safe.map(({ failure }) => failure)),
      unsafe: tally(unsafe.map(({ failure }) => failure)),
    },
  };
}

function measureWindow(
  event: EventWindow,
  history: LoadHistory,
  acknowledged: readonly RequestRecord[],
): WindowFigures {
  let writeGapMs = 0;
  let resumedAt: InstantMs | null = null;
  let before = history.startedAt;
  for (const { doneAt } of acknowledged) {
    const gapMs = Math.min(doneAt, event.until) - before;
    if (doneAt >= event.at && gapMs > writeGapMs) {
      writeGapMs = gapMs;
      resumedAt = doneAt;
    }
    before = doneAt;
  }
  const openMs = Math.min(history.stoppedAt, event.until) - before;
  if (openMs > writeGapMs) {
    writeGapMs = openMs;
    resumedAt = null;
  }
  const failed = history.requests.filter(
    ({ failure, dueAt, doneAt }) => failure !== "" && doneAt >= event.at && dueAt <= event.until,
  );
  return {
    name: event.name,
    writeGapMs,
    resumedAfterMs: resumedAt === null ? null : resumedAt - event.at,
    safeFailed: failed.filter(isSafe).length,
    unsafeFailed: failed.filter((request) => !isSafe(request)).length,
  };
}

function whyItProvesNothing(
  events: readonly EventWindow[],
  acknowledged: readonly RequestRecord[],
): readonly string[] {
  const problems: string[] = [];
  if (acknowledged.length === 0) problems.push("no order was acknowledged");
  for (const { name, at } of events)
    if (!acknowledged.some(({ doneAt }) => doneAt < at))
      problems.push(`no order was acknowledged before "${name}"`);
  return problems;
}

const examplesMax = 20;

function examplesOf(violations: readonly Violation[]): readonly Violation[] {
  const seen: Record<string, number> = {};
  return violations.filter(({ kind }) => {
    seen[kind] = (seen[kind] ?? 0) + 1;
    return (seen[kind] ?? 0) <= examplesMax;
  });
}

function tally<Word extends string>(
  words: readonly Word[],
): Partial<Record<Word, number>> & Record<string, number> {
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts as Partial<Record<Word, number>> & Record<string, number>;
}
