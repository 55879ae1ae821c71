/** What is wanted: regions, data stores, services, edges and objectives, as compiled from `holdfast.yaml`. */
import type { Levels, TrafficClass } from "./degradation.ts";
import type { EdgeName, MemberName, RegionName, ServiceName, StoreName } from "./id.ts";
import type { LeaseProfile } from "./profile.ts";
import type { ServiceRules } from "./rules.ts";
import type { SpanMs } from "./time.ts";
import type { TrafficRules } from "./traffic.ts";

/** `observe`: watch only. `advise`: say what would have been done. `approve`: wait for a person. `auto`: act. */
export type PolicyMode = "observe" | "advise" | "approve" | "auto";

export interface Address {
  /** Host name or IP address. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
}

export interface Topology {
  readonly name: string;
  /** SHA-256 of the canonical text, hexadecimal: which topology a data folder or a record belongs to. */
  readonly digest: string;
  readonly mode: PolicyMode;
  readonly profile: LeaseProfile;
  readonly store: ControlStore;
  readonly failback: FailbackPolicy;
  /** At least one; in the order of the failover plan: the first that may and can, takes over. */
  readonly regions: readonly Region[];
  readonly dataStores: readonly DataStore[];
  readonly services: readonly Service[];
  readonly edges: readonly Edge[];
  /** Data planes that are not ours. Absent in what was recorded before there were any. */
  readonly routers?: readonly ForeignRouter[];
}

export type ControlStore =
  | { readonly kind: "embedded"; readonly path: string }
  | { readonly kind: "etcd"; readonly endpoints: readonly string[] };

export interface FailbackPolicy {
  /** `manual`: only when asked for (default). */
  readonly mode: "manual" | "auto";
  /** The target must have been healthy this long. */
  readonly stableForMs: SpanMs;
  /** Automatic failbacks a day, at most. */
  readonly perDayMax: number;
}

export interface Region {
  readonly name: RegionName;
  /** Where its data legally is, such as `eu`. */
  readonly jurisdiction: string;
  /** `active` serves, `standby` serves when asked to, `witness` only watches and votes. */
  readonly role: "active" | "standby" | "witness";
  /** Kind of failure domain -> its name, such as `power: grid-north`. Two regions with the same pair fail together. */
  readonly failureDomains: Readonly<Record<string, string>>;
  /** Requests per second that the region can serve; 0: not declared. */
  readonly capacityRps: number;
  /** Where its agent listens (API, console, peers). */
  readonly agent: Address;
}

export interface DataStore {
  readonly name: StoreName;
  readonly engine: "postgresql";
  /** `synchronous`: no acknowledged write may be lost. `asynchronous`: at most `rpoMs` of them. */
  readonly replication: "synchronous" | "asynchronous";
  /** Standbys that must have flushed a commit before it is acknowledged (synchronous only): 1 or more. */
  readonly acknowledgements: number;
  /** Whether writes stop when fewer standbys than that are left (`true`), or redundancy is given up, recorded and announced (`false`). */
  readonly strict: boolean;
  /** Asynchronous only: how old the newest transaction on the best standby may be before writes wait. */
  readonly rpoMs: SpanMs;
  /** Jurisdictions that its rows may be in; empty: any (S14). */
  readonly jurisdictions: readonly string[];
  /** What seeding a standby may take, 10^6 bytes a second, more than 0; absent: all there is. */
  readonly seedMegabytesPerSecondMax?: number;
  /** Absent: none are asked for. */
  readonly backups?: BackupPolicy;
  /** In the order of preference; the first is made the first primary. */
  readonly members: readonly Member[];
}

/** Which base backups of a data store there must be. */
export interface BackupPolicy {
  /** A region of one of its members: on that host they are taken, kept and tested. */
  readonly region: RegionName;
  /** Absolute path; each data store has a folder of its name in it. */
  readonly folder: string;
  /** How old the newest may be. */
  readonly maxAgeMs: SpanMs;
  /** How long ago one may have passed a restore test for the last time. */
  readonly testMaxAgeMs: SpanMs;
}

