/**
 * The keeper of a data store whose lease is held elsewhere, or by nobody: follow a living primary, or else vote, seal, claim.
 *
 * F1. A member that is not the holder's never accepts writes: if it runs as a primary it is ended, first of all.
 * F2. Nobody follows, or rewinds to, a primary that has not committed (trap 10).
 * F3. Sealed copies stay sealed until the primary that they were sealed against renews, or another one commits.
 * F4. An agent that does not hear the store, or has promised a holder to wait (L6), neither votes nor seals nor claims,
 *     before that holder itself gives up.
 * F5. A data store begins with nothing only where nothing is left, nor remembered, of a primary.
 */
import type { QuorumSet } from "../act/quorum.ts";
import { decideClaim } from "../decide/claim.ts";
import { hasLastPosition } from "../decide/proof.ts";
import { basisOf, expiresAt, isExpired, type SeenLease } from "../lease/lease.ts";
import type { RegionName } from "../model/id.ts";
import type { Lsn } from "../model/lsn.ts";
import type { CopyRef, LeaseRecord } from "../model/record.ts";
import { writeRequest } from "./change.ts";
import type { Upstream } from "./command.ts";
import type { MemberSight } from "./event.ts";
import { writeLease } from "./lease-write.ts";
import { ownReport, reportOf, reportsOf } from "./reports.ts";
import { takeUpReseed } from "./reseed.ts";
import { isAlive, type KeeperDraft, note, patchLocal, runOp, type Turn, wakeKeeperAt } from "./turn.ts";

export function advanceFollower(turn: Turn, keeper: KeeperDraft): void {
  const { lease, local } = keeper;
  if (!lease) return;
  if (keeper.tenure) loseTenure(turn, keeper);
  const over = lease.record.phase === "vacant" || isExpired(lease, turn.state.topology.profile, turn.at);
  if (!over) {
    // Strictly later (L1): a microsecond after the last instant at which it still counts.
    wakeKeeperAt(keeper, expiresAt(lease, turn.state.topology.profile) + 0.001);
    keeper.overSince = null;
    const heldBefore = keeper.holding;
    keeper.holding = "";
    if (endIfPrimary(turn, keeper)) return;
    if (lease.record.phase === "committed") return followPrimary(turn, keeper, lease);
    keeper.holding = `${lease.record.holder} has claimed epoch ${lease.record.epoch}`;
    if (keeper.holding !== heldBefore) expectPrimary(turn, keeper, lease);
    return;
  }
  keeper.overSince ??= turn.at;
  if (endIfPrimary(turn, keeper)) return;
  const blind = whyBlind(turn, keeper, lease);
  if (blind) {
    keeper.holding = blind;
    return;
  }
  if (lease.record.phase !== "vacant" && keeper.voted !== lease.revision) {
    keeper.voted = lease.revision;
    turn.state.own = { ...turn.state.own, dirty: true };
    note(
      turn,
      "warning",
      keeper.dataStore.name,
      `the lease of epoch ${lease.record.epoch} (${lease.record.holder}) has expired for this region`,
    );
  }
  if (lease.record.primary === null) return beginAgain(turn, keeper, lease);
  if (!keeper.member || !local.sight) return;
  sealOwn(turn, keeper, lease, local.sight);
  claimIfRight(turn, keeper, lease);
}

/** F4. */
function whyBlind(turn: Turn, keeper: KeeperDraft, lease: SeenLease): string {
  // Whoever asked has given up since: nothing is left to wait for.
  const isPromised = turn.at < keeper.promisedUntil && lease.record.phase !== "vacant";
  if (isPromised) {
    wakeKeeperAt(keeper, keeper.promisedUntil);
    return `this agent has promised ${lease.record.holder} to wait another ${Math.ceil(keeper.promisedUntil - turn.at)} ms`;
  }
  const unheardMs = turn.at - turn.state.storeHeardAt;
  if (unheardMs > turn.state.timing.storeLostMs)
    return `the store has not answered this agent for ${Math.round(unheardMs)} ms`;
  return "";
}

