/** How soon new requests go to the new region, and what a table of many services costs those that are under way. */
import { setTimeout as pause } from "node:timers/promises";
import type { SignedTable } from "../../src/core/model/routing.ts";
import { quantile } from "../parts/quantile.ts";
import { type Load, nowMs, type Seen } from "./load.ts";
import type { BenchPlane } from "./planes.ts";

export interface Shift {
  /** From handing the table over until every new request goes to the new region; infinite: not within the wait. */
  readonly tookMs: number;
  /** Until the router said that it is applied. */
  readonly appliedMs: number;
  readonly requests: number;
  readonly failed: number;
}

/** What is looked at after a table was applied, at least, and while no request has gone to the new region yet. */
const watchMs = 120;
const watchMaxMs = 3000;

export async function measureShift(
  plane: BenchPlane,
  load: Load,
  table: SignedTable,
  wanted: string,
): Promise<Shift> {
  const began = nowMs();
  await applyOrThrow(plane, table);
  const appliedMs = nowMs() - began;
  await pause(watchMs);
  const seen = [...(await load.collect())];
  const hasMoved = () => seen.some(({ atMs, region }) => began <= atMs && region === wanted);
  while (!hasMoved() && nowMs() - began < watchMaxMs) {
    await pause(20);
    seen.push(...(await load.collect()));
  }
  const after = seen.filter(({ atMs }) => began <= atMs).sort((a, b) => a.atMs - b.atMs);
  // The strict reading: the last new request that still went elsewhere ends it, not the first that did not.
  const lastElsewhere = after.findLastIndex(({ region, status }) => status === 200 && region !== wanted);
  const first = after[lastElsewhere + 1];
  return {
    tookMs: first ? first.atMs - began : Number.POSITIVE_INFINITY,
    appliedMs,
    requests: seen.length,
    failed: seen.filter(({ status }) => status !== 200).length,
  };
}

export interface Window {
  /** null: nothing was applied in it. */
  readonly appliedMs: number | null;
  readonly p50Ms: number;
  readonly longestMs: number;
  readonly requests: number;
  readonly failed: number;
}

/** Requests due within `windowMs`, at the beginning of which a table is applied, or nothing is done. */
export async function measureWindow(
  plane: BenchPlane,
  load: Load,
  table: SignedTable | null,
  windowMs: number,
): Promise<Window> {
  await load.collect();
  const began = nowMs();
  if (table) await applyOrThrow(plane, table);
  const appliedMs = table ? nowMs() - began : null;
  await pause(Math.max(0, windowMs - (nowMs() - began)));
  // Those that were due in it may still be under way.
  await pause(100);
  const seen: readonly Seen[] = (await load.collect()).filter(
    ({ atMs }) => began <= atMs && atMs < began + windowMs,
  );
  const took = seen.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
  return {
    appliedMs,
    p50Ms: quantile(took, 0.5),
    longestMs: took.at(-1) ?? Number.NaN,
    requests: seen.length,
    failed: seen.filter(({ status }) => status !== 200).length,
  };
}

async function applyOrThrow(plane: BenchPlane, table: SignedTable): Promise<void> {
  const outcome = await plane.router.apply(table, AbortSignal.timeout(30_000));
  if (outcome.kind !== "applied") throw new Error(`${plane.name}: ${JSON.stringify(outcome)}`);
}
