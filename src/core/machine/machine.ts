/**
 * One event in, new state and commands out: the machine that every agent runs, in production, in a drill and in the simulator.
 *
 * M1. Same state and event, same next state and commands: no clock, no chance, no memory of its own.
 * M2. Commands are performed in the order given. The order of effects is a contract: persist, fence, confirm the fence,
 *     promote, route, validate, declare.
 * M3. Knowledge only grows: a record of a lower revision, an inspection begun before the last change, the reply to a
 *     call that was given up are dropped (trap 9).
 */

import type { LevelRecord } from "../model/degradation.ts";
import type { AgentRecord, LeaseRecord, RequestRecord } from "../model/record.ts";
import { recordKeys, splitKey } from "../model/record.ts";
import type { SignedTable } from "../model/routing.ts";
import { NEVER } from "../model/time.ts";
import { observe, unseen } from "../observe/window.ts";
import { answerPeer, takePeerAnswer } from "./asking.ts";
import { takeStepReply } from "./change.ts";
import { advanceIncident, markStep, openIncident, takeIncidentReply, takeValidation } from "./chronicle.ts";
import type { Command, MemberOp } from "./command.ts";
import type { AgentEvent, MemberOutcome, MemberSight, WriteOutcome } from "./event.ts";
import { advanceFollower, bootstrap, companions } from "./follower.ts";
import { petGuards } from "./guards.ts";
import { advanceHolder, beginTenure } from "./holder.ts";
import { takeLeaseReply, takeUnanswered } from "./lease-write.ts";
import { advanceOwnRecord, isTelling, takeOwnReply } from "./own-record.ts";
import { rememberPublication } from "./publication.ts";
import { reportOf, takeTold, tellSeal } from "./reports.ts";
import { endReseed } from "./reseed.ts";
import { tellRoom } from "./room.ts";
import {
  advanceRouting,
  takeApplied,
  takeLevel,
  takeTable,
  takeTableReply,
  touchRouting,
} from "./routing.ts";
import type { AgentState, Keeper, LeaseWrite, SeenClaim } from "./state.ts";
import { type KeeperDraft, note, patchLocal, patchTenure, resetWake, type Tools, type Turn } from "./turn.ts";

export interface Step {
  readonly state: AgentState;
  readonly commands: readonly Command[];
}

export function transition(state: AgentState, event: AgentEvent, tools: Tools): Step {
  const turn: Turn = { at: event.at, wall: event.wall, state: { ...state }, commands: [], tools };
  absorb(turn, event);
  advanceRouting(turn);
  advanceOwnRecord(turn);
  turn.state.wakeAt = earliest(turn);
  return { state: turn.state, commands: turn.commands };
}

