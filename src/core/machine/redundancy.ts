/**
 * The copies of a primary that leads here: which standbys writes wait for, and what is published of them.
 *
 * The order of the steps is `act/quorum.ts`; here is what is wanted, and when.
 */
import { nextQuorumStep, type QuorumSet, sameSet } from "../act/quorum.ts";
import type { Lsn } from "../model/lsn.ts";
import type { CopyRef, LeaseRecord } from "../model/record.ts";
import { NEVER, type SpanMs } from "../model/time.ts";
import type { DataStore } from "../model/topology.ts";
import { freeze, gateModeOf, orderGate } from "./guards.ts";
import { isDoubtful, writeLease } from "./lease-write.ts";
import { isOutdated, nextPublication } from "./publication.ts";
import { isReseedWished } from "./reseed.ts";
import { type KeeperDraft, note, patchTenure, runOp, type Turn, wakeKeeperAt } from "./turn.ts";

export function advanceQuorum(turn: Turn, keeper: KeeperDraft, record: LeaseRecord): void {
  const { tenure, local } = keeper;
  const sight = local.sight;
  if (!tenure || tenure.over || sight?.state !== "primary") return;
  if (keeper.dataStore.replication === "asynchronous") return advanceAsynchronous(turn, keeper, record);
  if (tenure.change || tenure.frozen || local.guard || sight.frozen) return;

  const wanted = wantedSet(turn, keeper, record);
  const published: QuorumSet = record.durable;
  const next = nextQuorumStep(published, tenure.configured, wanted);
  if (next.kind === "done") {
    // After a restart of ours, or by somebody's hand, PostgreSQL may wait for others than we believe (drift).
    const real = sight.waitsFor;
    const believed = tenure.configured.standbys.map((copy) => copy.member);
    const differs =
      real !== null &&
      local.sightAt > tenure.configuredAt &&
      (real.acknowledgements !== tenure.configured.acknowledgements ||
        real.standbys.length !== believed.length ||
        !real.standbys.every((name) => believed.includes(name)));
    // Trap 8, as below.
    if (differs && !local.op && !isDoubtful(keeper) && turn.at >= local.retryAt)
      configure(turn, keeper, tenure.configured);
    if (differs || !isOutdated(turn, keeper, record)) return;
  } else if (next.kind === "configure") {
    // Trap 8: a publication on its way, or without an answer, may promise more than is known here.
    if (local.op || isDoubtful(keeper)) return;
    if (turn.at < local.retryAt) return wakeKeeperAt(keeper, local.retryAt);
    return configure(turn, keeper, next.set);
  }
  if (keeper.write) return;
  // Done, and yet outdated: the same anew (N2).
  const set = next.kind === "publish" ? next.set : wanted;
  // What was written before the new set was in force may be on other copies only: whoever is not past it is not trusted.
  // So the position is one measured after that (D3), or the promise would be for writes that it does not cover.
  const strengthened = sameSet(set, tenure.configured);
  if (strengthened && local.sightAt <= tenure.configuredAt) return;
  const position = strengthened
    ? Math.max(record.durable.position, set.acknowledgements > 0 ? sight.inserted : sight.position)
    : record.durable.position;
  const lost = set.acknowledgements < keeper.dataStore.acknowledgements;
  if (lost && set.acknowledgements < record.durable.acknowledgements)
    note(
      turn,
      "alarm",
      keeper.dataStore.name,
      `redundancy lost: commits wait for ${set.acknowledgements} standby(s), ${keeper.dataStore.acknowledgements} are wanted`,
    );
  writeLease(turn, keeper, "publish", {
    ...record,
    renewal: record.renewal + 1,
    durable: {
      acknowledgements: set.acknowledgements,
      standbys: set.standbys,
      position,
      final: false,
      publication: nextPublication(turn, keeper, record),
    },
  });
}

function configure(turn: Turn, keeper: KeeperDraft, set: QuorumSet): void {
  if (!keeper.tenure) return;
  runOp(
    turn,
    keeper,
    {
      kind: "set-quorum",
      epoch: keeper.tenure.epoch,
      acknowledgements: set.acknowledgements,
      standbys: set.standbys.map((copy) => copy.member),
    },
    turn.state.timing.endWithinMs,
  );
  // Not in force before it is confirmed: a position measured until then says nothing of the new set.
  patchTenure(keeper, { configured: set, configuredAt: NEVER });
}

