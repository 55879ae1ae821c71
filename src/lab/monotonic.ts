/** The clock of the lab, which is the same in all processes of a machine, so that faults and answers share one axis. */
import type { InstantMs } from "../core/model/time.ts";

/** CLOCK_MONOTONIC. */
export function monotonicMs(): InstantMs {
  return Number(process.hrtime.bigint()) / 1e6;
}