function absorb(turn: Turn, event: AgentEvent): void {
  switch (event.kind) {
    case "woken":
      return forAll(turn, () => {});
    case "store-loaded":
      turn.state.storeLoaded = true;
      seeStore(turn);
      return forAll(turn, () => {});
    case "store-heard": {
      const wasBlind = turn.at - turn.state.storeHeardAt > turn.state.timing.storeLostMs;
      turn.state.storeHeardAt = turn.at;
      return wasBlind ? forAll(turn, () => {}) : undefined;
    }
    case "record-changed":
      seeStore(turn);
      return takeRecord(turn, event.key, event.revision, event.record);
    case "write-replied":
      if (event.outcome.kind !== "unknown") seeStore(turn);
      return takeWriteReply(turn, event.id, event.outcome);
    case "member-inspected":
      return forMember(turn, event.member, (keeper) => takeSight(turn, keeper, event.seen, event.startedAt));
    case "member-replied":
      return forMember(turn, event.member, (keeper) =>
        takeMemberReply(turn, keeper, event.id, event.outcome),
      );
    case "fencer-fired":
      return forMember(turn, event.member, (keeper) =>
        patchLocal(keeper, { firedEpoch: Math.max(event.epoch, keeper.local.firedEpoch) }),
      );
    case "peer-asked": {
      const keeper = turn.state.keepers[event.dataStore];
      if (keeper) return forOne(turn, keeper, (draft) => answerPeer(turn, draft, event));
      turn.commands.push({
        kind: "answer-peer",
        id: event.id,
        promised: false,
        because: `no data store ${event.dataStore} in this topology`,
      });
      return;
    }
    case "peer-answered":
      return forAll(turn, (keeper) => takePeerAnswer(turn, keeper, event.id, event.from, event.promised));
    case "seal-told":
      takeTold(turn, event.member, event.told);
      return forAll(turn, () => {});
    case "probed": {
      const target = `${event.service}/${event.region}`;
      const before = turn.state.windows[target] ?? unseen;
      const window = observe(before, event.ok);
      turn.state.windows = { ...turn.state.windows, [target]: window };
      if (turn.state.sees[target] === window.sight) return;
      turn.state.sees = { ...turn.state.sees, [target]: window.sight };
      turn.state.own = { ...turn.state.own, dirty: true };
      return touchRouting(turn);
    }
    case "table-applied":
      takeApplied(turn, event.generation);
      return forAll(turn, () => {});
    case "validated": {
      const keeper = Object.values(turn.state.keepers).find(
        (candidate) => candidate.incident?.validating === event.id,
      );
      if (keeper) forOne(turn, keeper, (draft) => takeValidation(turn, draft, event.ok, event.because));
      return;
    }
    default:
      return event satisfies never;
  }
}

function seeStore(turn: Turn): void {
  turn.state.storeSeenAt = turn.at;
  turn.state.storeHeardAt = turn.at;
}

function takeRecord(turn: Turn, key: string, revision: number, record: unknown): void {
  const [room, name] = splitKey(key);
  switch (room) {
    case "lease": {
      const keeper = turn.state.keepers[name];
      if (!keeper || revision <= keeper.leaseRevision) return;
      return forOne(turn, keeper, (draft) => takeLease(turn, draft, revision, record as LeaseRecord | null));
    }
    case "agent": {
      if (name === turn.state.self && revision > turn.state.own.revision)
        turn.state.own = { ...turn.state.own, revision };
      const before = turn.state.agents[name];
      if (!record || (before && revision <= before.revision)) return;
      const told = record as AgentRecord;
      const aliveSince =
        before && turn.at - before.seenAt <= turn.state.timing.silentMs ? before.aliveSince : turn.at;
      turn.state.agents = {
        ...turn.state.agents,
        [name]: { record: told, revision, seenAt: turn.at, aliveSince },
      };
      const isHeardAgain = before?.aliveSince === before?.seenAt;
      if (isHeardAgain || !before || differs(before.record.sees, told.sees)) touchRouting(turn);
      return forAll(turn, () => {});
    }
    case "request": {
      const before = turn.state.requests[name];
      if (before && revision <= before.revision) return;
      const { [name]: _, ...others } = turn.state.requests;
      turn.state.requests = record
        ? { ...others, [name]: { record: record as RequestRecord, revision } }
        : others;
      return forAll(turn, () => {});
    }
    case "level":
      return takeLevel(turn, name, revision, record as LevelRecord | null);
    case recordKeys.routing:
      takeTable(turn, revision, record as SignedTable | null);
      return forAll(turn, () => {});
    default:
      return;
  }
}

function takeLease(turn: Turn, keeper: KeeperDraft, revision: number, record: LeaseRecord | null): void {
  const before = keeper.lease?.record;
  keeper.leaseRevision = revision;
  // L2: a record that vanished is not a lease that expired. What was known of it stays unknown, and nobody claims.
  keeper.lease = record ? { record, revision, seenAt: turn.at } : null;
  const write = keeper.write;
  // Not merely the same content: an earlier try of the same renewal was sent earlier, and may stand in its place (L1); it
  // is told apart by its stamp.
  const standing = write !== null && record?.stamp === write.record.stamp;
  if (!standing) keeper.overSince = null;
  if (record?.phase === "committed") keeper.heardAt = turn.at;
  if (record?.phase === "claimed" && keeper.claim?.epoch !== record.epoch)
    keeper.claim = seeClaim(turn, keeper, record);
  // What has the last position may claim at once: whether ours does is worth a look of its own.
  if (record?.phase === "vacant" && record.durable.final && keeper.member)
    turn.commands.push({ kind: "look", member: keeper.member });
  if (
    before?.epoch !== record?.epoch ||
    before?.phase !== record?.phase ||
    before?.handover !== record?.handover
  )
    touchRouting(turn);
  if (standing) takeStanding(turn, keeper, revision, before ?? null);
  else if (record && takeUnanswered(keeper, record)) petGuards(turn, keeper);
}

