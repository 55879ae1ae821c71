/**
 * Verdicts and copies in, one decision out: may this agent claim a data store for the member beside it, now?
 *
 * A claim needs all of: a lease that is over (vacant, or expired for a majority of regions at this very revision),
 * a sealed copy of our own, the proof that it misses no acknowledged write (see `proof.ts`), permission (jurisdiction,
 * policy mode, promotable), and nobody better placed who is about to claim.
 *
 * C1. A damaged copy counts for the proof of others, and does not lead itself, unless a person accepts the loss and no whole
 *     copy is sealed. The last primary's led with its damage before: it comes last, as ever, and leads again where nobody
 *     else can be proven.
 */
import type { Epoch, MemberName, RegionName, Revision } from "../model/id.ts";
import type { LeaseRecord, MemberReport } from "../model/record.ts";
import type { InstantMs, SpanMs } from "../model/time.ts";
import type { DataStore, PolicyMode, Region } from "../model/topology.ts";
import { prove, type SealedCopy, trustedCopies } from "./proof.ts";

export interface ClaimFacts {
  readonly lease: LeaseRecord;
  readonly revision: Revision;
  readonly basis: Revision;
  readonly dataStore: DataStore;
  readonly regions: readonly Region[];
  readonly mode: PolicyMode;
  /** The member beside this agent. */
  readonly member: MemberName;
  /** Reports of all members, our own among them, as last published or measured. */
  readonly reports: ReadonlyMap<MemberName, MemberReport>;
  /** How long the store takes for a write from a region; not there: not known. */
  readonly storeMs: ReadonlyMap<RegionName, SpanMs>;
  /** Regions whose agents saw the lease expire at `revision`, our own among them. */
  readonly votes: ReadonlySet<RegionName>;
  /** Since when the lease has been over for us. */
  readonly overSince: InstantMs;
  readonly now: InstantMs;
  /** How long the second best waits for the best, and so on. */
  readonly patienceMs: SpanMs;
  /** A person has approved this claim (mode `approve`), or accepted loss (break-glass); null: nobody has. */
  readonly approval: { readonly request: string; readonly allowDataLoss: boolean } | null;
}

export type ClaimDecision =
  | { readonly kind: "claim"; readonly epoch: Epoch; readonly because: string }
  | { readonly kind: "hold"; readonly because: string; readonly until: InstantMs | null };

export function decideClaim(facts: ClaimFacts): ClaimDecision {
  const { lease, dataStore, member, now } = facts;
  const hold = (because: string, until: InstantMs | null = null): ClaimDecision => ({
    kind: "hold",
    because,
    until,
  });

  if (lease.phase !== "vacant") {
    const needed = Math.floor(facts.regions.length / 2) + 1;
    if (facts.votes.size < needed)
      return hold(
        `${facts.votes.size} of ${facts.regions.length} regions saw the lease of epoch ${lease.epoch} expire, ${needed} are needed`,
      );
  }
  const refusal = whyNotEligible(facts, member);
  if (refusal) return hold(refusal);

  const copies = trustedCopies(lease, facts.basis, facts.reports);
  const asynchronous = dataStore.replication === "asynchronous";
  const proof = prove(lease, copies, member, asynchronous);
  const forced = facts.approval?.allowDataLoss === true && copies.some((copy) => copy.member === member);
  if (proof.kind === "unproven" && !forced)
    return hold(
      `${proof.because}; a person may accept the loss: holdfast failover ${dataStore.name} --allow-data-loss`,
    );

  const highest = highestFloor(facts);
  const outdated = whyOutdated(facts, highest);
  if (outdated && !forced)
    return hold(
      `${outdated}: what the store says of copies is out of date; restore a newer copy of the store, or a person may accept the loss: holdfast failover ${dataStore.name} --allow-data-loss`,
    );

  if (facts.mode === "observe") return hold(`mode is observe: ${proof.because}`);
  if (facts.mode === "advise") return hold(`would have promoted ${member}: ${proof.because}`);
  if (facts.mode === "approve" && !facts.approval)
    return hold(`waiting for approval to promote ${member}: holdfast approve ${dataStore.name}`);

  // Whom a handover names has everything, or is about to: it gets its turn before its copy is even seen to be sealed.
  const named = lease.handover?.to;
  const namedUntil = facts.overSince + 2 * facts.patienceMs;
  if (named !== undefined && named !== member && now < namedUntil && whyNotEligible(facts, named) === "")
    return hold(`the lease is being handed over to ${named}`, namedUntil);

  const better = rank(facts, copies).indexOf(member);
  const turnAt = facts.overSince + better * facts.patienceMs;
  if (better > 0 && now < turnAt) return hold(`${rank(facts, copies)[0]} is better placed`, turnAt);

  return {
    kind: "claim",
    epoch: highest + 1,
    because:
      forced && (proof.kind === "unproven" || outdated)
        ? `loss accepted by ${facts.approval?.request}: ${proof.because}`
        : proof.because,
  };
}

