/** What is shown: one agent's view of the whole, for the API, the command line and the console. */
import type { LevelOrder } from "./degradation.ts";
import type { Epoch, Generation, MemberName, RegionName, ServiceName, StoreName } from "./id.ts";
import type { Lsn } from "./lsn.ts";
import type { LeaseProfile } from "./profile.ts";
import type { MemberState, RequestRecord } from "./record.ts";
import type { RegionState } from "./routing.ts";
import type { SpanMs } from "./time.ts";
import type { PolicyMode } from "./topology.ts";

export interface StatusView {
  readonly topology: string;
  readonly mode: PolicyMode;
  readonly profile: LeaseProfile["name"];
  /** The region whose agent says this. */
  readonly region: RegionName;
  /** How long ago it last heard of the control store; null: never. */
  readonly storeSeenMsAgo: SpanMs | null;
  /**
   * Who serves, and what would happen now: "customers are served by eu-west; if it dies now, eu-central takes over (2 copies
   * hold every acknowledged write)".
   */
  readonly servedBy: string;
  readonly dataStores: readonly DataStoreView[];
  readonly regions: readonly RegionView[];
  readonly services: readonly ServiceView[];
  /** null: no table yet. */
  readonly routing: {
    readonly generation: Generation;
    readonly epoch: Epoch;
    readonly because: string;
  } | null;
  /** Not finished yet. */
  readonly requests: readonly RequestRecord[];
}

export interface DataStoreView {
  readonly name: StoreName;
  readonly epoch: Epoch;
  /** `none`: there is no lease record yet. */
  readonly phase: "none" | "claimed" | "committed" | "vacant";
  readonly primary: { readonly member: MemberName; readonly region: RegionName } | null;
  readonly holder: MemberName | null;
  /** As this agent times it; null: nobody holds it, or it was not timed yet. */
  readonly leaseLeftMs: SpanMs | null;
  readonly frozen: boolean;
  readonly durable: { readonly acknowledgements: number; readonly standbys: readonly MemberName[] };
  readonly members: readonly MemberView[];
  /** Why nothing is done where one would expect it; empty when nothing needs to be done. */
  readonly holding: string;
}

export interface MemberView {
  readonly name: MemberName;
  readonly region: RegionName;
  readonly state: MemberState;
  readonly role: "primary" | "standby" | "none";
  /** Behind the primary; null: not known. */
  readonly lagBytes: number | null;
  readonly position: Lsn;
  readonly epoch: Epoch;
  readonly streaming: boolean;
  readonly sealed: boolean;
  /** That its disk is full, or nearly: a sentence. Absent: there is room, or nobody knows. */
  readonly disk?: string;
  /** Of its disk that it may still use, 0 to 100; null: not known. */
  readonly freePercent: number | null;
  /** Pages of its copy failed their checksum, since when, and what to do: a sentence. Absent: none is known to have. */
  readonly damaged?: string;
}

export interface RegionView {
  readonly name: RegionName;
  readonly state: RegionState | "unknown";
  readonly agentAlive: boolean;
  /** Since its agent was last heard; null: never. */
  readonly beatMsAgo: SpanMs | null;
  /** Target (`service/region`) -> what it sees. */
  readonly sees: Readonly<Record<string, "up" | "suspected" | "down">>;
}

export interface ServiceView {
  readonly name: ServiceName;
  readonly mode: "rw" | "ro" | "static" | "off";
  /** As the table says; 0: everything is on. */
  readonly level: number;
  /** What the topology calls it; empty: level 0. */
  readonly levelName: string;
  /** How many levels there are besides 0. */
  readonly levels: number;
  /** The order of a person that stands; null: none. */
  readonly order: LevelOrder | null;
  /** In the order of the failover plan. */
  readonly targets: readonly RegionName[];
}

/** What a person asks for; the agent adds id, time and outcome. */
export interface RequestBody {
  readonly kind: RequestRecord["kind"];
  readonly dataStore: StoreName | null;
  readonly toRegion: RegionName | null;
  readonly ifEpoch: Epoch;
  readonly by: string;
  readonly why: string;
}

/** What a person orders for a service: the agent adds number and time. */
export interface LevelBody {
  readonly level: number;
  readonly forMs: SpanMs;
  readonly by: string;
  readonly why: string;
}

/** RFC 9457, `application/problem+json`. */
export interface Problem {
  /** `urn:holdfast:problem:` and the code. */
  readonly type: string;
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  /** `HOLDFAST_...` */
  readonly code: string;
  readonly advice: string;
}
