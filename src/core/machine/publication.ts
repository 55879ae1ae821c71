/**
 * Publications are numbered within their epoch, and members remember the last one on their own disks. A store that was
 * restored from before it says of copies what is true no more, and no floor tells: the epoch is the same.
 *
 * N1. Only what stands in the store is remembered, and there the number only rises: who remembers more than the store knows
 *     has seen a store that is gone. Nobody claims then without a person (`decide/claim.ts`).
 * N2. A primary that goes on publishes what is so now, beyond all that anybody remembers: then the store is to be believed.
 * N3. Nobody waits for it to be remembered: it takes milliseconds, and to restore a store takes longer.
 */
import { rememberedPublication } from "../decide/claim.ts";
import type { LeaseRecord } from "../model/record.ts";
import { reportsOf } from "./reports.ts";
import { type KeeperDraft, patchLocal, type Turn } from "./turn.ts";

export function rememberPublication(turn: Turn, keeper: KeeperDraft): void {
  const { lease, member, local } = keeper;
  const { primary, durable } = lease?.record ?? {};
  if (!member || !primary || !durable || local.sight?.floor !== primary.epoch) return;
  const publication = durable.publication ?? 0;
  if (publication <= (local.sight.publication ?? 0) || turn.at < local.rememberAt) return;
  // What did not get to the disk shows with a look, and is tried again.
  patchLocal(keeper, { rememberAt: turn.at + turn.state.timing.retryMs });
  turn.commands.push({ kind: "remember", member, epoch: primary.epoch, publication });
}

/** N2: whether somebody remembers more than what is published by this primary. */
export function isOutdated(turn: Turn, keeper: KeeperDraft, record: LeaseRecord): boolean {
  return (record.durable.publication ?? 0) < remembered(turn, keeper, record);
}

export function nextPublication(turn: Turn, keeper: KeeperDraft, record: LeaseRecord): number {
  return Math.max(record.durable.publication ?? 0, remembered(turn, keeper, record)) + 1;
}

function remembered(turn: Turn, keeper: KeeperDraft, record: LeaseRecord): number {
  return rememberedPublication(reportsOf(turn, keeper), record.epoch);
}
