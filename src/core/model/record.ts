/** What regions share: the records of the control store, small JSON with a schema version each. */
import type {
  Epoch,
  Generation,
  Incarnation,
  MemberName,
  RegionName,
  Revision,
  ServiceName,
  StoreName,
} from "./id.ts";
import type { Lsn } from "./lsn.ts";
import type { SpanMs, WallMs } from "./time.ts";

/**
 * Who may write to a data store, and what is known of its copies. All that a claim depends on is in this one
 * record, so that one compare-and-swap decides.
 *
 * - `claimed`: `holder` may try to become primary of `epoch`; both copies still count.
 * - `committed`: `holder` is the primary of `epoch`.
 * - `vacant`: the holder of `epoch` has given up, fenced and confirmed (L4): others may claim at once.
 */
export interface LeaseRecord {
  readonly schema: 1;
  readonly epoch: Epoch;
  readonly phase: "claimed" | "committed" | "vacant";
  readonly holder: MemberName;
  /** Rises with each renewal, so that a renewal always changes the record. */
  readonly renewal: number;
  /**
   * Which write of which agent this is. Two tries of one renewal differ in it: the first may be applied long after it was
   * given up, and must not be taken for the second, whose sender counts from later (L1).
   */
  readonly stamp: string;
  /**
   * Revision at which the last committed primary was last known to hold the lease: what seals refer to.
   * 0 in a record that this primary wrote itself: then it is the revision of the record (see `basisOf`).
   */
  readonly basis: Revision;
  /** The last that committed; null before the first. A claim does not erase it. */
  readonly primary: {
    readonly member: MemberName;
    readonly incarnation: Incarnation;
    readonly epoch: Epoch;
    /** Whoever goes over to it knows its history without asking. Absent: it never left a timeline, or an older version wrote this. */
    readonly fork?: TimelineFork;
  } | null;
  readonly durable: DurableSet;
  /** A planned change of holder, while it is under way. */
  readonly handover: Handover | null;
  /** Why the record was last changed other than by renewal: one sentence for people. */
  readonly because: string;
}

/**
 * Which standbys hold every acknowledged write: each such write is on at least `acknowledgements` of `standbys`.
 * So more than `standbys.length - acknowledgements` of them together miss none (DESIGN 6.3).
 * What PostgreSQL waits for is always at least as strong as what is published here.
 */
export interface DurableSet {
  readonly acknowledgements: number;
  readonly standbys: readonly CopyRef[];
  /** Everything up to here is on that many standbys. Only rises within an epoch; who lies below it is not trusted. */
  readonly position: Lsn;
  /** True when the holder ended in order and `position` is its very last: one copy that has it is proof enough. */
  readonly final: boolean;
  /**
   * Which publication of this primary's epoch it is: rises when who is waited for changes. Members remember it, so that a
   * store that was restored from before is known. Absent: the first.
   */
  readonly publication?: number | undefined;
}

/** Where a promotion left one timeline for another: WAL before `at` is of `parent`, from there on of `timeline`. */
export interface TimelineFork {
  readonly timeline: number;
  readonly parent: number;
  readonly at: Lsn;
}

export interface CopyRef {
  readonly member: MemberName;
  readonly incarnation: Incarnation;
}

export interface Handover {
  readonly to: MemberName;
  /** Id of the request that asked for it. */
  readonly request: string;
}

/** What an agent told of a member directly, beside the store. */
export interface ToldReport {
  /** Life of the agent that told it, and the last beat that it had written: what says more is newer. */
  readonly boot: string;
  readonly beat: number;
  readonly report: MemberReport;
}

/** What an agent says of itself and of what is in its region. Rewritten with each beat and on each change. */
export interface AgentRecord {
  readonly schema: 1;
  readonly region: RegionName;
  /** Made anew at each start of the agent. */
  readonly boot: string;
  /** Rises with each writing: a record that stands still is an agent that is silent. */
  readonly beat: number;
  /** Data store -> revision of the lease that this agent saw expire, by its own clock (a vote to let others claim). */
  readonly expired: Readonly<Record<StoreName, Revision>>;
  readonly members: Readonly<Record<MemberName, MemberReport>>;
  /** Target (`service/region`) -> what this vantage point sees. */
  readonly sees: Readonly<Record<string, "up" | "suspected" | "down">>;
  /** Generation of the routing table that all data planes of its region go by; 0: none yet. */
  readonly applied: Generation;
  /** How long the store takes for a write of this agent, in steps of 40 ms. Absent: an older version wrote this. */
  readonly storeMs?: SpanMs;
  /** Digest of the topology that it runs with. */
  readonly topology: string;
  /** Why it holds still where one would expect it to act; empty when it does not. */
  readonly holding: Readonly<Record<StoreName, string>>;
}

