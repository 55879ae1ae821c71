/** A wish for a planned change in, a decision out: may the primary hand over to that region, now? */
import type { MemberName } from "../model/id.ts";
import type { LeaseRecord, MemberReport, RequestRecord } from "../model/record.ts";
import type { DataStore, Region } from "../model/topology.ts";

export interface SwitchoverFacts {
  readonly request: RequestRecord;
  readonly lease: LeaseRecord;
  readonly dataStore: DataStore;
  readonly regions: readonly Region[];
  readonly reports: ReadonlyMap<MemberName, MemberReport>;
  /** Position of the primary now. */
  readonly position: number;
  /** How far the target may be behind to be caught up within the pause: bytes. */
  readonly lagMaxBytes: number;
}

export type SwitchoverDecision =
  | { readonly kind: "hand-over"; readonly to: MemberName; readonly because: string }
  | { readonly kind: "refuse"; readonly because: string };

export function decideSwitchover(facts: SwitchoverFacts): SwitchoverDecision {
  const { request, lease, dataStore } = facts;
  const refuse = (because: string): SwitchoverDecision => ({ kind: "refuse", because });
  if (request.ifEpoch !== 0 && request.ifEpoch !== lease.epoch)
    return refuse(
      `asked for epoch ${request.ifEpoch}, but ${dataStore.name} is at epoch ${lease.epoch}; look at "holdfast status" and ask again`,
    );

  const primary = dataStore.members.find((member) => member.name === lease.holder);
  const preferred = request.toRegion
    ? dataStore.members.filter((member) => member.region === request.toRegion)
    : dataStore.members.filter((member) => member.name !== lease.holder);
  if (preferred.length === 0)
    return refuse(`${dataStore.name} has no member in ${request.toRegion ?? "another region"}`);
  if (preferred.some((member) => member.name === primary?.name))
    return refuse(
      `${dataStore.name} is led by ${primary?.name} in ${primary?.region} already (epoch ${lease.epoch})`,
    );

  const whyNot: string[] = [];
  for (const member of preferred) {
    const region = facts.regions.find((candidate) => candidate.name === member.region);
    const report = facts.reports.get(member.name);
    const allowed = dataStore.jurisdictions;
    if (!member.promotable) whyNot.push(`${member.name} is not promotable`);
    else if (region && allowed.length > 0 && !allowed.includes(region.jurisdiction))
      whyNot.push(`${member.name} is in jurisdiction ${region.jurisdiction}, allowed: ${allowed.join(", ")}`);
    else if (report?.damaged) whyNot.push(`the copy of ${member.name} is damaged; have it made anew first`);
    else if (!report?.streaming || report.epoch !== lease.epoch)
      whyNot.push(
        `${member.name} does not stream from epoch ${lease.epoch}${report ? ` (it is ${report.state})` : ""}`,
      );
    else if (facts.position - report.position > facts.lagMaxBytes)
      whyNot.push(
        `${member.name} is ${facts.position - report.position} bytes behind, at most ${facts.lagMaxBytes} can be caught up within the pause`,
      );
    else if (
      !lease.durable.standbys.some(
        (copy) => copy.member === member.name && copy.incarnation === report.incarnation,
      )
    )
      whyNot.push(`${member.name} is not among the published copies yet`);
    else
      return {
        kind: "hand-over",
        to: member.name,
        because: `${request.kind} asked by ${request.by}: ${request.why || "no reason given"}`,
      };
  }
  return refuse(`cannot hand ${dataStore.name} over: ${whyNot.join("; ")}`);
}