/** We held it, and another one does now: whatever runs here is not the primary any more. */
function loseTenure(turn: Turn, keeper: KeeperDraft): void {
  const { tenure, member, lease } = keeper;
  if (!tenure || !member) return;
  turn.commands.push({
    kind: "gate",
    member,
    epoch: tenure.epoch,
    mode: "closed",
    holdAt: turn.at,
    cutAt: turn.at,
  });
  if (lease && lease.record.epoch > tenure.epoch)
    note(
      turn,
      "warning",
      keeper.dataStore.name,
      `${member} leads no more: epoch ${lease.record.epoch} belongs to ${lease.record.holder}`,
    );
  keeper.tenure = null;
}

/** F1. */
function endIfPrimary(turn: Turn, keeper: KeeperDraft): boolean {
  const { local } = keeper;
  const state = local.sight?.state;
  const promoting =
    local.op?.op.kind === "promote" ||
    local.op?.op.kind === "initialize" ||
    local.op?.op.kind === "stop-in-order";
  if (state !== "primary" && !promoting) return false;
  if (local.guard?.op.kind === "end") return true;
  if (turn.at < local.guardRetryAt) {
    wakeKeeperAt(keeper, local.guardRetryAt);
    return true;
  }
  runOp(turn, keeper, { kind: "end" }, turn.state.timing.endWithinMs);
  return true;
}

/** To follow it now would break F2; what can be readied without that is for the member to know. */
function expectPrimary(turn: Turn, keeper: KeeperDraft, lease: SeenLease): void {
  const upstream = upstreamOf(keeper, lease.record);
  if (!keeper.member || !upstream || keeper.local.sight?.state !== "standby") return;
  turn.commands.push({ kind: "expect", member: keeper.member, upstream });
}

function upstreamOf({ dataStore }: KeeperDraft, { holder, epoch }: LeaseRecord): Upstream | null {
  const leader = dataStore.members.find((candidate) => candidate.name === holder);
  return leader ? { member: leader.name, address: leader.address, epoch } : null;
}

function followPrimary(turn: Turn, keeper: KeeperDraft, lease: SeenLease): void {
  const { local, member } = keeper;
  const sight = local.sight;
  const { record } = lease;
  if (!member || !sight || sight.state === "unknown" || local.op || local.guard) return;
  // Its own disk has seen more than the store knows: to follow now would be to throw that away.
  if (sight.floor > record.epoch) {
    keeper.holding = `${member} has been claimed for epoch ${sight.floor}, and the store knows epoch ${record.epoch}: restore a newer copy of the store`;
    return;
  }
  const reseed = takeUpReseed(turn, keeper, record);
  // Nearly always, ten times a second: it streams from whom it should.
  const streams = sight.state === "standby" && sight.streaming && sight.sealedBasis === 0;
  const stays = streams && sight.epoch === record.epoch && !local.mustRejoin;
  if (stays && local.notStreamingSince === null && reseed === null) return;
  const upstream = upstreamOf(keeper, record);
  if (!upstream) return;
  if (turn.at < local.retryAt) return wakeKeeperAt(keeper, local.retryAt);
  if (reseed !== null) return rejoin(turn, keeper, upstream, reseed);
  const { timing } = turn.state;

  switch (sight.state) {
    case "absent":
    case "stopped":
      return rejoin(turn, keeper, upstream);
    case "hung": {
      const since = local.notStreamingSince ?? turn.at;
      patchLocal(keeper, { notStreamingSince: since });
      const until = since + timing.rejoinAfterMs;
      if (turn.at < until) return wakeKeeperAt(keeper, until);
      patchLocal(keeper, { notStreamingSince: null });
      return runOp(turn, keeper, { kind: "end" }, timing.endWithinMs);
    }
    case "standby": {
      if (local.mustRejoin) return rejoin(turn, keeper, upstream);
      if (sight.epoch !== record.epoch || sight.sealedBasis !== 0) {
        disarm(turn, keeper, record.epoch);
        const promotedAt = local.failures === 0 ? knownPrefix(keeper, lease, sight) : null;
        const fork = promotedAt === null ? undefined : record.primary?.fork;
        const op = { kind: "follow", upstream, promotedAt, ...(fork && { fork }) } as const;
        return runOp(turn, keeper, op, timing.stopWithinMs);
      }
      if (sight.streaming) {
        if (local.notStreamingSince !== null) patchLocal(keeper, { notStreamingSince: null });
        return;
      }
      const since = local.notStreamingSince ?? turn.at;
      if (local.notStreamingSince === null) patchLocal(keeper, { notStreamingSince: since });
      const until = since + timing.rejoinAfterMs;
      if (turn.at < until) return wakeKeeperAt(keeper, until);
      return rejoin(turn, keeper, upstream);
    }
    case "rejoining":
    case "primary":
      return;
    default:
      return sight.state satisfies never;
  }
}