export interface Member {
  readonly name: MemberName;
  readonly region: RegionName;
  /** Where PostgreSQL itself listens: for replication peers and its own agent. */
  readonly address: Address;
  /** Where clients enter: the gate beside the member (L7). */
  readonly gate: Address;
  /** Absolute path of its data folder. */
  readonly dataDir: string;
  /** Whether it may become primary. */
  readonly promotable: boolean;
}

export interface Service {
  readonly name: ServiceName;
  /** 0 matters most. */
  readonly tier: number;
  readonly objectives: Objectives;
  /** Data stores that its unsafe requests write to. */
  readonly dataStores: readonly StoreName[];
  /** Regions that may serve it, as compiled from allowed regions and jurisdictions: a hard limit (S14). */
  readonly allow: readonly RegionName[];
  /** Requests per second that it needs at its peak; 0: not declared. */
  readonly demandRps: number;
  readonly endpoints: readonly Endpoint[];
  readonly journeys: readonly Journey[];
  readonly rules: ServiceRules;
  /** Absent where nothing of it is asked for. */
  readonly traffic?: TrafficRules;
  /** Absent where none are written, as in what was recorded before there were any. */
  readonly classes?: readonly TrafficClass[];
  readonly levels?: Levels;
}

export interface Objectives {
  /** Share of requests that succeed, 0 to 1, such as 0.9999. */
  readonly availability: number;
  /** Recovery time objective. */
  readonly rtoMs: SpanMs;
  /** Recovery point objective; 0: nothing acknowledged may be lost. */
  readonly rpoMs: SpanMs;
}

export interface Endpoint {
  readonly region: RegionName;
  /** Such as `http://10.1.0.7:8080`: scheme, host and port, no path. */
  readonly url: string;
  /** Path that answers 200 while the instance can serve. */
  readonly healthPath: string;
  /** Share of traffic, 0 or more, relative to the others. */
  readonly weight: number;
}

/** A synthetic journey: requests in order, run from every region through its edge; all must pass. */
export interface Journey {
  readonly name: string;
  readonly everyMs: SpanMs;
  readonly timeoutMs: SpanMs;
  readonly steps: readonly JourneyStep[];
}

export interface JourneyStep {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  readonly expectStatus: number;
}

export interface Edge extends EdgeServing {
  readonly name: EdgeName;
  readonly region: RegionName;
  /** Where people's HTTP requests arrive. */
  readonly http: Address;
  /** Where its agent applies tables and reads state. */
  readonly admin: Address;
  /** A TCP listener for each data store: connects to the gate of the current writer. */
  readonly tcp: Readonly<Record<StoreName, Address>>;
  /** Folder in which the last routing tables are kept. */
  readonly stateDir: string;
}

/** How it serves people. What is absent is the edge's own default, and may stand in a file beside it. */
export interface EdgeServing {
  /** That serve people; `auto`: one a core. */
  readonly processes?: number | "auto";
  readonly tls?: {
    readonly listen: Address;
    /** Absolute paths of PEM files on its machine. */
    readonly certificates: readonly { readonly certFile: string; readonly keyFile: string }[];
    readonly minVersion: "TLSv1.2" | "TLSv1.3";
  };
  /** Whether kept answers are also served while they are fresh. */
  readonly cache?: boolean;
  /** Bounds of the limit that it learns for each upstream. */
  readonly concurrency?: { readonly least: number; readonly most: number };
  /** Addresses and networks of balancers before it. */
  readonly trustedProxies?: readonly string[];
}

/** A data plane that is not ours: the agent of its region hands it the same tables as our edges. */
export interface ForeignRouter {
  readonly name: EdgeName;
  readonly region: RegionName;
  readonly kind: "haproxy";
  /** Where people's HTTP requests arrive. */
  readonly http: Address;
  /**
   * Folder that it shares with its agent, on one machine: generated configuration, runtime socket, map, states of servers,
   * and the last routing table.
   */
  readonly stateDir: string;
}