/**
 * Who streams counts at once; who stopped streaming is left out only after a while, unless another one can stand in.
 * A damaged copy is left out at once where as many whole ones stream as are to acknowledge: while it is published, the others
 * prove nothing without it. Where they are too few it stays, until it is to be made anew: what it flushes is kept as well as
 * anywhere.
 */
function wantedSet(turn: Turn, keeper: KeeperDraft, record: LeaseRecord): QuorumSet {
  const { dataStore, local, tenure } = keeper;
  const detachedSince: Record<string, number> = {};
  const whole = { standbys: [] as CopyRef[], attached: 0 };
  const damaged = { standbys: [] as CopyRef[], attached: 0 };
  for (const member of dataStore.members) {
    if (member.name === keeper.member) continue;
    const streaming =
      local.sight?.replicas.some((replica) => replica.member === member.name && replica.streaming) ?? false;
    const report = turn.state.agents[member.region]?.record.members[member.name];
    if (report?.damaged && isReseedWished(turn, keeper, member.region)) continue;
    const side = report?.damaged ? damaged : whole;
    const counted = record.durable.standbys.find((copy) => copy.member === member.name);
    if (streaming && report?.incarnation && report.epoch === tenure?.epoch && report.seal === null) {
      side.attached++;
      side.standbys.push({ member: member.name, incarnation: report.incarnation });
    } else if (counted) {
      const since = tenure?.detachedSince[member.name] ?? turn.at;
      detachedSince[member.name] = since;
      const until = since + turn.state.timing.redundancyWaitMs;
      if (turn.at < until) {
        side.standbys.push(counted);
        wakeKeeperAt(keeper, until);
      }
    }
  }
  patchTenure(keeper, { detachedSince });
  const sides = dataStore.acknowledgements <= whole.attached ? [whole] : [whole, damaged];
  const standbys = sides.flatMap((side) => side.standbys);
  const attached = sides.reduce((sum, side) => sum + side.attached, 0);
  const acknowledgements = Math.min(dataStore.acknowledgements, standbys.length);
  if (dataStore.strict && attached < dataStore.acknowledgements)
    return { acknowledgements: record.durable.acknowledgements, standbys: record.durable.standbys };
  return acknowledgements === 0 ? { acknowledgements: 0, standbys: [] } : { acknowledgements, standbys };
}

/** Everything up to here is on as many published standbys as commits wait for; never lower than before (trap 5). */
export function publishedPosition(keeper: KeeperDraft): Lsn {
  const durable = keeper.lease?.record.durable;
  const sight = keeper.local.sight;
  if (!durable || sight?.state !== "primary") return 0;
  const count = keeper.dataStore.replication === "asynchronous" ? 1 : durable.acknowledgements;
  if (count === 0) return sight.position;
  const flushed = durable.standbys
    .map((copy) => sight.replicas.find((replica) => replica.member === copy.member)?.flushed ?? 0)
    .sort((a, b) => b - a);
  return flushed[count - 1] ?? 0;
}

/** Asynchronous: who streams, and who did. A damaged copy only where no whole one streams: the RPO is kept against it then. */
function copiesOf(turn: Turn, keeper: KeeperDraft, record: LeaseRecord): readonly CopyRef[] {
  const { dataStore, local, tenure } = keeper;
  const whole: CopyRef[] = [];
  const damaged: CopyRef[] = [];
  let wholeStreams = false;
  for (const member of dataStore.members) {
    if (member.name === keeper.member) continue;
    const report = turn.state.agents[member.region]?.record.members[member.name];
    const standbys = report?.damaged ? damaged : whole;
    const streaming = local.sight?.replicas.some(
      (replica) => replica.member === member.name && replica.streaming,
    );
    const counted = record.durable.standbys.find((copy) => copy.member === member.name);
    if (streaming && report?.incarnation && report.epoch === tenure?.epoch) {
      standbys.push({ member: member.name, incarnation: report.incarnation });
      wholeStreams ||= !report.damaged;
    } else if (counted) standbys.push(counted);
  }
  return wholeStreams ? whole : [...whole, ...damaged];
}

