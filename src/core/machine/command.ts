/**
 * What an agent is to do: one closed union, performed in the order given.
 *
 * The order of effects is a contract: persist, fence, confirm the fence, promote, route, validate, declare.
 */
import type { Epoch, MemberName, RegionName, Revision, StoreName } from "../model/id.ts";
import type { Lsn } from "../model/lsn.ts";
import type { AgentRecord, LeaseRecord, RequestRecord, TimelineFork, ToldReport } from "../model/record.ts";
import type { RoutingTable, SignedTable } from "../model/routing.ts";
import type { InstantMs, SpanMs } from "../model/time.ts";
import type { Address } from "../model/topology.ts";
import type { IncidentRecord } from "../review/incident.ts";

export type Command =
  /** Compare-and-swap of a record; answered by `write-replied` within `timeoutMs`. */
  | {
      readonly kind: "write";
      readonly id: number;
      readonly key: string;
      readonly expect: Revision;
      readonly record: LeaseRecord | AgentRecord | RequestRecord | IncidentRecord;
      /** A write of ours that is on its way, whose outcome is not waited for: what stands may be that as well. */
      readonly over?: LeaseRecord;
      readonly timeoutMs: SpanMs;
    }
  /** The same for the routing table, which the performer signs. */
  | {
      readonly kind: "publish";
      readonly id: number;
      readonly expect: Revision;
      readonly table: RoutingTable;
      readonly timeoutMs: SpanMs;
    }
  /** Hand the table to this region's data planes; answered by `table-applied`. */
  | { readonly kind: "apply-table"; readonly table: SignedTable }
  | { readonly kind: "pet"; readonly member: MemberName; readonly epoch: Epoch; readonly deadline: InstantMs }
  | { readonly kind: "disarm"; readonly member: MemberName; readonly epoch: Epoch }
  | {
      readonly kind: "gate";
      readonly member: MemberName;
      readonly epoch: Epoch;
      readonly mode: "open" | "hold" | "closed";
      readonly holdAt: InstantMs;
      readonly cutAt: InstantMs;
    }
  /** Measure the member now rather than with the next round; answered by `member-inspected`. */
  | { readonly kind: "look"; readonly member: MemberName }
  /** A hint: `upstream` has claimed, and once it has committed this member will follow it. Nothing is answered. */
  | { readonly kind: "expect"; readonly member: MemberName; readonly upstream: Upstream }
  /** To keep on the member's disk, beside its floor; what a later look shows. Nothing is answered. */
  | {
      readonly kind: "remember";
      readonly member: MemberName;
      readonly epoch: Epoch;
      readonly publication: number;
    }
  /** One operation on the member; answered by `member-replied` within `timeoutMs`. `end`, `freeze`, `thaw` overtake others. */
  | {
      readonly kind: "member";
      readonly id: number;
      readonly member: MemberName;
      readonly op: MemberOp;
      readonly timeoutMs: SpanMs;
    }
  /** Each region answers by `peer-answered`, or not at all. */
  | {
      readonly kind: "ask-peers";
      readonly id: number;
      readonly regions: readonly RegionName[];
      readonly dataStore: StoreName;
      readonly epoch: Epoch;
      readonly revision: Revision;
      readonly timeoutMs: SpanMs;
    }
  | {
      readonly kind: "answer-peer";
      readonly id: number;
      readonly promised: boolean;
      readonly because: string;
    }
  /** To the agents of these regions: nothing is answered, and it may be lost. */
  | {
      readonly kind: "tell-seal";
      readonly regions: readonly RegionName[];
      readonly member: MemberName;
      readonly told: ToldReport;
      readonly timeoutMs: SpanMs;
    }
  /** Run the journeys of the services that write to `dataStore`; answered by `validated`. */
  | {
      readonly kind: "validate";
      readonly id: number;
      readonly dataStore: StoreName;
      readonly timeoutMs: SpanMs;
    }
  /** Tell people and the journal. */
  | {
      readonly kind: "note";
      readonly level: "info" | "warning" | "alarm";
      readonly subject: string;
      readonly text: string;
    };

export type MemberOp =
  | { readonly kind: "initialize"; readonly epoch: Epoch }
  /** `reseed`: the request by which a person wants its copy made anew, whatever it is worth. */
  | { readonly kind: "rejoin"; readonly upstream: Upstream; readonly reseed?: string }
  | { readonly kind: "start-sealed"; readonly basis: Revision }
  | { readonly kind: "seal"; readonly basis: Revision }
  /**
   * `promotedAt`: where the upstream's promotion ended, when the seal proves that this copy is a part of what was promoted;
   * then nobody has to compare histories first. Null: it has to be found out. `fork`: the promotion's, where it is known too.
   */
  | {
      readonly kind: "follow";
      readonly upstream: Upstream;
      readonly promotedAt: Lsn | null;
      readonly fork?: TimelineFork;
    }
  | {
      readonly kind: "promote";
      readonly epoch: Epoch;
      readonly acknowledgements: number;
      readonly standbys: readonly MemberName[];
    }
  | {
      readonly kind: "set-quorum";
      readonly epoch: Epoch;
      readonly acknowledgements: number;
      readonly standbys: readonly MemberName[];
    }
  | { readonly kind: "freeze" }
  | { readonly kind: "thaw" }
  /** Waits until no session of the gate has a transaction open. */
  | { readonly kind: "drain" }
  /** What makes the orderly stop that follows quick: a checkpoint. */
  | { readonly kind: "prepare-stop" }
  | { readonly kind: "stop-in-order" }
  | { readonly kind: "end" };

export interface Upstream {
  readonly member: MemberName;
  readonly address: Address;
  readonly epoch: Epoch;
}