/**
 * The position of the promotion, when our copy is known to be a part of what was promoted: it was published for the old
 * primary, ends no later than the claimer's copy did, and was never promoted since. It ends there for good since it was
 * sealed against the very basis of the claim, or since the old primary had ended in order.
 */
function knownPrefix(keeper: KeeperDraft, lease: SeenLease, sight: MemberSight): Lsn | null {
  const { claim } = keeper;
  if (!claim || claim.epoch !== lease.record.epoch || claim.position === null) return null;
  if (!claim.final && claim.basis !== sight.sealedBasis) return null;
  if ((claim.final ? sight.position : sight.sealedPosition) > claim.position) return null;
  // Whoever was promoted itself meanwhile, and gave up before it committed, has a history of its own, under the same seal
  // and perhaps under the same number of timeline.
  if (sight.floor > claim.primaryEpoch) return null;
  const published = claim.standbys.some(
    (copy) => copy.member === keeper.member && copy.incarnation === sight.incarnation,
  );
  return published ? lease.record.durable.position : null;
}

function rejoin(turn: Turn, keeper: KeeperDraft, upstream: Upstream, reseed?: string): void {
  disarm(turn, keeper, upstream.epoch);
  patchLocal(keeper, { mustRejoin: false, notStreamingSince: null });
  note(
    turn,
    "info",
    keeper.dataStore.name,
    `${keeper.member} joins ${upstream.member} (epoch ${upstream.epoch}) as a standby${reseed === undefined ? "" : ", its copy made anew"}`,
  );
  const op = { kind: "rejoin", upstream, ...(reseed !== undefined && { reseed }) } as const;
  runOp(turn, keeper, op, turn.state.timing.seedWithinMs);
}

/** The fencer guards primaries: it must let a member live that comes back as a standby. */
function disarm(turn: Turn, keeper: KeeperDraft, epoch: number): void {
  if (!keeper.member) return;
  turn.commands.push({ kind: "disarm", member: keeper.member, epoch });
}

function sealOwn(turn: Turn, keeper: KeeperDraft, lease: SeenLease, sight: MemberSight): void {
  const { local } = keeper;
  if (turn.at < local.retryAt) return wakeKeeperAt(keeper, local.retryAt);
  if (local.guard) return;
  const basis = basisOf(lease.record, lease.revision);
  if (sight.state === "standby") {
    if (sight.sealedBasis === basis) return;
    // Following the dead one, or trying to: the seal overtakes it.
    if (local.op && local.op.op.kind !== "follow") return;
    if (!local.op && hasLastPosition(lease.record, sight)) return;
    const lookedBy = lease.seenAt + turn.state.timing.patienceMs;
    if (!local.op && lease.record.durable.final && local.sightAt < lease.seenAt && turn.at < lookedBy)
      return wakeKeeperAt(keeper, lookedBy);
    disarm(turn, keeper, lease.record.epoch);
    return runOp(turn, keeper, { kind: "seal", basis }, turn.state.timing.endWithinMs);
  }
  if (sight.state !== "stopped" || local.op) return;
  // A stopped member with data can be the proof, when the others are not: but starting one costs the candidates CPU and
  // disk in the very moment that counts, so it waits until they had their turn, unless nobody else can ever be proven.
  const alone = lease.record.durable.acknowledgements === 0 && lease.record.primary?.member === keeper.member;
  const at = (keeper.overSince ?? turn.at) + (alone ? 0 : turn.state.topology.profile.leaseMs);
  if (turn.at < at) return wakeKeeperAt(keeper, at);
  disarm(turn, keeper, lease.record.epoch);
  runOp(turn, keeper, { kind: "start-sealed", basis }, turn.state.timing.stopWithinMs * 10);
}