/** Asynchronous: since when what is on no copy may have been acknowledged. Before anything goes by it. */
export function followTrack(turn: Turn, keeper: KeeperDraft, record: LeaseRecord): void {
  const { dataStore, local, tenure } = keeper;
  if (dataStore.replication !== "asynchronous" || !tenure || tenure.over) return;
  if (local.sight?.state !== "primary" || copiesOf(turn, keeper, record).length === 0) return;
  // What is new since the last look may be as old as that look: a primary that did not answer meanwhile may have
  // acknowledged it just before (P3).
  const track = [...tenure.track, [tenure.trackedAt, local.sight.position] as const]
    .filter(([, lsn], index, all) => index === 0 || lsn > (all[index - 1]?.[1] ?? 0))
    .slice(-600)
    .filter(([, lsn]) => lsn > record.durable.position);
  const isNewLook = tenure.trackedAt < local.sightAt;
  patchTenure(keeper, { track, trackedAt: local.sightAt });
  // The gate goes by what was seen last.
  if (isNewLook && tenure.gateOpen && gateModeOf(tenure) === "open") orderGate(turn, keeper);
}

/** RPO enforced at the primary (trap 1): it may not run further ahead of the published position than the RPO allows. */
function advanceAsynchronous(turn: Turn, keeper: KeeperDraft, record: LeaseRecord): void {
  const { dataStore, tenure } = keeper;
  if (!tenure) return;
  const standbys = copiesOf(turn, keeper, record);
  const wanted: QuorumSet = { acknowledgements: 0, standbys };
  const isNew = !sameSet(record.durable, wanted) || isOutdated(turn, keeper, record);
  if (isNew && !keeper.write && !tenure.change)
    writeLease(turn, keeper, "publish", {
      ...record,
      renewal: record.renewal + 1,
      durable: { ...record.durable, ...wanted, publication: nextPublication(turn, keeper, record) },
    });
  if (standbys.length === 0) return;

  const beyond = tenure.track.find(([, lsn]) => lsn > record.durable.position);
  const limitMs = limitOf(dataStore);
  // By the instant that is waited for, and not by the age: rounded otherwise, it would be woken too early for ever.
  const holdAt = beyond ? beyond[0] + limitMs : Number.POSITIVE_INFINITY;
  // Published well before the limit, where there is something to publish: or each renewal would begin with a freeze.
  const early = holdAt - limitMs / 2 <= turn.at && publishedPosition(keeper) > record.durable.position;
  if (early && turn.at < tenure.nextRenewAt && !keeper.write) {
    patchTenure(keeper, { nextRenewAt: turn.at });
    wakeKeeperAt(keeper, turn.at);
  }
  // A planned change holds writes in an order of its own; until it does, the gate alone goes by the RPO.
  if (tenure.change) return;
  if (holdAt <= turn.at) freeze(turn, keeper, "rpo");
  else if (beyond) wakeKeeperAt(keeper, holdAt);
  const { guard, guardRetryAt } = keeper.local;
  if (turn.at < holdAt && tenure.frozen === "rpo" && !guard) {
    if (turn.at < guardRetryAt) return wakeKeeperAt(keeper, guardRetryAt);
    patchTenure(keeper, { frozen: "" });
    runOp(turn, keeper, { kind: "thaw" }, turn.state.timing.endWithinMs);
  }
}

/** Whether what is not on a copy is older than the primary may let it become (trap 1). */
export function isBeyondRpo(turn: Turn, keeper: KeeperDraft, record: LeaseRecord): boolean {
  const { dataStore, tenure } = keeper;
  if (dataStore.replication !== "asynchronous" || !tenure) return false;
  const beyond = tenure.track.find(([, lsn]) => lsn > record.durable.position);
  return beyond !== undefined && beyond[0] + limitOf(dataStore) <= turn.at;
}

/** Half of the RPO is kept for the time that publishing and freezing take. */
function limitOf(dataStore: DataStore): SpanMs {
  return dataStore.rpoMs / 2;
}
