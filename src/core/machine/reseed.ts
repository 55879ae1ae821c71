/**
 * A damaged copy is made anew when a person asks: by the agent beside it. The request stays pending until it is done, so that
 * an agent that is started anew in the middle begins again.
 */
import { decideReseed } from "../decide/reseed.ts";
import type { RegionName } from "../model/id.ts";
import type { LeaseRecord } from "../model/record.ts";
import { writeRequest } from "./change.ts";
import type { MemberOutcome } from "./event.ts";
import { reportsOf } from "./reports.ts";
import type { KeeperDraft, Turn } from "./turn.ts";

/**
 * The request that is to be met now, by the member beside this agent; null: none is. What may not be is refused; for a region
 * that has no copy by the agent of the primary.
 */
export function takeUpReseed(turn: Turn, keeper: KeeperDraft, lease: LeaseRecord): string | null {
  const { dataStore } = keeper;
  for (const { record: request, revision } of Object.values(turn.state.requests)) {
    if (request.kind !== "reseed" || request.status !== "pending" || request.dataStore !== dataStore.name)
      continue;
    const whose = dataStore.members.find(({ region }) => region === request.toRegion)?.name ?? lease.holder;
    if (whose !== keeper.member) continue;
    const decision = decideReseed({ request, lease, dataStore, reports: reportsOf(turn, keeper) });
    if (decision.kind === "reseed") return request.id;
    if (decision.kind === "wait") continue;
    writeRequest(turn, request, revision, "refused", decision.because);
  }
  return null;
}

/** Whether a person waits for the copy in `region` to be made anew: nothing may be acknowledged because it has it (D1). */
export function isReseedWished(turn: Turn, keeper: KeeperDraft, region: RegionName): boolean {
  return Object.values(turn.state.requests).some(
    ({ record }) =>
      record.kind === "reseed" &&
      record.status === "pending" &&
      record.dataStore === keeper.dataStore.name &&
      record.toRegion === region,
  );
}

export function endReseed(turn: Turn, keeper: KeeperDraft, id: string, outcome: MemberOutcome): void {
  const request = turn.state.requests[id];
  if (!request) return;
  const detail =
    outcome.kind === "succeeded" ? `the copy of ${keeper.member} was made anew` : outcome.because;
  writeRequest(turn, request.record, request.revision, outcome.kind, detail);
}