function seeClaim(turn: Turn, keeper: KeeperDraft, record: LeaseRecord): SeenClaim {
  const region = keeper.dataStore.members.find((member) => member.name === record.holder)?.region ?? "";
  const seal = reportOf(turn, region, record.holder)?.seal;
  const { final } = record.durable;
  const sealed = seal?.basis === record.basis ? seal.position : null;
  return {
    epoch: record.epoch,
    basis: record.basis,
    primaryEpoch: record.primary?.epoch ?? 0,
    final,
    position: final ? record.durable.position : sealed,
    standbys: record.durable.standbys,
  };
}

/** Our own write came back by the watch before, or instead of, its reply: it stands, whatever the reply will say. */
function takeStanding(turn: Turn, keeper: KeeperDraft, revision: number, before: LeaseRecord | null): void {
  const write = takeLeaseReply(turn, keeper, { kind: "succeeded", revision });
  if (write) takeLeaseWritten(turn, keeper, write, before);
}

function takeWriteReply(turn: Turn, id: number, outcome: WriteOutcome): void {
  if (turn.state.own.pending?.id === id) {
    takeOwnReply(turn, outcome);
    return forAll(turn, () => {});
  }
  if (turn.state.routing.pending === id) return takeTableReply(turn, outcome);
  for (const keeper of Object.values(turn.state.keepers)) {
    if (keeper.write?.id === id)
      return forOne(turn, keeper, (draft) => {
        const before = draft.lease?.record ?? null;
        const purpose = draft.write?.purpose;
        const write = takeLeaseReply(turn, draft, outcome);
        if (write) takeLeaseWritten(turn, draft, write, before);
        else if (purpose === "announce")
          takeStepReply(
            turn,
            draft,
            "announce",
            outcome.kind === "conflict" ? "failed" : "unknown",
            outcome.kind,
          );
      });
    if (keeper.incident?.pending === id)
      return forOne(turn, keeper, (draft) => takeIncidentReply(turn, draft, outcome));
  }
}

/** A write of the lease of ours that certainly stands. */
function takeLeaseWritten(
  turn: Turn,
  keeper: KeeperDraft,
  write: LeaseWrite,
  before: LeaseRecord | null,
): void {
  const { record, purpose } = write;
  switch (purpose) {
    case "bootstrap":
    case "claim": {
      openIncident(turn, keeper, before, record);
      beginTenure(keeper, record, turn.at, write.sentAt, companions(turn, keeper, before));
      // The claim is a renewal (L1): another one soon would only stand in the way of the commit.
      return patchTenure(keeper, { nextRenewAt: write.sentAt + turn.state.topology.profile.freezeMs / 2 });
    }
    case "commit":
      markStep(turn, keeper, "commit", "succeeded");
      touchRouting(turn);
      break;
    case "announce":
      touchRouting(turn);
      takeStepReply(turn, keeper, "announce", "succeeded", "");
      break;
    case "vacate":
      keeper.tenure = null;
      return touchRouting(turn);
    case "renew":
    case "publish":
      break;
    default:
      return purpose satisfies never;
  }
  keeper.heardAt = turn.at;
  petGuards(turn, keeper);
}

