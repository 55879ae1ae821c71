/**
 * The one write of the lease that may be on its way: sending it, and taking its reply. A renewal that is on its way may be
 * written over without waiting for it; what comes of it then is nobody's concern: either it came before, and is gone, or it
 * goes against a revision that is gone.
 */
import type { LeaseRecord } from "../model/record.ts";
import { recordKeys } from "../model/record.ts";
import type { WriteOutcome } from "./event.ts";
import type { LeaseWrite } from "./state.ts";
import { type KeeperDraft, nextId, patchTenure, type Turn, wakeKeeperAt } from "./turn.ts";

/**
 * Sends `record` against the revision that this agent last saw. One write at a time: the caller looked, and writes over a
 * renewal only what ends its tenure.
 */
export function writeLease(
  turn: Turn,
  keeper: KeeperDraft,
  purpose: LeaseWrite["purpose"],
  unstamped: Omit<LeaseRecord, "stamp">,
): void {
  const id = nextId(turn);
  const record: LeaseRecord = { ...unstamped, stamp: `${turn.state.boot}/${id}` };
  const over = keeper.write?.record;
  keeper.write = { id, sentAt: turn.at, record, purpose };
  turn.commands.push({
    kind: "write",
    id,
    key: recordKeys.lease(keeper.dataStore.name),
    expect: keeper.lease?.revision ?? 0,
    record,
    ...(over && { over }),
    timeoutMs: turn.state.timing.storeTimeoutMs,
  });
}

/** Two to a freeze span are sent; a store that stalls and goes on has some more. */
const unansweredKept = 8;

/** What a confirmed write of ours makes true. Everything that a lease write leads to begins here. */
export function takeLeaseReply(turn: Turn, keeper: KeeperDraft, outcome: WriteOutcome): LeaseWrite | null {
  const write = keeper.write;
  if (!write) return null;
  keeper.write = null;
  if (outcome.kind === "unknown") {
    // It may be written now, later or never. Only a later success proves it dead (trap 8): the next write goes against
    // the same revision, so that at most one of the two can be. One that went over a renewal may be also when that stands;
    // it vacates, and who sent it has ended its member and leads no more in this epoch.
    keeper.doubtful = keeper.lease?.revision ?? 0;
    const { tenure } = keeper;
    if (tenure) patchTenure(keeper, { unanswered: [...tenure.unanswered, write].slice(-unansweredKept) });
    wakeKeeperAt(keeper, turn.at);
    return null;
  }
  if (outcome.kind === "conflict") return null;
  if (outcome.revision > keeper.leaseRevision) {
    keeper.lease = { record: write.record, revision: outcome.revision, seenAt: turn.at };
    keeper.leaseRevision = outcome.revision;
  }
  confirmRenewal(keeper, write);
  return write;
}

/**
 * Whether the lease in the store may be another one than the one that this agent knows, by its own hand: of this life, or of
 * the one before, whose writes are certainly dead only when a renewal of this one stands.
 */
export function isDoubtful({ write, doubtful, lease, tenure }: KeeperDraft): boolean {
  const isNew = tenure?.renewedAt === Number.NEGATIVE_INFINITY;
  return write !== null || doubtful >= (lease?.revision ?? 0) || isNew;
}

/**
 * A write of ours that nobody waited for any more, and that the store now tells of: it is as good as answered. Far from the
 * store, or where its disk is slow, that is what becomes of most writes without an answer.
 */
export function takeUnanswered(keeper: KeeperDraft, { stamp }: LeaseRecord): boolean {
  const write = keeper.tenure?.unanswered.find(({ record }) => record.stamp === stamp);
  if (write) confirmRenewal(keeper, write);
  return write !== undefined;
}

/** L1: the holder counts from before it sent. Any write of ours that stands is a renewal. */
export function confirmRenewal(keeper: KeeperDraft, write: LeaseWrite): void {
  const tenure = keeper.tenure;
  if (tenure && tenure.epoch === write.record.epoch && write.sentAt > tenure.renewedAt)
    patchTenure(keeper, { renewedAt: write.sentAt });
}
