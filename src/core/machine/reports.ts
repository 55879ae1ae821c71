/**
 * What is known of members: our own as measured, the others as their agents wrote it, or told it.
 *
 * A seal is told directly, beside the store: a claim waits for it, and over distance the store takes three times as long.
 *
 * T1. Only of a sealed copy: its seal is on its own disk, and stays until the lease that it was made against has changed (F3),
 *     which a claim on that revision notices. Never a vote: whoever restarts and forgets it might promise to wait (A2).
 * T2. What an agent has written since counts instead.
 */
import type { RegionName } from "../model/id.ts";
import type { MemberReport, ToldReport } from "../model/record.ts";
import type { KeeperDraft, Turn } from "./turn.ts";

export function tellSeal(turn: Turn, keeper: KeeperDraft): void {
  const report = ownReport(keeper);
  if (!keeper.member || !report?.seal) return;
  const others = keeper.dataStore.members.filter((member) => member.name !== keeper.member);
  const { boot, own } = turn.state;
  turn.commands.push({
    kind: "tell-seal",
    regions: [...new Set(others.map(({ region }) => region))],
    member: keeper.member,
    told: { boot, beat: own.beat, report },
    timeoutMs: turn.state.timing.storeTimeoutMs,
  });
}

export function takeTold(turn: Turn, member: string, told: ToldReport): void {
  if (told.report.seal !== null) turn.state.told = { ...turn.state.told, [member]: told };
}

/** What is known of the member of another region. */
export function reportOf(turn: Turn, region: RegionName, member: string): MemberReport | undefined {
  const record = turn.state.agents[region]?.record;
  const told = turn.state.told[member];
  const isNewer = told !== undefined && told.boot === record?.boot && record.beat <= told.beat;
  return isNewer ? told.report : record?.members[member];
}

/** What is known of all members. */
export function reportsOf(turn: Turn, keeper: KeeperDraft): Map<string, MemberReport> {
  const reports = new Map<string, MemberReport>();
  for (const member of keeper.dataStore.members) {
    const report =
      member.name === keeper.member ? ownReport(keeper) : reportOf(turn, member.region, member.name);
    if (report) reports.set(member.name, report);
  }
  return reports;
}

export function ownReport(keeper: KeeperDraft): MemberReport | null {
  const sight = keeper.local.sight;
  if (!sight) return null;
  return {
    state: sight.state,
    incarnation: sight.incarnation,
    timeline: sight.timeline,
    position: sight.position,
    epoch: sight.epoch,
    floor: sight.floor,
    ...(sight.publication && { publication: sight.publication }),
    seal: sight.sealedBasis === 0 ? null : { basis: sight.sealedBasis, position: sight.sealedPosition },
    streaming: sight.streaming,
    ...(sight.full && { full: true }),
    ...(typeof sight.freePercent === "number" && { freePercent: sight.freePercent }),
    ...(sight.damaged && { damaged: sight.damaged }),
  };
}
