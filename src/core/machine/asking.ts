/**
 * L6: a store that is down is not a holder that is down. The holder asks the other regions directly; with the promises
 * of a majority, its own included, it goes on for one more lease from when it asked.
 *
 * A1. A promise says: I see no store either, I have not called this lease expired, nor did my life before, and I will not
 *     before a full lease from now. A store is seen when it takes a write or tells of one: a member of etcd that has no
 *     leader to hear of goes on saying that nothing is new.
 * A2. A claim needs the votes of a majority (see `claim.ts`). Two majorities share a region; that one has promised and
 *     so does not vote. Whoever restarts and forgets its promise observes a full lease first (L2), which outlasts it.
 */
import type { RegionName } from "../model/id.ts";
import { confirmedAt, petGuards } from "./guards.ts";
import { holdsBeatBack } from "./own-record.ts";
import { type KeeperDraft, nextId, patchTenure, type Turn, wakeKeeperAt } from "./turn.ts";

/** As many asks are remembered as fit into a lease; older ones extend nothing any more. */
const asksMax = 32;

export function advanceAsking(turn: Turn, keeper: KeeperDraft): void {
  const { tenure, lease } = keeper;
  if (!tenure || !lease || tenure.over || tenure.renewedAt === Number.NEGATIVE_INFINITY) return;
  const { timing } = turn.state;
  const askAt = Math.max(
    tenure.renewedAt + timing.askAfterMs,
    (tenure.asks.at(-1)?.sentAt ?? Number.NEGATIVE_INFINITY) + timing.askEveryMs,
  );
  if (turn.at < askAt) return wakeKeeperAt(keeper, askAt);
  const regions = turn.state.topology.regions
    .map((region) => region.name)
    .filter((name) => name !== turn.state.self);
  if (regions.length === 0) return;
  const id = nextId(turn);
  patchTenure(keeper, { asks: [...tenure.asks, { id, sentAt: turn.at, promised: [] }].slice(-asksMax) });
  turn.commands.push({
    kind: "ask-peers",
    id,
    regions,
    dataStore: keeper.dataStore.name,
    epoch: tenure.epoch,
    revision: lease.revision,
    timeoutMs: timing.storeTimeoutMs,
  });
  wakeKeeperAt(keeper, turn.at + timing.askEveryMs);
}

export function takePeerAnswer(
  turn: Turn,
  keeper: KeeperDraft,
  id: number,
  from: RegionName,
  promised: boolean,
): void {
  const { tenure } = keeper;
  const ask = tenure?.asks.find((candidate) => candidate.id === id);
  if (!tenure || tenure.over || !ask || !promised || ask.promised.includes(from)) return;
  const heard = { ...ask, promised: [...ask.promised, from] };
  patchTenure(keeper, { asks: tenure.asks.map((candidate) => (candidate.id === id ? heard : candidate)) });
  const majority = Math.floor(turn.state.topology.regions.length / 2) + 1;
  if (heard.promised.length + 1 < majority || heard.sentAt <= confirmedAt(tenure)) return;
  patchTenure(keeper, { extendedAt: heard.sentAt });
  petGuards(turn, keeper);
}

/** A1, as the one who is asked. */
export function answerPeer(
  turn: Turn,
  keeper: KeeperDraft,
  question: { readonly id: number; readonly epoch: number },
): void {
  const { lease } = keeper;
  const { profile } = turn.state.topology;
  const refuse = (because: string) =>
    turn.commands.push({ kind: "answer-peer", id: question.id, promised: false, because });
  if (!turn.state.storeLoaded || !lease) return void refuse("this agent has not read the store yet");
  const unseenMs = turn.at - turn.state.storeSeenAt;
  if (unseenMs <= turn.state.timing.storeLostMs || holdsBeatBack(turn))
    return void refuse(`this agent saw the store ${Math.round(unseenMs)} ms ago`);
  if (lease.record.epoch !== question.epoch || lease.record.phase === "vacant")
    return void refuse(`this agent knows epoch ${lease.record.epoch} (${lease.record.phase})`);
  // What its life before told stands in the store, and counts there, until it is told otherwise.
  const told = turn.state.agents[turn.state.self]?.record.expired[keeper.dataStore.name] ?? 0;
  if (Math.max(keeper.voted, told) >= lease.revision || keeper.write)
    return void refuse(`this agent has called epoch ${lease.record.epoch} expired already`);
  keeper.promisedUntil = turn.at + profile.leaseMs * (1 + profile.maxClockDriftRatio);
  turn.commands.push({
    kind: "answer-peer",
    id: question.id,
    promised: true,
    because: "no store seen here either",
  });
}