/** What is known of a member, as its own agent measured it. */
export interface MemberReport {
  readonly state: MemberState;
  readonly incarnation: Incarnation | null;
  readonly timeline: number;
  /** Primary: flushed. Standby: received and flushed. Stopped: last known. */
  readonly position: Lsn;
  /** Epoch whose primary it follows, or leads; 0: none. */
  readonly epoch: Epoch;
  /** The highest epoch that this member has ever been claimed for, from its own disk. Never goes down. */
  readonly floor: Epoch;
  /** The last publication that was seen beside this member in epoch `floor`, from its own disk. Absent: the first. */
  readonly publication?: number | undefined;
  /** Set while the member receives from nobody: see `Seal`. */
  readonly seal: Seal | null;
  /** Whether a standby is streaming now. */
  readonly streaming: boolean;
  /** Its disk takes not a page more. */
  readonly full?: true | undefined;
  /** Of its disk that it may still use, whole percent from 0 to 100, rounded down. Absent: not known. */
  readonly freePercent?: number | undefined;
  /** Absent: not known to be. */
  readonly damaged?: Damage | undefined;
}

/** Of a member's disk: with less left a person is told. */
export const lowFreePercent = 10;

/** Pages of a copy that are not what was written to disk. Remembered until the copy is made anew. */
export interface Damage {
  /** How often PostgreSQL read a page whose checksum is wrong; at least. */
  readonly failures: number;
  /** When it was first noticed. */
  readonly since: WallMs;
}

/**
 * `absent`: no data. `stopped`: data, no process. `standby`, `primary`: running. `hung`: processes that do not answer.
 * `rejoining`: being seeded, rewound or caught up. `unknown`: not measured yet.
 */
export type MemberState = "unknown" | "absent" | "stopped" | "standby" | "primary" | "hung" | "rejoining";

/**
 * "I no longer receive from the primary whose last renewal was at `basis`, and what I have ends at `position`."
 * Worth something only against a lease whose basis is the same: any renewal in between makes it void.
 */
export interface Seal {
  readonly basis: Revision;
  readonly position: Lsn;
}

/** What a person, a drill or a schedule asks for. Created once, then answered by the agent that it concerns. */
export interface RequestRecord {
  readonly schema: 1;
  readonly id: string;
  readonly kind: "switchover" | "failback" | "approve" | "allow-data-loss" | "mode" | "reseed";
  readonly dataStore: StoreName | null;
  /** Region that should lead, where one is named; `reseed`: whose copy is to be made anew. */
  readonly toRegion: RegionName | null;
  /** Refused unless this is the epoch when it is taken up; 0: any. */
  readonly ifEpoch: Epoch;
  readonly by: string;
  readonly why: string;
  readonly at: WallMs;
  readonly status: "pending" | "running" | "succeeded" | "refused" | "failed" | "unknown";
  /** Why it was refused or failed, or what came of it. */
  readonly detail: string;
}

export const recordKeys = {
  lease: (store: StoreName) => `lease/${store}`,
  agent: (region: RegionName) => `agent/${region}`,
  routing: "routing",
  request: (id: string) => `request/${id}`,
  incident: (id: string) => `incident/${id}`,
  /** What a person ordered for a service: see `degradation.ts`. */
  level: (service: ServiceName) => `level/${service}`,
  topology: "topology",
} as const;

/** Parts of a key: `lease/orders-db` -> ["lease", "orders-db"]. */
export function splitKey(key: string): readonly [room: string, name: string] {
  const slash = key.indexOf("/");
  return slash < 0 ? [key, ""] : [key.slice(0, slash), key.slice(slash + 1)];
}
