/** What arithmetic says about a topology: findings, and the register of all that there can be. */

export interface Finding {
  readonly code: FindingCode;
  /** `error`: a promise of the file cannot be kept. `warning`: it can, at a price. `info`: a number to know. */
  readonly severity: "error" | "warning" | "info";
  /** Whom it concerns, such as `Service/orders`. */
  readonly subject: string;
  readonly sentence: string;
  /** What it was computed from; names end in their unit. */
  readonly numbers: Readonly<Record<string, number>>;
  /** What to do; empty where there is nothing to do. */
  readonly advice: string;
}

/** Code -> what it means, for `docs/reference/topology.md`. */
export const findingCodes = {
  "recovery-exceeds-rto": "A service's worst-case recovery takes longer than its RTO.",
  "recovery-within-rto": "A service's worst-case recovery, and what is left of its RTO.",
  "recovery-stateless": "A service without data stores: edges repeat elsewhere after one try.",
  "hold-too-short": "Edges give up held requests before writes resume.",
  "availability-budget": "The downtime a month that the availability objective leaves.",
  "availability-below-one-failover": "One failover uses up more than a month's error budget.",
  "capacity-short": "With one region gone (or none), the demand exceeds what the others can carry.",
  "capacity-degraded":
    "With one region gone the demand fits only at a degradation level, which edges take by themselves.",
  "capacity-undeclared": "Demand is declared, the capacity of a region that would carry it is not.",
  "sovereignty-unreachable": "After the loss of one region, no allowed one is left for a service.",
  "limit-unreachable": "After the loss of one region, requests that a limit keeps there have no place left.",
  "data-unreachable": "After the loss of one region, no member is left that may become primary.",
  "stack-apart": "A data store may be led from where none of its services runs.",
  "edge-missing": "People can enter a region's services only through another region.",
  "shared-domain": "Regions fail together.",
  "shared-domain-majority": "Regions that fail together take the majority of votes with them.",
  "shared-domain-data": "Regions that fail together hold every member that may become primary.",
  "voters-one": "A single vote: nothing can be decided when it is gone.",
  "voters-two": "Two votes: the loss of either stops automatic failover.",
  "voters-even": "An even number of votes survives no more losses than one vote less.",
  "rpo-exceeded": "A data store may lose more than a service that writes to it accepts.",
  "rpo-too-short": "Writes wait for the control store even on a quiet day.",
  "rpo-zero-asynchronous": "Nothing may be lost, but replication is asynchronous.",
  "acknowledgements-impossible": "Commits wait for more standbys than there are.",
  "acknowledgements-all": "Commits wait for every standby: the loss of one stops writes or redundancy.",
  "copy-single": "A data store has one member.",
  "backup-none": "No backups of a data store are asked for.",
  "members-together": "A region holds several members of one data store.",
  "store-fast-but-far": "The store is too far away for the fast profile.",
  "store-sites": "An etcd cluster of fewer than three sites, or of an even number.",
  "store-one-machine": "The embedded store is on one machine, the regions are not.",
  "mode-waits": "Agents do not act by themselves: a person's time is added to every figure.",
} as const;

export type FindingCode = keyof typeof findingCodes;

const order = { error: 0, warning: 1, info: 2 } as const;

export function sortFindings(findings: readonly Finding[]): readonly Finding[] {
  return findings
    .map((finding, index) => ({ finding, index }))
    .sort((a, b) => order[a.finding.severity] - order[b.finding.severity] || a.index - b.index)
    .map(({ finding }) => finding);
}
