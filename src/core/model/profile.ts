/** Lease profiles: how long the right to write lasts, and when its holder freezes and stops before it ends. */
import type { SpanMs } from "./time.ts";

export type ProfileName = "fast" | "balanced" | "cautious";

/**
 * The timing of a lease. Always `renewMs < freezeMs < stopMs < leaseMs`.
 * Longer: fewer false alarms, longer outage. Shorter: the reverse. Source: DESIGN section 5.
 */
export interface LeaseProfile {
  readonly name: ProfileName;
  /** Observers may claim when they have seen no renewal for longer than this (L1). */
  readonly leaseMs: SpanMs;
  /** The holder renews this often. */
  readonly renewMs: SpanMs;
  /** Without a renewal since this long, counted from before the last one was sent, nothing is acknowledged (L5, reversible). */
  readonly freezeMs: SpanMs;
  /** ... and the fencer ends the member (L5, final). */
  readonly stopMs: SpanMs;
  /** Share by which two monotonic clocks may run apart (S7): observers wait `leaseMs * (1 + this)`. */
  readonly maxClockDriftRatio: number;
}

/** 1 %: five hundred times what a quartz is off by (20 ppm). S7 demands it; at 1.5 s it costs 15 ms. */
const maxClockDriftRatio = 0.01;

export const leaseProfiles: Readonly<Record<ProfileName, LeaseProfile>> = {
  fast: { name: "fast", leaseMs: 1500, renewMs: 250, freezeMs: 1100, stopMs: 1400, maxClockDriftRatio },
  balanced: {
    name: "balanced",
    leaseMs: 5000,
    renewMs: 1000,
    freezeMs: 3500,
    stopMs: 4800,
    maxClockDriftRatio,
  },
  cautious: {
    name: "cautious",
    leaseMs: 15000,
    renewMs: 3000,
    freezeMs: 10000,
    stopMs: 14500,
    maxClockDriftRatio,
  },
};

/**
 * What one endpoint of etcd gets of a try: what members 80 ms apart need for a commit in `fast` (some 200 ms of 276), and a
 * third is left for an attempt at another one. Never less than an election of neighbours takes to be noticed.
 */
export function etcdAttemptMs(tryMs: SpanMs): SpanMs {
  return Math.max(150, Math.floor(tryMs * 0.65));
}

/** Between two looks of an agent at its PostgreSQL: a crash is seen within this and the time of one connection refused. */
export const lookEveryMs: SpanMs = 100;