function takeSight(turn: Turn, keeper: KeeperDraft, seen: MemberSight, startedAt: number): void {
  const { local } = keeper;
  if (startedAt < local.changedAt || startedAt < local.sightAt) return;
  if (isTelling(local.sight, seen)) turn.state.own = { ...turn.state.own, dirty: true };
  if (seen.damaged && !local.sight?.damaged)
    note(
      turn,
      "alarm",
      keeper.dataStore.name,
      `the copy of ${keeper.member} is damaged: pages fail their checksum`,
    );
  tellRoom(turn, keeper, seen);
  patchLocal(keeper, { sight: seen, sightAt: startedAt });
}

function takeMemberReply(turn: Turn, keeper: KeeperDraft, id: number, outcome: MemberOutcome): void {
  const { local } = keeper;
  const lane = local.op?.id === id ? "op" : local.guard?.id === id ? "guard" : null;
  if (!lane) return;
  const running = local[lane];
  const { timing } = turn.state;
  const ok = outcome.kind === "succeeded";
  if (lane === "guard")
    patchLocal(keeper, {
      guard: null,
      changedAt: turn.at,
      // An operation that is still under way may bring back what was ended: then it is ended again, after a pause.
      guardRetryAt: ok && !local.op ? turn.at : turn.at + timing.guardRetryMs,
    });
  else {
    const failures = ok ? 0 : local.failures + 1;
    const pauseMs = ok ? 0 : Math.min(timing.retryMaxMs, timing.retryMs * 2 ** Math.min(failures - 1, 10));
    patchLocal(keeper, { op: null, changedAt: turn.at, failures, retryAt: turn.at + pauseMs });
  }
  if (!running) return;
  const because = outcome.kind === "succeeded" ? (outcome.detail ?? "") : outcome.because;
  markStep(turn, keeper, running.op.kind, outcome.kind, because);
  patchLocal(keeper, { problem: ok ? "" : `${running.op.kind} of ${keeper.member}: ${because}` });
  if (!ok) {
    turn.commands.push({
      kind: "note",
      level: "warning",
      subject: keeper.dataStore.name,
      text: `${running.op.kind} of ${keeper.member} ${outcome.kind === "unknown" ? "has an unknown outcome" : "failed"}: ${because}`,
    });
  }
  takeOpEffect(turn, keeper, running.op, outcome, because);
}