/** Why `member` may not lead at all; empty when it may. */
function whyNotEligible(facts: ClaimFacts, name: MemberName): string {
  return whyNotPermitted(facts, name) || whyDamaged(facts, name);
}

/** C1. */
function whyDamaged(facts: ClaimFacts, name: MemberName): string {
  const { lease, reports } = facts;
  if (!reports.get(name)?.damaged || lease.primary?.member === name) return "";
  const isWhole = ({ member }: SealedCopy) =>
    !reports.get(member)?.damaged && whyNotPermitted(facts, member) === "";
  const hasWhole = trustedCopies(lease, facts.basis, reports).some(isWhole);
  if (facts.approval?.allowDataLoss === true && !hasWhole) return "";
  return `the copy of ${name} is damaged; a whole one may lead, and where there is none a person may accept the loss: holdfast failover ${facts.dataStore.name} --allow-data-loss`;
}

function whyNotPermitted(facts: ClaimFacts, name: MemberName): string {
  const member = facts.dataStore.members.find((candidate) => candidate.name === name);
  const region = facts.regions.find((candidate) => candidate.name === member?.region);
  if (!member || !region) return `${name} is not in the topology`;
  if (!member.promotable) return `${name} is not promotable`;
  const allowed = facts.dataStore.jurisdictions;
  if (allowed.length > 0 && !allowed.includes(region.jurisdiction))
    return `${region.name} is in jurisdiction ${region.jurisdiction}; ${facts.dataStore.name} may only be in ${allowed.join(", ")}`;
  return "";
}

/**
 * Members that could claim, best first: whom a handover names, then the furthest copy, then who writes to the store soonest
 * (a claim and a commit wait for it, and next to its leader that is half as long), then the order of the topology.
 * The last primary comes last where a copy of the same worth exists: it has just failed.
 */
function rank(facts: ClaimFacts, copies: readonly SealedCopy[]): MemberName[] {
  const order = facts.dataStore.members.map((member) => member.name);
  const named = facts.lease.handover?.to;
  const claims = (copy: SealedCopy) =>
    whyNotEligible(facts, copy.member) === "" &&
    prove(facts.lease, copies, copy.member, facts.dataStore.replication === "asynchronous").kind === "proven";
  const score = (copy: SealedCopy) =>
    copy.member === named ? 0 : copy.member === facts.lease.primary?.member ? 2 : 1;
  const storeMs = (copy: SealedCopy) => {
    const region = facts.dataStore.members.find((member) => member.name === copy.member)?.region;
    return facts.storeMs.get(region ?? "") ?? 0;
  };
  const able = copies.filter((copy) => copy.member === facts.member || claims(copy));
  return able
    .sort(
      (a, b) =>
        score(a) - score(b) ||
        b.position - a.position ||
        storeMs(a) - storeMs(b) ||
        order.indexOf(a.member) - order.indexOf(b.member),
    )
    .map((copy) => copy.member);
}

/** Why the store is not to be believed: members' own disks know of more. Empty: nothing says so. */
function whyOutdated({ lease, member, reports }: ClaimFacts, highest: Epoch): string {
  if (lease.epoch < highest)
    return `the store knows epoch ${lease.epoch}, and a member has been claimed for epoch ${highest}`;
  // The last primary's own copy has it all, whoever else was to have it (D2).
  if (lease.primary === null || lease.primary.member === member) return "";
  const published = lease.durable.publication ?? 0;
  const remembered = rememberedPublication(reports, lease.primary.epoch);
  if (remembered <= published) return "";
  return `the store knows publication ${published} of epoch ${lease.primary.epoch}, and a member remembers publication ${remembered}`;
}

/** The last publication of the primary of `epoch` that any member remembers; 0: none. */
export function rememberedPublication(reports: ReadonlyMap<MemberName, MemberReport>, epoch: Epoch): number {
  let last = 0;
  for (const { floor, publication } of reports.values())
    if (floor === epoch) last = Math.max(last, publication ?? 0);
  return last;
}

/** S3, also when the store was restored from an older snapshot: the floors on the members' own disks count. */
function highestFloor(facts: ClaimFacts): Epoch {
  let highest = facts.lease.epoch;
  for (const report of facts.reports.values()) highest = Math.max(highest, report.floor);
  return highest;
}
