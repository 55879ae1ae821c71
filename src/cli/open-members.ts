/**
 * The members of a region, opened for its agent. One whose disk does not answer is opened when it does: until then the
 * region watches and votes, nobody renews for that member, and its fencer ends it when its lease does.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { isDiskFailure } from "../adapters/adapters.ts";
import type { Log } from "../agent/log.ts";
import type { MemberParts } from "../agent/parts.ts";
import type { MemberName } from "../core/model/id.ts";
import type { Member } from "../core/model/topology.ts";

/** A file is read and a folder made, no more. */
const lateEveryMs = 5000;

export interface OpenedMembers {
  /** Grows when a late one is opened. */
  readonly members: ReadonlyMap<MemberName, MemberParts>;
  /** Resolves when none is left, or the signal aborts; `take` is called with each that is there by then. */
  openLate(take: (name: MemberName, parts: MemberParts) => void, signal: AbortSignal): Promise<void>;
}

/** Rejects as `open` does, unless it is the disk. */
export async function openMembers(
  wanted: readonly Member[],
  open: (member: Member) => Promise<MemberParts>,
  log: Log,
): Promise<OpenedMembers> {
  const members = new Map<MemberName, MemberParts>();
  const late: Member[] = [];
  for (const member of wanted)
    try {
      members.set(member.name, await open(member));
    } catch (error) {
      if (!isDiskFailure(error)) throw error;
      late.push(member);
      const because = error instanceof Error ? error.message : String(error);
      log("alarm", `${member.name} is left out until its disk answers: ${because}`, { member: member.name });
    }
  const openLate = async (member: Member, take: (parts: MemberParts) => void, signal: AbortSignal) => {
    for (;;) {
      await sleep(lateEveryMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      try {
        const parts = await open(member);
        members.set(member.name, parts);
        log("info", `the disk of ${member.name} answers: it is opened`, { member: member.name });
        return take(parts);
      } catch (error) {
        if (isDiskFailure(error)) continue;
        // Another error than the one that may pass: for a person, as it would have been at the start.
        log("alarm", `${member.name} cannot be opened, and is left out`, { error: String(error) });
        return;
      }
    }
  };
  return {
    members,
    openLate: async (take, signal) =>
      void (await Promise.all(
        late.map((member) => openLate(member, (parts) => take(member.name, parts), signal)),
      )),
  };
}
