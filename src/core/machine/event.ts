/** What an agent is told: one closed union. Every event carries the instant at which it happened here. */
import type { LevelRecord } from "../model/degradation.ts";
import type { Epoch, MemberName, RegionName, Revision, ServiceName, StoreName } from "../model/id.ts";
import type { Lsn } from "../model/lsn.ts";
import type {
  AgentRecord,
  Damage,
  LeaseRecord,
  MemberState,
  RequestRecord,
  TimelineFork,
  ToldReport,
} from "../model/record.ts";
import type { SignedTable } from "../model/routing.ts";
import type { InstantMs, WallMs } from "../model/time.ts";
import type { IncidentRecord } from "../review/incident.ts";
import type { MemberOp } from "./command.ts";

export type AgentEvent = { readonly at: InstantMs; readonly wall: WallMs } & AgentEventBody;

export type AgentEventBody =
  /** The instant that `wakeAt` asked for has come, or somebody wants to be sure that nothing is overdue. */
  | { readonly kind: "woken" }
  /** A record as of `revision`; `record` null: it was deleted. In the order of revisions for each key. */
  | {
      readonly kind: "record-changed";
      readonly key: string;
      readonly revision: Revision;
      readonly record: SharedRecord | null;
    }
  /** All records have been told at least once: what was not told does not exist. */
  | { readonly kind: "store-loaded" }
  /** A watch is alive, and there was nothing to tell: whether anything can be written is another question. */
  | { readonly kind: "store-heard" }
  | { readonly kind: "write-replied"; readonly id: number; readonly outcome: WriteOutcome }
  /** `startedAt`: before the measurement began; what is older than the last change made here is dropped (trap 9). */
  | {
      readonly kind: "member-inspected";
      readonly member: MemberName;
      readonly startedAt: InstantMs;
      readonly seen: MemberSight;
    }
  | {
      readonly kind: "member-replied";
      readonly member: MemberName;
      readonly id: number;
      readonly outcome: MemberOutcome;
    }
  /** The fencer ended the member in this epoch: it will take no pet for it again (trap 2). */
  | { readonly kind: "fencer-fired"; readonly member: MemberName; readonly epoch: Epoch }
  | {
      readonly kind: "peer-asked";
      readonly id: number;
      readonly from: RegionName;
      readonly dataStore: StoreName;
      readonly epoch: Epoch;
      readonly revision: Revision;
    }
  | {
      readonly kind: "peer-answered";
      readonly id: number;
      readonly from: RegionName;
      readonly promised: boolean;
      readonly because: string;
    }
  /** Another region's agent says that its member is sealed. */
  | { readonly kind: "seal-told"; readonly member: MemberName; readonly told: ToldReport }
  /** This vantage point's own sample of a service in a region. */
  | {
      readonly kind: "probed";
      readonly service: ServiceName;
      readonly region: RegionName;
      readonly ok: boolean;
    }
  /** All data planes of this region took the table of this generation (or had it). */
  | { readonly kind: "table-applied"; readonly generation: number }
  /** The journeys of the services that write to `dataStore` were run through this region's edge. */
  | { readonly kind: "validated"; readonly id: number; readonly ok: boolean; readonly because: string };

export type SharedRecord =
  | LeaseRecord
  | AgentRecord
  | RequestRecord
  | SignedTable
  | IncidentRecord
  | LevelRecord;

export type WriteOutcome =
  | { readonly kind: "succeeded"; readonly revision: Revision }
  /** Certainly not written. What stands there comes as `record-changed` before this reply. */
  | { readonly kind: "conflict" }
  | { readonly kind: "unknown"; readonly because: string };

/** What an inspection saw of the member beside the agent (see `ports/database.ts`). */
export interface MemberSight {
  readonly state: MemberState;
  readonly incarnation: string | null;
  readonly timeline: number;
  readonly position: Lsn;
  readonly inserted: Lsn;
  readonly epoch: Epoch;
  readonly floor: Epoch;
  /** Absent: 0. */
  readonly publication?: number | undefined;
  readonly streaming: boolean;
  readonly frozen: boolean;
  readonly sealedBasis: Revision;
  readonly sealedPosition: Lsn;
  /** Absent: not known to be. */
  readonly full?: boolean;
  /** Of its disk, 0 to 100. Absent or null: not known. */
  readonly freePercent?: number | null;
  readonly damaged?: Damage | undefined;
  readonly replicas: readonly {
    readonly member: MemberName;
    readonly streaming: boolean;
    readonly flushed: Lsn;
  }[];
  readonly waitsFor: { readonly acknowledgements: number; readonly standbys: readonly MemberName[] } | null;
  readonly problem: string;
}

export type MemberOutcome =
  | {
      readonly kind: "succeeded";
      readonly op: MemberOp["kind"];
      readonly position?: Lsn;
      readonly incarnation?: string;
      readonly timeline?: number;
      readonly fork?: TimelineFork;
      readonly detail?: string;
    }
  | { readonly kind: "failed"; readonly op: MemberOp["kind"]; readonly because: string }
  | { readonly kind: "unknown"; readonly op: MemberOp["kind"]; readonly because: string };
