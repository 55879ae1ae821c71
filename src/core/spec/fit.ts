/**
 * Measurements in, verdicts out: which lease profile the store, the disks and the clocks of a place can carry.
 *
 * A holder renews every `renewMs` and freezes `freezeMs` after the last renewal that succeeded was sent. Between the two
 * it has two tries, of `(freezeMs - renewMs) / 2` each; on etcd, whose endpoints may fall silent, the first attempt
 * of a try leaves time for a second one elsewhere. What follows is that arithmetic and nothing else.
 */
import { etcdAttemptMs, type LeaseProfile, leaseProfiles, type ProfileName } from "../model/profile.ts";
import type { SpanMs } from "../model/time.ts";
import type { ControlStore } from "../model/topology.ts";
import { describeSpan } from "./units.ts";

export type Fit = "ok" | "warning" | "problem";

export interface Verdict {
  readonly fit: Fit;
  /** What would be right, with its arithmetic. */
  readonly fits: string;
  /** Empty when there is nothing to do. */
  readonly advice: string;
}

/** One write may take this long before the holder gives it up, at one endpoint. */
export function attemptMs(profile: LeaseProfile, store: ControlStore["kind"]): SpanMs {
  const tryMs = (profile.freezeMs - profile.renewMs) / 2;
  return store === "etcd" ? etcdAttemptMs(tryMs) : tryMs;
}

/** Whether a renewal fits twice before the freeze at the measured 99th percentile. Half of the limit is left for worse days. */
export function fitCommit(profile: LeaseProfile, store: ControlStore["kind"], commitP99Ms: SpanMs): Verdict {
  const limitMs = attemptMs(profile, store);
  const fits = `at most ${describeSpan(limitMs)} a write, 99 of 100: ${profile.name} freezes ${describeSpan(profile.freezeMs - profile.renewMs)} after a missed renewal, which is two tries${store === "etcd" ? ", and one endpoint gets two thirds of each" : ""}`;
  if (2 * commitP99Ms <= limitMs) return { fit: "ok", fits, advice: "" };
  if (commitP99Ms <= limitMs)
    return { fit: "warning", fits, advice: "it fits with less than twice to spare: a bad day holds writes" };
  const better = shortestFitting(store, commitP99Ms);
  return {
    fit: "problem",
    fits,
    advice: better
      ? `set leaseProfile: ${better}, or bring the store nearer and onto faster disks`
      : "no profile fits: bring the store nearer and onto faster disks",
  };
}

/** The profile with the shortest outage that the store carries with half to spare; null: none does. */
export function shortestFitting(store: ControlStore["kind"], commitP99Ms: SpanMs): ProfileName | null {
  const names = ["fast", "balanced", "cautious"] as const;
  return names.find((name) => 2 * commitP99Ms <= attemptMs(leaseProfiles[name], store)) ?? null;
}

/**
 * Whether writes go on while etcd elects: it takes up to twice its election timeout (raft draws from one to two of it),
 * and then the renewal must still be written. Beyond the freeze writes are held; beyond the stop only the promises of
 * the other regions (L6) keep the primary alive.
 */
export function fitElection(
  profile: LeaseProfile,
  electionTimeoutMs: SpanMs,
  commitP99Ms: SpanMs,
): Verdict & { readonly worstMs: SpanMs } {
  const worstMs = 2 * electionTimeoutMs + commitP99Ms;
  const room = profile.freezeMs - profile.renewMs;
  const most = Math.max(0, Math.floor((room - commitP99Ms) / 2));
  const fits = `an election timeout of at most ${describeSpan(most)}: twice that and one write within the ${describeSpan(room)} until ${profile.name} freezes`;
  if (worstMs <= room) return { fit: "ok", fits, advice: "", worstMs };
  const held = worstMs <= profile.stopMs - profile.renewMs;
  return {
    fit: "warning",
    fits,
    worstMs,
    advice: held
      ? "the loss of etcd's leader may hold writes for a moment; shorten --election-timeout, or take a longer profile"
      : "at the loss of etcd's leader the primary lives on the promises of the other regions; shorten --election-timeout, or take a longer profile",
  };
}

