/** The one clock of an edge: CLOCK_MONOTONIC, the same instants for every process of the host. */
import type { InstantMs } from "../core/model/time.ts";

/** `performance.now()` counts the same clock from the start of the process, and costs a third of a BigInt. */
const originMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();

export function monotonicNow(): InstantMs {
  return originMs + performance.now();
}
