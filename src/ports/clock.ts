/** What we ask of time. */
import type { InstantMs, WallMs } from "../core/model/time.ts";

export interface Clock {
  /** CLOCK_MONOTONIC in milliseconds: the same for every process of one host, goes on while a process is stopped. */
  now(): InstantMs;
  wall(): WallMs;
}
