/**
 * The room that is left on the disk of the member beside this agent.
 *
 * H7. A primary whose disk is full lives, renews, and fails writes. It gives up when each of the copies that a proof may need
 *     has room and is whole; where one is not, or is not heard, nothing would be gained and reads be lost.
 */
import { type LeaseRecord, lowFreePercent } from "../model/record.ts";
import type { MemberSight } from "./event.ts";
import { reportsOf } from "./reports.ts";
import { isAlive, type KeeperDraft, note, patchTenure, type Turn, wakeKeeperAt } from "./turn.ts";

/** Tells a person while there is time to make room; H7 comes when there is none. */
export function tellRoom(turn: Turn, keeper: KeeperDraft, seen: MemberSight): void {
  const { local, dataStore, member } = keeper;
  const wasLow = (local.sight?.freePercent ?? 100) < lowFreePercent;
  const isLow = (seen.freePercent ?? 100) < lowFreePercent;
  if (seen.full && !local.sight?.full)
    note(turn, "alarm", dataStore.name, `the disk of ${member} is full: it takes not a page more`);
  else if (isLow && !wasLow)
    note(turn, "warning", dataStore.name, `the disk of ${member} has ${seen.freePercent} % left`);
}

/** H7. */
export function watchRoom(turn: Turn, keeper: KeeperDraft, { durable }: LeaseRecord): void {
  const { tenure, local } = keeper;
  if (!tenure) return;
  if (!local.sight?.full) {
    if (tenure.fullSince !== null) patchTenure(keeper, { fullSince: null });
    return;
  }
  const since = tenure.fullSince ?? turn.at;
  if (tenure.fullSince === null) patchTenure(keeper, { fullSince: since });
  const until = since + turn.state.timing.hungMs;
  if (turn.at < until) return wakeKeeperAt(keeper, until);
  const reports = reportsOf(turn, keeper);
  const haveRoom = durable.standbys.every((copy) => {
    const region = keeper.dataStore.members.find((member) => member.name === copy.member)?.region;
    const report = reports.get(copy.member);
    const isSame = report?.incarnation === copy.incarnation && report.streaming;
    return region !== undefined && isAlive(turn, region) && isSame && !report.full && !report.damaged;
  });
  if (haveRoom && durable.standbys.length > 0 && durable.acknowledgements > 0)
    patchTenure(keeper, {
      over: `the disk of ${keeper.member} has been full for ${Math.round(turn.at - since)} ms`,
    });
}
