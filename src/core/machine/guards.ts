/**
 * What stands behind the lease of a holder, and how far it may go: the freeze, the fencer's deadline, the gate.
 *
 * H4. No pet and no order to the gate goes further than the last renewal that was confirmed, or the last promise of a
 *     majority of peers (L6), allows.
 */
import { holderDeadlines } from "../lease/lease.ts";
import type { InstantMs } from "../model/time.ts";
import type { Tenure } from "./state.ts";
import { type KeeperDraft, note, patchTenure, runOp, type Turn, wakeKeeperAt } from "./turn.ts";

/** Until when the holder may go by its lease (H4). */
export function confirmedAt(tenure: Tenure): InstantMs {
  return Math.max(tenure.renewedAt, tenure.extendedAt);
}

export function freeze(turn: Turn, keeper: KeeperDraft, why: "lease" | "rpo"): void {
  const tenure = keeper.tenure;
  const { guard, guardRetryAt } = keeper.local;
  if (!tenure || tenure.frozen || guard || keeper.lease?.record.phase !== "committed") return;
  if (turn.at < guardRetryAt) return wakeKeeperAt(keeper, guardRetryAt);
  patchTenure(keeper, { frozen: why });
  runOp(turn, keeper, { kind: "freeze" }, turn.state.timing.endWithinMs);
  note(
    turn,
    "warning",
    keeper.dataStore.name,
    why === "lease"
      ? "writes are held: the lease could not be renewed"
      : "writes are held: the standbys are further behind than the RPO allows",
  );
}

/** H4: what a confirmed renewal, or a majority of promises, lets the guards allow. */
export function petGuards(turn: Turn, keeper: KeeperDraft): void {
  pet(turn, keeper);
  const { tenure } = keeper;
  if (!tenure || tenure.over || keeper.lease?.record.phase !== "committed") return;
  if (gateModeOf(tenure) !== "closed") orderGate(turn, keeper);
}

export function pet(turn: Turn, keeper: KeeperDraft): void {
  const { tenure, member } = keeper;
  if (!tenure || !member || tenure.over) return;
  const deadline = holderDeadlines(confirmedAt(tenure), turn.state.topology.profile).stopAt;
  if (Number.isFinite(deadline)) turn.commands.push({ kind: "pet", member, epoch: tenure.epoch, deadline });
}

/** What the gate is to be as long as the lease is fresh: a planned change holds it, and closes it before the stop. */
export function gateModeOf(tenure: Tenure): "open" | "hold" | "closed" {
  const log = tenure.change?.log ?? [];
  if (log.some((entry) => entry.step === "stop")) return "closed";
  const drain = log.findLast((entry) => entry.step === "drain");
  return drain && !drain.event.startsWith("undo") ? "hold" : "open";
}

export function orderGate(turn: Turn, keeper: KeeperDraft, mode?: "open" | "hold" | "closed"): void {
  const { tenure, member } = keeper;
  if (!tenure || !member) return;
  const { freezeAt, stopAt } = holderDeadlines(confirmedAt(tenure), turn.state.topology.profile);
  if (!Number.isFinite(stopAt) && mode !== "closed") return;
  const wanted = mode ?? gateModeOf(tenure);
  const holdAt = Math.min(freezeAt, rpoHoldAt(keeper));
  turn.commands.push({
    kind: "gate",
    member,
    epoch: tenure.epoch,
    mode: wanted,
    holdAt: wanted === "closed" ? turn.at : holdAt,
    cutAt: wanted === "closed" ? turn.at : stopAt,
  });
  if (tenure.gateOpen !== (wanted !== "closed")) patchTenure(keeper, { gateOpen: wanted !== "closed" });
}

/**
 * P3: until when what is acknowledged here cannot be older than the RPO when it is lost: by the oldest position that is on
 * no copy yet, or by the last look, since a primary that nobody can look at may have acknowledged ever since. The gate
 * holds by its own clock then, also when the agent or PostgreSQL stands still. Half of the RPO is kept for the time that
 * publishing and freezing take.
 */
export function rpoHoldAt({ dataStore, tenure, lease }: KeeperDraft): InstantMs {
  const durable = lease?.record.durable;
  if (dataStore.replication !== "asynchronous" || !tenure || !durable || durable.standbys.length === 0)
    return Number.POSITIVE_INFINITY;
  const beyond = tenure.track.find(([, lsn]) => lsn > durable.position);
  return (beyond?.[0] ?? tenure.trackedAt) + dataStore.rpoMs / 2;
}
