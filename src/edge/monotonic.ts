/** The one clock of an edge: CLOCK_MONOTONIC, the same instants for every process of the host. */
import type { InstantMs } from "../core/model/time.ts";

export function monotonicNow(): InstantMs {
  return Number(process.hrtime.bigint()) / 1e6;
}
