/**
 * Sealed copies in, a proof out: which copy holds every acknowledged write, if that can be known at all.
 *
 * D1. Each acknowledged write is on at least `acknowledgements` of the published `standbys`; so more than
 *     `standbys - acknowledgements` of them together miss none, and the furthest of those has them all.
 * D2. The last committed primary's own copy has them all as well.
 * D3. A copy counts by incarnation and position, never by name (traps 4 to 6): below the published position nothing is
 *     trusted, a wiped member bears another incarnation, and a seal counts only against the basis that it was made for.
 * D5. Asynchronous: the primary stops acknowledging before it runs further than the RPO ahead of the published position,
 *     so any published copy at or above that position loses at most the RPO.
 * D4. A holder that ended in order published its very last position: one trusted copy that has it is proof enough, and needs
 *     no seal, since nobody is left to receive anything else from.
 */
import type { MemberName, Revision } from "../model/id.ts";
import type { Lsn } from "../model/lsn.ts";
import type { LeaseRecord, MemberReport } from "../model/record.ts";

/** A copy that receives nothing any more from the dead primary, as its agent reported it; or (D4) that has its last position. */
export interface SealedCopy {
  readonly member: MemberName;
  readonly position: Lsn;
}

export type Proof =
  | { readonly kind: "proven"; readonly copies: readonly SealedCopy[]; readonly because: string }
  | { readonly kind: "unproven"; readonly because: string };

/** The copies that D3 lets count, furthest first. */
export function trustedCopies(
  lease: LeaseRecord,
  basis: Revision,
  reports: ReadonlyMap<MemberName, MemberReport>,
): SealedCopy[] {
  const copies: SealedCopy[] = [];
  const consider = (member: MemberName, incarnation: string) => {
    const report = reports.get(member);
    if (report?.incarnation !== incarnation) return;
    if (hasLastPosition(lease, report)) {
      copies.push({ member, position: report.position });
      return;
    }
    if (report.seal?.basis !== basis) return;
    if (report.seal.position < lease.durable.position && !isPublished(lease, member)) return;
    copies.push({ member, position: report.seal.position });
  };
  for (const copy of lease.durable.standbys) consider(copy.member, copy.incarnation);
  if (lease.primary && !isPublished(lease, lease.primary.member))
    consider(lease.primary.member, lease.primary.incarnation);
  return copies.sort((a, b) => b.position - a.position || (a.member < b.member ? -1 : 1));
}

/**
 * Whether `candidate` holds every acknowledged write, judged only by copies that are not further than its own.
 * That way a copy that is further, but cannot act, does not stand in the way when it is not needed for the proof.
 */
export function prove(
  lease: LeaseRecord,
  copies: readonly SealedCopy[],
  candidate: MemberName,
  asynchronous = false,
): Proof {
  const own = copies.find((copy) => copy.member === candidate);
  if (!own) return { kind: "unproven", because: `${candidate} has no sealed copy that can be trusted` };
  if (own.position < lease.durable.position)
    return {
      kind: "unproven",
      because: `${candidate} ends ${lease.durable.position - own.position} bytes below the published position`,
    };
  if (lease.primary?.member === candidate)
    return {
      kind: "proven",
      copies: [own],
      because: `${candidate} was the last primary, and its copy is whole`,
    };
  if (lease.durable.final)
    return {
      kind: "proven",
      copies: [own],
      because: `${candidate} has the last position of the primary that ended in order`,
    };
  const published = lease.durable.standbys;
  if (asynchronous && isPublished(lease, candidate))
    return {
      kind: "proven",
      copies: [own],
      because: `${candidate} is at or above the published position, within the RPO`,
    };
  const judged = copies.filter((copy) => copy.position <= own.position && isPublished(lease, copy.member));
  const needed = published.length - lease.durable.acknowledgements + 1;
  if (lease.durable.acknowledgements > 0 && judged.length >= needed)
    return {
      kind: "proven",
      copies: judged,
      because: `${judged.length} of ${published.length} published copies are sealed, ${needed} suffice, and ${candidate} is the furthest of them`,
    };
  return {
    kind: "unproven",
    because:
      lease.durable.acknowledgements === 0
        ? `no standby is known to hold every acknowledged write; only ${lease.primary?.member ?? "nobody"} may lead again`
        : `${judged.length} of ${published.length} published copies are sealed up to ${candidate}'s position, ${needed} are needed`,
  };
}

/** D4. */
export function hasLastPosition(
  lease: LeaseRecord,
  report: Pick<MemberReport, "state" | "position">,
): boolean {
  return lease.durable.final && report.state === "standby" && report.position >= lease.durable.position;
}

function isPublished(lease: LeaseRecord, member: MemberName): boolean {
  return lease.durable.standbys.some((copy) => copy.member === member);
}
