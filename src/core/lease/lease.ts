/**
 * Who may write, and until when: the arithmetic of the lease, nothing else.
 *
 * L1. The holder counts from before it *sent* the renewal; the observer from when it *received* it. Both monotonic;
 *     only the drift rate is assumed. Inequalities are strict.
 * L2. A record that vanished is not a lease that expired; who has just started observes one full lease first.
 * L3. A claim is a compare-and-swap to a higher epoch on the very revision that was observed.
 * L4. `vacant`: the holder has fenced and confirmed; others may claim at once.
 * L5. Freeze (reversible) before stop (final), both before the lease ends for any observer.
 *
 * Why L1 suffices: the renewal was sent before it was received, so the holder's count began earlier than any observer's.
 * With `stopMs < leaseMs` the holder is fenced by `stopMs` of its clock, while an observer waits
 * `leaseMs * (1 + drift)` of its own: even with clocks that run apart by `drift`, the fence comes first.
 */
import type { Revision } from "../model/id.ts";
import type { LeaseProfile } from "../model/profile.ts";
import type { LeaseRecord } from "../model/record.ts";
import type { InstantMs } from "../model/time.ts";

/** A lease record as one agent knows it. */
export interface SeenLease {
  readonly record: LeaseRecord;
  readonly revision: Revision;
  /** On this agent's monotonic clock: when it received this revision (L1). */
  readonly seenAt: InstantMs;
}

/** The instant after which an observer may call the lease expired. */
export function expiresAt(seen: SeenLease, profile: LeaseProfile): InstantMs {
  return seen.seenAt + profile.leaseMs * (1 + profile.maxClockDriftRatio);
}

/** L1, strict. A vacant lease does not expire: it is over already. */
export function isExpired(seen: SeenLease, profile: LeaseProfile, now: InstantMs): boolean {
  return seen.record.phase !== "vacant" && now > expiresAt(seen, profile);
}

/** The deadlines of a holder whose last confirmed renewal was sent at `sentAt`. */
export function holderDeadlines(
  sentAt: InstantMs,
  profile: LeaseProfile,
): { readonly freezeAt: InstantMs; readonly stopAt: InstantMs } {
  return { freezeAt: sentAt + profile.freezeMs, stopAt: sentAt + profile.stopMs };
}

/**
 * The revision that seals refer to: the last at which the committed primary was known to hold the lease.
 * A claim carries it on, so that seals made for the dead primary stay valid from one claimer to the next,
 * and any renewal of the primary makes them void.
 */
export function basisOf(record: LeaseRecord, revision: Revision): Revision {
  return record.basis === 0 ? revision : record.basis;
}

/** The record that renews `record`; its position only rises within an epoch (trap 5). */
export function renewed(record: LeaseRecord, position: number): LeaseRecord {
  const durable = position > record.durable.position ? { ...record.durable, position } : record.durable;
  return { ...record, renewal: record.renewal + 1, durable };
}
