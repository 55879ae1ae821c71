/**
 * The keeper of a data store whose lease is held here: claims become a primary, a primary renews, or gives up in order.
 *
 * H1. The role that is believed is compared with the real one at each step; where they differ, the lease is given up (trap 2).
 * H2. Giving up: the gate is closed, the member ended, the end confirmed, and only then the lease is written vacant (L4).
 * H3. A claim that does not lead to a primary in time is given up (trap 3).
 * H4. See `guards.ts`.
 * H5. What is promoted is the copy that was proven: one that was put back since is not.
 * H6. A claim of a life before, or of before a promise to a holder, promotes nothing before every such promise is over (L6).
 * H7. See `room.ts`.
 */
import type { QuorumSet } from "../act/quorum.ts";
import { holderDeadlines, renewed } from "../lease/lease.ts";
import type { Lsn } from "../model/lsn.ts";
import type { CopyRef, LeaseRecord } from "../model/record.ts";
import type { InstantMs } from "../model/time.ts";
import { advanceAsking } from "./asking.ts";
import { advanceChange } from "./change.ts";
import { companions } from "./follower.ts";
import { confirmedAt, freeze, gateModeOf, orderGate, pet } from "./guards.ts";
import { writeLease } from "./lease-write.ts";
import { advanceQuorum, followTrack, isBeyondRpo, publishedPosition } from "./redundancy.ts";
import { takeUpReseed } from "./reseed.ts";
import { watchRoom } from "./room.ts";
import { touchRouting } from "./routing.ts";
import { type KeeperDraft, note, patchLocal, patchTenure, runOp, type Turn, wakeKeeperAt } from "./turn.ts";

export function beginTenure(
  keeper: KeeperDraft,
  record: LeaseRecord,
  at: InstantMs,
  renewedAt: InstantMs,
  configured: QuorumSet,
): void {
  keeper.tenure = {
    epoch: record.epoch,
    since: at,
    promoteFrom: at,
    renewedAt,
    unanswered: [],
    extendedAt: Number.NEGATIVE_INFINITY,
    nextRenewAt: at,
    frozen: "",
    over: "",
    ended: false,
    finalPosition: null,
    hungSince: null,
    fullSince: null,
    promoted: null,
    vacatedOn: -1,
    asks: [],
    configured: { acknowledgements: configured.acknowledgements, standbys: configured.standbys },
    configuredAt: at,
    detachedSince: {},
    change: null,
    gateOpen: false,
    track: [],
    trackedAt: at,
  };
}

export function advanceHolder(turn: Turn, keeper: KeeperDraft): void {
  const lease = keeper.lease;
  if (!lease || !keeper.member) return;
  keeper.overSince = null;
  keeper.holding = "";
  if (keeper.tenure?.epoch !== lease.record.epoch) {
    // We come back to a lease of our own: nothing is confirmed until a renewal is.
    const { record } = lease;
    const configured = record.phase === "claimed" ? companions(turn, keeper, null) : record.durable;
    beginTenure(keeper, record, turn.at, Number.NEGATIVE_INFINITY, configured);
    const { leaseMs, maxClockDriftRatio } = turn.state.topology.profile;
    patchTenure(keeper, {
      // Nobody knows how old that is which is on no copy: too old, until one has it (P3).
      trackedAt: turn.at - keeper.dataStore.rpoMs,
      // A claim that was sent before the promise, and stands since: as long as a promise lasts (L2, L6).
      promoteFrom:
        record.primary === null
          ? turn.at
          : Math.max(keeper.promisedUntil, turn.state.startedAt + leaseMs * (1 + maxClockDriftRatio)),
    });
    touchRouting(turn);
  }

  watchRole(turn, keeper);
  watchDeadlines(turn, keeper);
  if (keeper.tenure?.over) return relinquish(turn, keeper);

  if (lease.record.phase === "claimed") advancePromotion(turn, keeper, lease.record);
  else advanceLeading(turn, keeper, lease.record);
}

