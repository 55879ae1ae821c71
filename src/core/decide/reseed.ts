/** A wish to have a copy made anew in, a decision out: may it be given up for one of the primary's, now? */
import type { LeaseRecord, MemberReport, RequestRecord } from "../model/record.ts";
import type { DataStore } from "../model/topology.ts";

export interface ReseedFacts {
  readonly request: RequestRecord;
  /** Of a primary that has committed. */
  readonly lease: LeaseRecord;
  readonly dataStore: DataStore;
  readonly reports: ReadonlyMap<string, MemberReport>;
}

export type ReseedDecision =
  | { readonly kind: "reseed" }
  /** It is being left out of the published copies. */
  | { readonly kind: "wait" }
  | { readonly kind: "refuse"; readonly because: string };

export function decideReseed({ request, lease, dataStore, reports }: ReseedFacts): ReseedDecision {
  const refuse = (because: string): ReseedDecision => ({ kind: "refuse", because });
  const { name } = dataStore;
  if (request.ifEpoch !== 0 && request.ifEpoch !== lease.epoch)
    return refuse(
      `asked for epoch ${request.ifEpoch}, but ${name} is at epoch ${lease.epoch}; look at "holdfast status" and ask again`,
    );
  const member = dataStore.members.find(({ region }) => region === request.toRegion);
  if (!member) return refuse(`${name} has no member in ${request.toRegion ?? "a region that is not named"}`);
  if (member.name === lease.holder)
    return refuse(`${member.name} is the primary: hand ${name} over to a whole copy first`);
  const report = reports.get(member.name);
  // A copy that is given up is never the last whole one.
  if (!report?.damaged) return refuse(`the copy of ${member.name} is not known to be damaged`);
  // And has nothing that the primary has not: a diverged tail is kept by the way back, before anything else.
  if (!report.streaming || report.epoch !== lease.epoch)
    return refuse(
      `${member.name} does not stream from epoch ${lease.epoch} (it is ${report.state}): ask again when its agent has brought it back`,
    );
  if (reports.get(lease.holder)?.damaged)
    return refuse(
      `the copy of the primary, ${lease.holder}, is damaged as well: hand ${name} over to a whole copy first; where there is none, restore a backup`,
    );
  const isPublished = lease.durable.standbys.some((copy) => copy.member === member.name);
  // D1: what was acknowledged because this copy has it would be on no other.
  if (!isPublished || dataStore.replication === "asynchronous") return { kind: "reseed" };
  return dataStore.strict
    ? refuse(
        `commits wait for ${member.name}, and ${name} is strict: ask again when a whole copy streams in its place`,
      )
    : { kind: "wait" };
}