function claimIfRight(turn: Turn, keeper: KeeperDraft, lease: SeenLease): void {
  const { member, local } = keeper;
  if (!member || keeper.write || local.op || local.guard) return;
  if (local.sight?.state !== "standby") {
    keeper.holding = `${member} is ${local.sight?.state ?? "unknown"}, and so cannot lead`;
    return;
  }
  const votes = votesFor(turn, keeper, lease);
  const approval = Object.values(turn.state.requests).find(
    ({ record }) =>
      record.dataStore === keeper.dataStore.name &&
      record.status === "pending" &&
      (record.kind === "approve" || record.kind === "allow-data-loss") &&
      (record.ifEpoch === 0 || record.ifEpoch === lease.record.epoch),
  )?.record;
  const reports = reportsOf(turn, keeper);
  const basis = basisOf(lease.record, lease.revision);
  const decision = decideClaim({
    lease: lease.record,
    revision: lease.revision,
    basis,
    dataStore: keeper.dataStore,
    regions: turn.state.topology.regions,
    mode: turn.state.topology.mode,
    member,
    reports,
    votes,
    storeMs: new Map(
      Object.entries(turn.state.agents).map(([region, { record }]) => [region, record.storeMs ?? 0]),
    ),
    overSince: keeper.overSince ?? turn.at,
    now: turn.at,
    patienceMs: turn.state.timing.patienceMs,
    approval: approval ? { request: approval.id, allowDataLoss: approval.kind === "allow-data-loss" } : null,
  });
  if (decision.kind === "hold") {
    if (decision.because !== keeper.holding)
      note(turn, "info", keeper.dataStore.name, `holding: ${decision.because}`);
    keeper.holding = decision.because;
    if (decision.until !== null) wakeKeeperAt(keeper, decision.until);
    return;
  }
  keeper.holding = "";
  const seen = approval && turn.state.requests[approval.id];
  if (seen)
    writeRequest(
      turn,
      seen.record,
      seen.revision,
      "succeeded",
      `epoch ${decision.epoch} is claimed for ${member}`,
    );
  note(
    turn,
    "alarm",
    keeper.dataStore.name,
    `claiming epoch ${decision.epoch} for ${member}: ${decision.because}`,
  );
  keeper.proof = { epoch: decision.epoch, position: local.sight.position };
  writeLease(turn, keeper, "claim", {
    ...lease.record,
    epoch: decision.epoch,
    phase: "claimed",
    holder: member,
    renewal: 0,
    basis,
    because: decision.because,
  });
}

/** Regions that saw the lease expire at this very revision. What we saw ourselves need not come back from the store. */
function votesFor(turn: Turn, keeper: KeeperDraft, lease: SeenLease): Set<RegionName> {
  const votes = new Set<RegionName>(keeper.voted === lease.revision ? [turn.state.self] : []);
  for (const [region, seen] of Object.entries(turn.state.agents))
    if (seen.record.expired[keeper.dataStore.name] === lease.revision) votes.add(region);
  return votes;
}

/**
 * The standbys that the new primary waits for from its first commit: published copies beside it, and the old primary if it
 * ended in order. None is taken on trust: an acknowledgement needs what they flush, and whoever lies below the position of
 * the promotion proves nothing (D3).
 */
export function companions(turn: Turn, keeper: KeeperDraft, before: LeaseRecord | null): QuorumSet {
  const standbys = companionsOf(turn, keeper, before);
  return { acknowledgements: Math.min(keeper.dataStore.acknowledgements, standbys.length), standbys };
}

/**
 * Only copies that are known to be a part of ours: what has a history of its own would later count by a position that means
 * something else there. So: sealed against the same basis and no further than we are (after an orderly end nobody can be
 * further), and not promoted itself since. Damaged ones only where whole ones are too few. `before`: the lease that was
 * claimed; its holder may have been promoted in vain.
 */