/** H1. */
function watchRole(turn: Turn, keeper: KeeperDraft): void {
  const { tenure, local } = keeper;
  const lease = keeper.lease;
  if (!tenure || tenure.over || !lease) return;
  const giveUp = (over: string) => patchTenure(keeper, { over });
  if (local.firedEpoch >= tenure.epoch)
    return giveUp(`the fencer ended ${keeper.member} in epoch ${tenure.epoch}`);
  const sight = local.sight;
  if (!sight || sight.state === "unknown" || local.op?.op.kind === "stop-in-order") return;
  if (lease.record.phase !== "committed") {
    if (sight.state === "standby" && lease.record.primary !== null && sight.position < provenAt(keeper))
      return giveUp(
        `the copy of ${keeper.member} ends at ${sight.position}, and it was claimed for what it had before: it was put back since`,
      );
    const gone = sight.state === "stopped" || sight.state === "absent";
    if (gone && lease.record.primary !== null && !local.op)
      giveUp(
        `${keeper.member} is ${sight.state} and cannot be promoted${sight.problem ? ` (${sight.problem})` : ""}`,
      );
    return;
  }

  if (sight.state === "primary") {
    if (sight.epoch !== tenure.epoch)
      return giveUp(
        `${keeper.member} leads epoch ${sight.epoch} by its own disk, the lease is for ${tenure.epoch}`,
      );
    if (tenure.hungSince !== null) patchTenure(keeper, { hungSince: null });
    return watchRoom(turn, keeper, lease.record);
  }
  if (sight.state === "hung" || sight.state === "rejoining") {
    const since = tenure.hungSince ?? turn.at;
    if (tenure.hungSince === null) patchTenure(keeper, { hungSince: since });
    const until = since + turn.state.timing.hungMs;
    if (turn.at < until) return wakeKeeperAt(keeper, until);
    return giveUp(`${keeper.member} has not answered for ${Math.round(turn.at - since)} ms`);
  }
  giveUp(`PostgreSQL of ${keeper.member} is ${sight.state}${sight.problem ? ` (${sight.problem})` : ""}`);
}

/**
 * H5. A folder may be put back between claim and promotion, by a person or by a disk. An agent that was started since goes by
 * what it had told of its seal; without that, nothing is proven.
 */
function provenAt({ proof, claim, tenure }: KeeperDraft): Lsn {
  if (proof?.epoch === tenure?.epoch) return proof?.position ?? Number.POSITIVE_INFINITY;
  return (claim?.epoch === tenure?.epoch ? claim?.position : null) ?? Number.POSITIVE_INFINITY;
}

/** L5: freeze, then stop, by the holder's own clock. The gate and the fencer do the same by theirs (L7). */
function watchDeadlines(turn: Turn, keeper: KeeperDraft): void {
  const tenure = keeper.tenure;
  if (!tenure || tenure.over) return;
  const confirmed = confirmedAt(tenure);
  if (confirmed === Number.NEGATIVE_INFINITY) return;
  const { freezeAt, stopAt } = holderDeadlines(confirmed, turn.state.topology.profile);
  if (turn.at >= stopAt)
    return patchTenure(keeper, {
      over: `the lease of epoch ${tenure.epoch} was not renewed for ${Math.round(turn.at - confirmed)} ms`,
    });
  wakeKeeperAt(keeper, stopAt);
  if (turn.at < freezeAt) return wakeKeeperAt(keeper, freezeAt);
  freeze(turn, keeper, "lease");
}