function takeOpEffect(
  turn: Turn,
  keeper: KeeperDraft,
  op: MemberOp,
  outcome: MemberOutcome,
  because: string,
): void {
  const ok = outcome.kind === "succeeded";
  const see = (patch: Partial<MemberSight>) => {
    if (!keeper.local.sight) return;
    const sight = { ...keeper.local.sight, ...patch };
    if (isTelling(keeper.local.sight, sight)) turn.state.own = { ...turn.state.own, dirty: true };
    patchLocal(keeper, { sight });
  };
  switch (op.kind) {
    case "end":
      if (!ok) return;
      see({ state: "stopped", streaming: false, replicas: [], waitsFor: null });
      // L4. What was ended before it was made anew, for a lease that is no more, says nothing of the end of this one.
      if (keeper.tenure?.over) patchTenure(keeper, { ended: true, nextRenewAt: turn.at });
      return;
    case "seal":
    case "start-sealed":
      if (ok && outcome.position !== undefined)
        see({
          state: "standby",
          sealedBasis: op.basis,
          sealedPosition: outcome.position,
          position: outcome.position,
          streaming: false,
          epoch: 0,
        });
      if (ok) tellSeal(turn, keeper);
      return;
    case "follow":
      if (ok) return see({ epoch: op.upstream.epoch, sealedBasis: 0, sealedPosition: 0 });
      if (because.includes("diverged")) patchLocal(keeper, { mustRejoin: true, retryAt: turn.at });
      return;
    case "rejoin":
      if (ok)
        see({
          state: "standby",
          epoch: op.upstream.epoch,
          sealedBasis: 0,
          sealedPosition: 0,
          streaming: true,
          ...(outcome.incarnation ? { incarnation: outcome.incarnation } : {}),
        });
      if (op.reseed !== undefined) endReseed(turn, keeper, op.reseed, outcome);
      return;
    case "initialize":
    case "promote":
      if (ok && outcome.position !== undefined && outcome.incarnation !== undefined) {
        see({
          state: "primary",
          epoch: op.epoch,
          floor: op.epoch,
          publication: 0,
          incarnation: outcome.incarnation,
          position: outcome.position,
          timeline: outcome.timeline ?? 1,
          sealedBasis: 0,
          replicas: [],
          frozen: false,
        });
        return patchTenure(keeper, {
          promoted: {
            position: outcome.position,
            incarnation: outcome.incarnation,
            ...(outcome.fork && { fork: outcome.fork }),
          },
        });
      }
      return;
    case "set-quorum":
      if (ok) return patchTenure(keeper, { configuredAt: turn.at });
      // The old set is in force or the new one; what is published is weaker than both (Q2), so believe no more than that.
      return patchTenure(keeper, {
        configured: keeper.lease?.record.durable ?? { acknowledgements: 0, standbys: [] },
        configuredAt: turn.at,
      });
    case "freeze":
      see({ frozen: ok });
      if (!ok) patchTenure(keeper, { frozen: "" });
      return;
    case "thaw":
      return see({ frozen: !ok });
    case "prepare-stop":
      return takeStepReply(turn, keeper, "prepare", outcome.kind, because);
    case "drain":
      return takeStepReply(turn, keeper, "drain", outcome.kind, because);
    case "stop-in-order":
      if (ok && outcome.position !== undefined) {
        see({ state: "stopped", position: outcome.position, streaming: false, replicas: [] });
        takeStepReply(turn, keeper, "stop", "succeeded", "");
        // It comes back when its successor has had its start: starting it costs CPU and disk in the moment that counts.
        patchLocal(keeper, { retryAt: turn.at + turn.state.topology.profile.leaseMs });
        return patchTenure(keeper, {
          over: `handed over to ${keeper.tenure?.change?.to ?? "another"}`,
          ended: true,
          finalPosition: outcome.position,
          nextRenewAt: turn.at,
        });
      }
      return patchTenure(keeper, {
        over: `the orderly stop of ${keeper.member} did not succeed: ${because}`,
      });
    default:
      return op satisfies never;
  }
}

function advanceKeeper(turn: Turn, keeper: KeeperDraft): void {
  resetWake(keeper);
  if (!turn.state.storeLoaded) return;
  const lease = keeper.lease;
  rememberPublication(turn, keeper);
  if (!lease) bootstrap(turn, keeper);
  else if (keeper.member !== null && lease.record.holder === keeper.member && lease.record.phase !== "vacant")
    advanceHolder(turn, keeper);
  else advanceFollower(turn, keeper);
  advanceIncident(turn, keeper);
}

function forOne(turn: Turn, keeper: Keeper, take: (draft: KeeperDraft) => void): void {
  const draft: KeeperDraft = { ...keeper };
  take(draft);
  advanceKeeper(turn, draft);
  turn.state.keepers = { ...turn.state.keepers, [keeper.dataStore.name]: draft };
}

function forAll(turn: Turn, take: (draft: KeeperDraft) => void): void {
  for (const keeper of Object.values(turn.state.keepers)) forOne(turn, keeper, take);
}

function forMember(turn: Turn, member: string, take: (draft: KeeperDraft) => void): void {
  const keeper = Object.values(turn.state.keepers).find((candidate) => candidate.member === member);
  if (keeper) forOne(turn, keeper, take);
}

function earliest(turn: Turn): number {
  const { own, routing, storeLoaded, keepers } = turn.state;
  let at = storeLoaded && !own.pending ? own.nextBeatAt : NEVER;
  at = Math.min(at, routing.applyAt);
  if (storeLoaded && routing.stale && routing.pending === 0) at = Math.min(at, routing.retryAt);
  for (const keeper of Object.values(keepers)) at = Math.min(at, keeper.wakeAt);
  return Math.max(at, turn.at);
}

function differs(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(b);
  return keys.length !== Object.keys(a).length || keys.some((key) => a[key] !== b[key]);
}