/** Elections while nothing was broken: the heartbeat does not fit the links or the disks. */
export function fitElections(elections: number): Verdict {
  const fits = "none: the same leader, the same raft term";
  if (elections === 0) return { fit: "ok", fits, advice: "" };
  return {
    fit: elections === 1 ? "warning" : "problem",
    fits,
    advice:
      "raise --heartbeat-interval to the longest round trip between members, --election-timeout to ten times that, and see their disks",
  };
}

/** Where a clock runs apart by more than the profile reckons with, an observer may claim before the holder has stopped. */
export function fitDrift(profile: LeaseProfile, ratio: number, errorRatio: number): Verdict {
  const limit = profile.maxClockDriftRatio;
  const fits = `less than ${percent(limit)} apart in speed: observers wait that much longer than a lease`;
  if (Math.abs(ratio) + errorRatio < limit) return { fit: "ok", fits, advice: "" };
  // Not known to be worse. Whoever sees nothing because of a long link is not to be alarmed by it.
  if (Math.abs(ratio) - errorRatio < limit)
    return {
      fit: Math.abs(ratio) < limit ? "ok" : "warning",
      fits,
      advice: "measure for longer (--for 1m): the error is too large to tell",
    };
  return {
    fit: "problem",
    fits,
    advice: "see that host's clock source (dmesg | grep -i tsc), its time service, and whether it is paused",
  };
}

/** The wall clock decides nothing; people read incidents by it. */
export function fitOffset(offsetMs: SpanMs, errorMs: SpanMs): Verdict {
  const fits = "within 1 s: no decision goes by it, the story of an incident does";
  if (Math.abs(offsetMs) - errorMs <= 1000) return { fit: "ok", fits, advice: "" };
  return { fit: "warning", fits, advice: "run a time service (chrony) on both hosts" };
}

/** etcd, hardware guide: 99 of 100 fsyncs below 10 ms. PostgreSQL waits for one at each commit, on two hosts. */
export function fitFsync(p99Ms: SpanMs): Verdict {
  const fits = "at most 10 ms, 99 of 100: each commit waits for one here and one on a standby";
  if (p99Ms <= 10) return { fit: "ok", fits, advice: "" };
  return {
    fit: p99Ms <= 100 ? "warning" : "problem",
    fits,
    advice:
      "see what else writes there (iostat -x 1); a disk of its own, an SSD that keeps its cache at power loss",
  };
}

/** An agent looks at PostgreSQL every 100 ms and takes longer than that for having been stopped. */
export function fitLoopDelay(profile: LeaseProfile, p99Ms: SpanMs): Verdict {
  const fits = "at most 50 ms, 99 of 100: agents look every 100 ms";
  if (p99Ms <= 50) return { fit: "ok", fits, advice: "" };
  return {
    fit: p99Ms <= profile.renewMs ? "warning" : "problem",
    fits,
    advice:
      "this host is starved of CPU: give agent, fencer and edge more weight (CPUWeight=), or fewer neighbours",
  };
}

/** A promise of another region (L6) must arrive within one try. */
export function fitPeer(profile: LeaseProfile, p99Ms: SpanMs): Verdict {
  const limitMs = (profile.freezeMs - profile.renewMs) / 2;
  const fits = `at most ${describeSpan(limitMs)}: what one question to another region may take`;
  if (2 * p99Ms <= limitMs) return { fit: "ok", fits, advice: "" };
  if (p99Ms <= limitMs) return { fit: "warning", fits, advice: "it fits with less than twice to spare" };
  return { fit: "problem", fits, advice: "see the link to that region, or take a longer profile" };
}

/** Nearest rank: the smallest measured value that at least `share` of all do not exceed. */
export function percentile(values: readonly number[], share: number): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
}

function percent(share: number): string {
  return `${Number((share * 100).toPrecision(3))} %`;
}