/** A claim of ours: promote, then commit. */
function advancePromotion(turn: Turn, keeper: KeeperDraft, record: LeaseRecord): void {
  const tenure = keeper.tenure;
  if (!tenure || !keeper.member) return;
  const { promoteWithinMs, initializeWithinMs } = turn.state.timing;
  const withinMs = record.primary === null ? initializeWithinMs : promoteWithinMs;
  const giveUpAt = tenure.since + withinMs;
  if (turn.at >= giveUpAt) {
    patchTenure(keeper, {
      over: `${keeper.member} did not become primary of epoch ${tenure.epoch} within ${withinMs} ms`,
    });
    return relinquish(turn, keeper);
  }
  wakeKeeperAt(keeper, giveUpAt);
  const { local } = keeper;

  const { promoted } = tenure;
  if (promoted) {
    if (keeper.write) return;
    touchRouting(turn);
    return writeLease(turn, keeper, "commit", {
      ...record,
      phase: "committed",
      renewal: record.renewal + 1,
      basis: 0,
      primary: {
        member: keeper.member,
        incarnation: promoted.incarnation,
        epoch: tenure.epoch,
        ...(promoted.fork && { fork: promoted.fork }),
      },
      // Everything before the promotion is below this position; whoever has not caught up to it is not trusted (D3).
      durable: { ...tenure.configured, position: promoted.position, final: false },
      handover: null,
      because: record.because,
    });
  }
  renewIfDue(turn, keeper);
  if (tenure.renewedAt === Number.NEGATIVE_INFINITY) return;
  if (turn.at < tenure.promoteFrom) return wakeKeeperAt(keeper, tenure.promoteFrom);
  if (local.op || local.guard || !local.sight || local.sight.state === "unknown") return;
  if (turn.at < local.retryAt) return wakeKeeperAt(keeper, local.retryAt);
  pet(turn, keeper);
  // A gate may still be open from an epoch before, of which an agent that restarted knows nothing: nothing passes in this
  // one before it is committed.
  orderGate(turn, keeper, "closed");
  if (record.primary === null && !isMade(turn, keeper, record)) return;
  const wanted = Math.min(
    keeper.dataStore.replication === "synchronous" ? keeper.dataStore.acknowledgements : 0,
    tenure.configured.standbys.length,
  );
  const set = {
    acknowledgements: wanted,
    standbys: wanted > 0 || keeper.dataStore.replication === "asynchronous" ? tenure.configured.standbys : [],
  };
  patchTenure(keeper, { configured: set });
  runOp(
    turn,
    keeper,
    {
      kind: "promote",
      epoch: tenure.epoch,
      acknowledgements: wanted,
      standbys: wanted > 0 ? names(set.standbys) : [],
    },
    giveUpAt - turn.at,
  );
}

/**
 * The first primary of all. What an agent that was ended in the middle has left is gone on with, not begun anew;
 * true when it is to be promoted like any other copy.
 */
function isMade(turn: Turn, keeper: KeeperDraft, record: LeaseRecord): boolean {
  const { tenure, local, lease } = keeper;
  if (!tenure || !local.sight || !lease) return false;
  const { state, epoch, position, incarnation } = local.sight;
  if (state === "standby") return true;
  if (state === "absent")
    runOp(turn, keeper, { kind: "initialize", epoch: record.epoch }, turn.state.timing.initializeWithinMs);
  else if (state === "stopped")
    runOp(turn, keeper, { kind: "start-sealed", basis: lease.revision }, turn.state.timing.stopWithinMs * 10);
  else if (state === "primary" && epoch === tenure.epoch && incarnation) {
    patchTenure(keeper, { promoted: { position, incarnation } });
    wakeKeeperAt(keeper, turn.at);
  }
  return false;
}

