/** The host's clocks. */
import type { Clock } from "../../ports/clock.ts";

/** `hrtime` is CLOCK_MONOTONIC itself: unlike `performance.now()` it has the same origin in every process of the host. */
export const systemClock: Clock = {
  now: () => Number(process.hrtime.bigint()) / 1e6,
  wall: () => Date.now(),
};
