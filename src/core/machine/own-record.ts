/** The record of this agent itself: written at each beat, and at once when something changed that others wait for. */
import { expiresAt } from "../lease/lease.ts";
import type { AgentRecord, MemberReport } from "../model/record.ts";
import { recordKeys } from "../model/record.ts";
import type { InstantMs } from "../model/time.ts";
import type { MemberSight, WriteOutcome } from "./event.ts";
import { ownReport } from "./reports.ts";
import { nextId, type Turn } from "./turn.ts";

export function advanceOwnRecord(turn: Turn): void {
  const { own, timing } = turn.state;
  if (!turn.state.storeLoaded || own.pending) return;
  if (!own.dirty && turn.at < own.nextBeatAt) return;
  const until = Math.max(sealedBy(turn), own.dirty ? Number.NEGATIVE_INFINITY : nearExpiry(turn));
  if (turn.at < until) {
    turn.state.own = { ...own, nextBeatAt: until };
    return;
  }
  const id = nextId(turn);
  const record = describe(turn, own.beat + 1);
  turn.state.own = {
    ...own,
    beat: own.beat + 1,
    dirty: false,
    pending: { id, record, sentAt: turn.at },
    nextBeatAt: turn.at + timing.beatMs,
  };
  turn.commands.push({
    kind: "write",
    id,
    key: recordKeys.agent(turn.state.self),
    expect: own.revision,
    record,
    timeoutMs: timing.storeTimeoutMs,
  });
}

/**
 * Whoever votes that a lease has expired seals its copy in the same moment, and a claim needs both: told in one record, the
 * second does not wait for the round trip of the first. A seal takes some 10 ms; one that takes long is not waited for.
 */
function sealedBy(turn: Turn): InstantMs {
  let until = Number.NEGATIVE_INFINITY;
  for (const { local } of Object.values(turn.state.keepers))
    if (local.op?.op.kind === "seal")
      until = Math.max(until, local.op.startedAt + turn.state.timing.tellSealWithinMs);
  return until;
}

/**
 * A beat that says nothing new would be on its way when a lease may expire, and the vote would stand in line behind it: with
 * 80 ms to and from the store that is every second vote. It waits for the vote, or for the renewal that comes in between.
 */
function nearExpiry(turn: Turn): InstantMs {
  const { keepers, own, topology } = turn.state;
  // At most half a lease: a store that is slow silences nobody.
  const spanMs = Math.min(2 * (own.took.at(-1) ?? 0), topology.profile.leaseMs / 2);
  let until = Number.NEGATIVE_INFINITY;
  for (const { lease, member } of Object.values(keepers)) {
    if (!lease || lease.record.phase === "vacant" || lease.record.holder === member) continue;
    const expiry = expiresAt(lease, topology.profile);
    if (turn.at <= expiry && expiry <= turn.at + spanMs) until = Math.max(until, expiry + 0.001);
  }
  return until;
}

/** Whether nothing is asked of the store just now: its silence then says nothing. */
export function holdsBeatBack(turn: Turn): boolean {
  return turn.state.own.pending === null && turn.at < nearExpiry(turn);
}

export function takeOwnReply(turn: Turn, outcome: WriteOutcome): void {
  const { own, self } = turn.state;
  const written = own.pending?.record;
  if (outcome.kind === "succeeded" && written) {
    const revision = Math.max(own.revision, outcome.revision);
    const took = [...own.took, turn.at - (own.pending?.sentAt ?? turn.at)].slice(-tookKept);
    turn.state.own = { ...own, pending: null, revision, took };
    const before = turn.state.agents[self];
    if (!before || before.revision < outcome.revision)
      turn.state.agents = {
        ...turn.state.agents,
        [self]: {
          record: written,
          revision: outcome.revision,
          seenAt: turn.at,
          aliveSince: before?.aliveSince ?? turn.at,
        },
      };
    return;
  }
  // What was to be told has perhaps not been: tell it again, against what the store says by then.
  turn.state.own = {
    ...own,
    pending: null,
    dirty: outcome.kind === "conflict",
    nextBeatAt: Math.min(own.nextBeatAt, turn.at + turn.state.timing.retryMs),
  };
}

/** The quickest of some tells of distance, and not of a moment in which somebody was busy. */
const tookKept = 8;

/** In steps, so that neighbours say the same: 40 ms is half of what a member of etcd 40 ms away costs. */
const storeStepMs = 40;

function describe(turn: Turn, beat: number): AgentRecord {
  const expired: Record<string, number> = {};
  const members: Record<string, MemberReport> = {};
  const holding: Record<string, string> = {};
  for (const keeper of Object.values(turn.state.keepers)) {
    const { name } = keeper.dataStore;
    if (keeper.voted !== 0 && keeper.voted === keeper.lease?.revision) expired[name] = keeper.voted;
    const report = keeper.member ? ownReport({ ...keeper }) : null;
    if (report && keeper.member) members[keeper.member] = report;
    const why = keeper.holding || keeper.local.problem;
    if (why) holding[name] = why;
  }
  return {
    schema: 1,
    region: turn.state.self,
    boot: turn.state.boot,
    beat,
    expired,
    members,
    sees: turn.state.sees,
    applied: turn.state.routing.applied,
    storeMs: Math.round(Math.min(...turn.state.own.took, 10_000) / storeStepMs) * storeStepMs,
    topology: turn.state.topology.digest,
    holding,
  };
}

/**
 * Whether others wait to hear of the difference: only a seal decides anything within milliseconds, and every further write
 * stands in line before one that does. The rest is told with the next beat.
 */
export function isTelling(before: MemberSight | null, now: MemberSight): boolean {
  if (before === null) return true;
  const isNew = before.sealedBasis !== now.sealedBasis || before.sealedPosition !== now.sealedPosition;
  return isNew && now.sealedBasis !== 0;
}