/** A committed primary of ours: renew, guard, keep copies, serve a planned change. */
function advanceLeading(turn: Turn, keeper: KeeperDraft, record: LeaseRecord): void {
  const sight = keeper.local.sight;
  // Not renewed before it is known that there is a primary to renew for (H1).
  if (!sight || sight.state === "unknown") return;
  if (sight.state === "primary" || keeper.local.op?.op.kind === "stop-in-order") renewIfDue(turn, keeper);
  advanceAsking(turn, keeper);
  const tenure = keeper.tenure;
  if (!tenure) return;
  const confirmed = confirmedAt(tenure);
  const fresh =
    confirmed !== Number.NEGATIVE_INFINITY && turn.at < confirmed + turn.state.topology.profile.freezeMs;
  followTrack(turn, keeper, record);
  const heldOver = tenure.frozen === "" && sight.frozen && keeper.local.sightAt > tenure.since;
  const { guard, guardRetryAt } = keeper.local;
  const held = (tenure.frozen === "lease" || heldOver) && fresh && !guard;
  // What also the RPO holds stays held, for that reason.
  if (held && isBeyondRpo(turn, keeper, record)) patchTenure(keeper, { frozen: "rpo" });
  const mayThaw = held && keeper.tenure?.frozen !== "rpo";
  if (mayThaw && turn.at < guardRetryAt) wakeKeeperAt(keeper, guardRetryAt);
  else if (mayThaw) {
    patchTenure(keeper, { frozen: "" });
    runOp(turn, keeper, { kind: "thaw" }, turn.state.timing.endWithinMs);
    note(turn, "info", keeper.dataStore.name, "writes flow again: the lease is renewed");
  }
  if (fresh && !tenure.gateOpen && gateModeOf(tenure) !== "closed") orderGate(turn, keeper);
  advanceQuorum(turn, keeper, record);
  advanceChange(turn, keeper, record);
  // Never of its own copy: it only answers.
  takeUpReseed(turn, keeper, record);
}

function renewIfDue(turn: Turn, keeper: KeeperDraft): void {
  const { tenure, lease } = keeper;
  if (!tenure || !lease) return;
  if (keeper.write) return;
  if (turn.at < tenure.nextRenewAt) return wakeKeeperAt(keeper, tenure.nextRenewAt);
  const nextRenewAt = turn.at + turn.state.topology.profile.renewMs;
  patchTenure(keeper, { nextRenewAt });
  writeLease(turn, keeper, "renew", renewed(lease.record, publishedPosition(keeper)));
  wakeKeeperAt(keeper, nextRenewAt);
}

/** H2. */
function relinquish(turn: Turn, keeper: KeeperDraft): void {
  const { tenure, lease, member, local } = keeper;
  if (!tenure || !lease || !member) return;
  if (tenure.gateOpen) orderGate(turn, keeper, "closed");
  if (!tenure.ended) {
    if (local.guard?.op.kind === "end") return;
    if (turn.at < local.guardRetryAt) return wakeKeeperAt(keeper, local.guardRetryAt);
    note(turn, "alarm", keeper.dataStore.name, `giving up epoch ${tenure.epoch}: ${tenure.over}`);
    return runOp(turn, keeper, { kind: "end" }, turn.state.timing.endWithinMs);
  }
  if (keeper.write && keeper.write.purpose !== "renew") return;
  // Again and again only against what is new: a store that tells nothing new is asked after a pause.
  if (turn.at < tenure.nextRenewAt && tenure.vacatedOn === lease.revision)
    return wakeKeeperAt(keeper, tenure.nextRenewAt);
  patchTenure(keeper, { nextRenewAt: turn.at + turn.state.timing.askEveryMs, vacatedOn: lease.revision });
  // Far from the store a renewal takes as long as this write: it is written over, not waited for.
  const record = keeper.write?.record ?? lease.record;
  const final = tenure.finalPosition;
  writeLease(turn, keeper, "vacate", {
    ...record,
    phase: "vacant",
    renewal: record.renewal + 1,
    durable: final === null ? record.durable : { ...record.durable, position: final, final: true },
    because: tenure.over,
  });
  if (final === null) patchLocal(keeper, { failures: 0 });
}

function names(copies: readonly CopyRef[]): string[] {
  return copies.map((copy) => copy.member);
}