function companionsOf(turn: Turn, keeper: KeeperDraft, before: LeaseRecord | null): CopyRef[] {
  const { lease, member, dataStore, local } = keeper;
  if (!lease?.record.primary) return [];
  const { durable, primary } = lease.record;
  const basis = basisOf(lease.record, lease.revision);
  const end = durable.final ? durable.position : (local.sight?.sealedPosition ?? 0);
  const whole: CopyRef[] = [];
  const damaged: CopyRef[] = [];
  for (const { member: name, incarnation } of [...durable.standbys, ...(durable.final ? [primary] : [])]) {
    const region = dataStore.members.find((candidate) => candidate.name === name)?.region;
    const isFound = [...whole, ...damaged].some((copy) => copy.member === name);
    if (name === member || !region || !isAlive(turn, region) || isFound) continue;
    const report = reportOf(turn, region, name);
    if (report?.incarnation !== incarnation || report.floor > primary.epoch) continue;
    const ended = durable.final && name === primary.member;
    if (!ended && (report.state !== "standby" || name === before?.holder)) continue;
    const isPart = durable.final
      ? report.position <= end
      : report.seal?.basis === basis && report.seal.position <= end;
    if (isPart) (report.damaged ? damaged : whole).push({ member: name, incarnation });
  }
  return dataStore.acknowledgements <= whole.length ? whole : [...whole, ...damaged];
}

/** There has never been a primary, and whoever was to make the first one gave up: it is begun again, by the same one. */
function beginAgain(turn: Turn, keeper: KeeperDraft, lease: SeenLease): void {
  const { dataStore, member, local } = keeper;
  const first = dataStore.members.find((candidate) => candidate.promotable);
  keeper.holding = `${dataStore.name} has no primary yet; ${first?.name} is to be the first`;
  if (first?.name !== member || keeper.write || local.op || local.guard || !local.sight) return;
  const votes = votesFor(turn, keeper, lease);
  const needed = Math.floor(turn.state.topology.regions.length / 2) + 1;
  if (lease.record.phase !== "vacant" && votes.size < needed) return;
  writeLease(turn, keeper, "claim", {
    ...lease.record,
    epoch: Math.max(lease.record.epoch, local.sight.floor) + 1,
    phase: "claimed",
    holder: first.name,
    renewal: 0,
    because: `first start, again: ${lease.record.because}`,
  });
}

/**
 * F5. The first primary of a data store that has never had one: all members are there, empty, and this is the first of them.
 * Empty members alone are no proof: their disks may have been lost, and the lease deleted. Then a person says what is next.
 */
export function bootstrap(turn: Turn, keeper: KeeperDraft): void {
  const { dataStore, member } = keeper;
  if (keeper.tenure) loseTenure(turn, keeper);
  if (endIfPrimary(turn, keeper)) return;
  keeper.holding = `${dataStore.name} has no primary yet`;
  const first = dataStore.members.find((candidate) => candidate.promotable);
  const because = whyNotFirst(turn, keeper);
  if (because !== "") {
    keeper.holding = because;
    return;
  }
  if (!first || first.name !== member || keeper.write || turn.state.topology.mode === "observe") return;
  note(turn, "info", dataStore.name, `making ${member} the first primary`);
  writeLease(turn, keeper, "bootstrap", {
    schema: 1,
    epoch: 1,
    phase: "claimed",
    holder: member,
    renewal: 0,
    basis: 0,
    primary: null,
    durable: { acknowledgements: 0, standbys: [], position: 0, final: false },
    handover: null,
    because: "first start",
  });
}

/** Empty: nothing is left, nor remembered, of a primary. */
function whyNotFirst(turn: Turn, keeper: KeeperDraft): string {
  const { dataStore, member } = keeper;
  const reports = reportsOf(turn, keeper);
  for (const { name, region } of dataStore.members) {
    const report = name === member ? ownReport(keeper) : reports.get(name);
    if (!report || report.state === "unknown")
      return `waiting for the agent of ${region} to say that ${name} is empty`;
    if (report.floor > 0 || report.state !== "absent")
      return `the lease of ${dataStore.name} is not in the store, but ${name} holds data of epoch ${report.floor}: restore the store, or move that data away`;
  }
  const routed = turn.state.routing.signed?.table.stores[dataStore.name]?.epoch ?? 0;
  if (keeper.leaseRevision === 0 && routed === 0) return "";
  const was = routed > 0 ? `traffic went to it in epoch ${routed}` : "this agent has seen it";
  return `the lease of ${dataStore.name} is not in the store, and every copy is empty, but ${was}: restore the store and a copy; or, to begin with nothing, end all agents and edges, and remove what the store holds of this topology and the tables that edges keep`;
}
