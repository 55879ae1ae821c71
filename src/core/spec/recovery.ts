/** How long a recovery takes at worst, step by step, before anything has run. */
import type { SpanMs } from "../model/time.ts";
import type { ControlStore, Topology } from "../model/topology.ts";

export interface Assumptions {
  /** One write to the control store, until another region has seen it. */
  readonly roundTripMs: SpanMs;
}

/** Embedded: SQLite on one machine. Etcd: two sites of one continent and back, with the store's own quorum. */
export function assumptionsFor(store: ControlStore): Assumptions {
  return { roundTripMs: store.kind === "embedded" ? 2 : 60 };
}

/** `silence`: a region vanishes without a word. `crash`: the primary ends while its agent lives and says so (L4). */
export type Fault = "silence" | "crash";

export interface RecoveryStep {
  readonly name: string;
  readonly worstMs: SpanMs;
  readonly because: string;
}

export interface Recovery {
  readonly fault: Fault;
  readonly steps: readonly RecoveryStep[];
  /** Until the fault is established: the first steps. */
  readonly detectMs: SpanMs;
  /** Until writes are answered again: all steps. */
  readonly recoverMs: SpanMs;
}

// The figures below are bounds that the agent's own deadlines keep; where one was measured, it says so.

/** Until an agent sees that its own member has ended, and until SIGKILL has emptied the process tree. */
const crashSeenMs = 100;
const fenceMs = 100;
/** Standbys stop receiving and say where they ended. */
const sealMs = 100;
/** Measured on a busy two-core machine: median 33 ms, worst 660 ms. */
const promotionWorstMs = 660;
/**
 * Until the first standby streams from the new primary and commits can be acknowledged. PostgreSQL connects, authenticates,
 * and goes from one timeline to the next in some eight round trips of the network, of which a write to the store takes two:
 * measured 0.75 to 1.2 s where such a write takes 170 ms.
 */
const attachMs = 500;
const attachRoundTrips = 4;
/** A new table at every edge: some milliseconds measured over HTTP, 50 on a busy machine. */
const routeMs = 50;

export function recoveryFrom(fault: Fault, topology: Topology, assumptions: Assumptions): Recovery {
  const { roundTripMs } = assumptions;
  const detect = fault === "silence" ? silence(topology, roundTripMs) : crash(roundTripMs);
  const steps: readonly RecoveryStep[] = [
    ...detect,
    {
      name: "seal",
      worstMs: sealMs + roundTripMs,
      because: "standbys stop receiving, and say so in the store",
    },
    { name: "claim", worstMs: roundTripMs, because: "compare-and-swap to the next epoch" },
    { name: "promote", worstMs: promotionWorstMs, because: "worst measured; median 33 ms" },
    { name: "commit", worstMs: roundTripMs, because: "the new primary is made known" },
    {
      name: "attach",
      worstMs: attachMs + attachRoundTrips * roundTripMs,
      because: "the first standby follows the new primary",
    },
    { name: "route", worstMs: routeMs, because: "edges take the new table" },
  ];
  return { fault, steps, detectMs: sum(detect), recoverMs: sum(steps) };
}

function silence({ profile, store }: Topology, roundTripMs: SpanMs): readonly RecoveryStep[] {
  // L1: observers wait for the whole lease by their own clock, from the last renewal that they saw.
  const leaseMs = profile.leaseMs * (1 + profile.maxClockDriftRatio);
  const drift = `${profile.maxClockDriftRatio * 100} % clock drift`;
  // A renewal that was on its way is committed by the next leader, and seen then. How long an election takes, etcd alone knows.
  const election = store.kind === "etcd" ? "; if etcd must elect, that comes on top" : "";
  return [
    {
      name: "lease",
      worstMs: leaseMs,
      because: `${profile.leaseMs} ms of profile ${profile.name}, and ${drift}${election}`,
    },
    { name: "vote", worstMs: roundTripMs, because: "a majority says in the store that it expired" },
  ];
}

function crash(roundTripMs: SpanMs): readonly RecoveryStep[] {
  return [
    { name: "notice", worstMs: crashSeenMs, because: "its own agent sees it end" },
    { name: "fence", worstMs: fenceMs, because: "the process tree is ended and seen to be gone" },
    { name: "vacate", worstMs: roundTripMs, because: "the lease is given up at once: no wait" },
  ];
}

function sum(steps: readonly RecoveryStep[]): SpanMs {
  return steps.reduce((total, step) => total + step.worstMs, 0);
}
