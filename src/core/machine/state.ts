/** What an agent knows: plain data, a new value for each event, so that any moment can be kept, compared and replayed. */
import type { QuorumSet } from "../act/quorum.ts";
import type { SagaEntry } from "../act/saga.ts";
import type { SeenLease } from "../lease/lease.ts";
import type { LevelRecord } from "../model/degradation.ts";
import type {
  Epoch,
  Generation,
  Incarnation,
  MemberName,
  RegionName,
  Revision,
  ServiceName,
  StoreName,
} from "../model/id.ts";
import type { Lsn } from "../model/lsn.ts";
import type {
  AgentRecord,
  CopyRef,
  LeaseRecord,
  RequestRecord,
  TimelineFork,
  ToldReport,
} from "../model/record.ts";
import type { SignedTable } from "../model/routing.ts";
import { type InstantMs, NEVER, type SpanMs } from "../model/time.ts";
import type { DataStore, Topology } from "../model/topology.ts";
import type { Sight, Window } from "../observe/window.ts";
import type { IncidentRecord } from "../review/incident.ts";
import type { MemberOp } from "./command.ts";
import type { MemberSight } from "./event.ts";
import { type Timing, timing } from "./timing.ts";

export interface AgentState {
  /** The region that this agent speaks for. */
  readonly self: RegionName;
  /** Made anew at each start. */
  readonly boot: string;
  readonly topology: Topology;
  readonly timing: Timing;
  readonly startedAt: InstantMs;
  readonly nextId: number;
  /** When this agent next needs to be told the time; never before it asked. */
  readonly wakeAt: InstantMs;
  /** Whether all records have been told at least once. */
  readonly storeLoaded: boolean;
  /** When the store last told of a write, or took one: what only a store that has its quorum does. */
  readonly storeSeenAt: InstantMs;
  /** When anything was last heard of it. A member of etcd says "nothing new" also while nothing can be written. */
  readonly storeHeardAt: InstantMs;
  readonly agents: Readonly<Record<RegionName, SeenAgent>>;
  /** What other agents said directly of their sealed members (T1). */
  readonly told: Readonly<Record<MemberName, ToldReport>>;
  readonly requests: Readonly<Record<string, SeenRequest>>;
  /** What people ordered, for the table; nothing else goes by it. */
  readonly levels: Readonly<Record<ServiceName, SeenLevel>>;
  readonly windows: Readonly<Record<string, Window>>;
  /** What the windows say, as published: a new object only when a sight changes. */
  readonly sees: Readonly<Record<string, Sight>>;
  readonly own: OwnRecord;
  readonly routing: Routing;
  readonly keepers: Readonly<Record<StoreName, Keeper>>;
}

export interface SeenAgent {
  readonly record: AgentRecord;
  readonly revision: Revision;
  readonly seenAt: InstantMs;
  /** Since when it has been heard without a pause longer than a lease. */
  readonly aliveSince: InstantMs;
}

export interface SeenRequest {
  readonly record: RequestRecord;
  readonly revision: Revision;
}

export interface SeenLevel {
  readonly record: LevelRecord;
  readonly revision: Revision;
}

/** The record of this agent itself, and how its writing stands. */
export interface OwnRecord {
  readonly revision: Revision;
  readonly beat: number;
  /** Something that others wait for has changed since it was last sent. */
  readonly dirty: boolean;
  readonly pending: {
    readonly id: number;
    readonly record: AgentRecord;
    readonly sentAt: InstantMs;
  } | null;
  readonly nextBeatAt: InstantMs;
  /** From sending each of the last that were written to its reply, oldest first. */
  readonly took: readonly SpanMs[];
}

export interface Routing {
  readonly signed: SignedTable | null;
  readonly revision: Revision;
  readonly pending: number;
  /** Of the table that this region's data planes go by. */
  readonly applied: Generation;
  readonly retryAt: InstantMs;
  /** When the table is handed to this region's data planes again, unless they say before that they have it. */
  readonly applyAt: InstantMs;
  /** Something that the table depends on has changed since it was last compared. */
  readonly stale: boolean;
}

/** One data store, as one agent keeps it. */
export interface Keeper {
  readonly dataStore: DataStore;
  /** The member beside this agent; null in a region that only votes. */
  readonly member: MemberName | null;
  readonly lease: SeenLease | null;
  /** Highest revision heard of the lease's key, also of its deletion (trap 9). */
  readonly leaseRevision: Revision;
  /** The last claim that was seen, and what was known of the claimer's copy then. */
  readonly claim: SeenClaim | null;
  /** What this agent's own last claim rests on: where its copy ended when it was sent. */
  readonly proof: { readonly epoch: Epoch; readonly position: Lsn } | null;
  /** The one write of the lease that is on its way; what it was for. */
  readonly write: LeaseWrite | null;
  /** Revision against which a write was sent that nobody answered: until the lease is seen beyond it, it may yet be written (trap 8). */
  readonly doubtful: Revision;
  readonly tenure: Tenure | null;
  /** Until when this agent has promised a holder not to call its lease expired (L6). */
  readonly promisedUntil: InstantMs;
  /** Revision of the lease that this agent called expired, and tells others so; 0: none. */
  readonly voted: Revision;
  /** When a committed primary was last heard of: what a fault cannot have begun before. */
  readonly heardAt: InstantMs;
  /** Since when the lease has been over for this agent. */
  readonly overSince: InstantMs | null;
  readonly local: Local;
  /** Why nothing is done where something might be expected; empty: nothing is expected. */
  readonly holding: string;
  readonly wakeAt: InstantMs;
  readonly incident: OpenIncident | null;
}

export interface SeenClaim {
  readonly epoch: Epoch;
  readonly basis: Revision;
  /** Of the last that had committed. */
  readonly primaryEpoch: Epoch;
  /** The holder before had ended in order: nobody has anything beyond `position`, sealed or not. */
  readonly final: boolean;
  /** Where the claimer's copy ended; null: it was not told. */
  readonly position: Lsn | null;
  /** Copies that were published for the primary before. */
  readonly standbys: readonly CopyRef[];
}

export interface LeaseWrite {
  readonly id: number;
  readonly sentAt: InstantMs;
  readonly record: LeaseRecord;
  readonly purpose: "bootstrap" | "claim" | "renew" | "commit" | "publish" | "announce" | "vacate";
}

/** A right to act for an epoch, as its holder keeps it. */
export interface Tenure {
  readonly epoch: Epoch;
  readonly since: InstantMs;
  /** Before then nothing is promoted: this agent, or its life before, may have promised a holder to wait (L6). */
  readonly promoteFrom: InstantMs;
  /** When the last confirmed renewal was sent (L1); -Infinity after a restart, until the first. */
  readonly renewedAt: InstantMs;
  /** Writes of ours that had no answer in time, the last few: any of them may stand. */
  readonly unanswered: readonly LeaseWrite[];
  /** When the last question was sent that a majority of peers answered with a promise (L6). */
  readonly extendedAt: InstantMs;
  readonly nextRenewAt: InstantMs;
  readonly frozen: "" | "lease" | "rpo";
  /** Why it is given up: the member is ended, confirmed, and the lease vacated; never renewed again. Empty: it is not. */
  readonly over: string;
  readonly ended: boolean;
  /** Set by an orderly end: the very last position. */
  readonly finalPosition: Lsn | null;
  readonly hungSince: InstantMs | null;
  /** Since when its disk has been full. */
  readonly fullSince: InstantMs | null;
  readonly promoted: {
    readonly position: Lsn;
    readonly incarnation: Incarnation;
    readonly fork?: TimelineFork;
  } | null;
  /** Revision of the lease that a vacating write was last sent against; -1: none was. */
  readonly vacatedOn: Revision;
  readonly asks: readonly PeerAsk[];
  readonly configured: QuorumSet;
  readonly configuredAt: InstantMs;
  readonly detachedSince: Readonly<Record<MemberName, InstantMs>>;
  readonly change: PlannedChange | null;
  readonly gateOpen: boolean;
  /** Asynchronous only: (instant, position) of the primary, oldest first, bounded. */
  readonly track: readonly (readonly [InstantMs, Lsn])[];
  /** When the position was last looked at. */
  readonly trackedAt: InstantMs;
}

export interface PeerAsk {
  readonly id: number;
  readonly sentAt: InstantMs;
  readonly promised: readonly RegionName[];
}

export interface PlannedChange {
  readonly request: string;
  readonly to: MemberName;
  readonly log: readonly SagaEntry[];
  /** Generation of the table that tells edges to hold; 0: not published yet. */
  readonly holdGeneration: Generation;
}

/** The member beside this agent. */
export interface Local {
  readonly sight: MemberSight | null;
  /** When the inspection behind `sight` began. */
  readonly sightAt: InstantMs;
  /** When an operation last changed the member: older inspections are dropped. */
  readonly changedAt: InstantMs;
  readonly op: RunningOp | null;
  /** `end`, `freeze` and `thaw` do not wait for the others. */
  readonly guard: RunningOp | null;
  readonly retryAt: InstantMs;
  /** The same for `end`, `freeze` and `thaw`: a fence never backs off for long. */
  readonly guardRetryAt: InstantMs;
  readonly failures: number;
  /** Why the last operation did not succeed; empty when it did. */
  readonly problem: string;
  readonly firedEpoch: Epoch;
  /** When the member is told again what to remember, if it does not by then. */
  readonly rememberAt: InstantMs;
  readonly notStreamingSince: InstantMs | null;
  readonly mustRejoin: boolean;
}

export interface RunningOp {
  readonly id: number;
  readonly op: MemberOp;
  readonly startedAt: InstantMs;
}

/** A change of primary that this agent leads and writes down. */
export interface OpenIncident {
  readonly record: IncidentRecord;
  readonly revision: Revision;
  readonly startedAt: InstantMs;
  readonly dirty: boolean;
  readonly pending: number;
  /** The request that asked for it; empty: nobody did. */
  readonly request: string;
  /** The running `validate`; 0: none. */
  readonly validating: number;
  readonly validateAt: InstantMs;
}

export function initialState(options: {
  readonly self: RegionName;
  readonly boot: string;
  readonly topology: Topology;
  readonly at: InstantMs;
  /** How long the store may take to answer; measured, or the profile's renewal span. */
  readonly storeTimeoutMs?: SpanMs;
}): AgentState {
  const { self, boot, topology, at } = options;
  const keepers: Record<StoreName, Keeper> = {};
  for (const dataStore of topology.dataStores) {
    keepers[dataStore.name] = {
      dataStore,
      member: dataStore.members.find((member) => member.region === self)?.name ?? null,
      lease: null,
      leaseRevision: 0,
      claim: null,
      proof: null,
      write: null,
      doubtful: -1,
      tenure: null,
      promisedUntil: Number.NEGATIVE_INFINITY,
      voted: 0,
      heardAt: at,
      overSince: null,
      local: {
        sight: null,
        sightAt: Number.NEGATIVE_INFINITY,
        changedAt: Number.NEGATIVE_INFINITY,
        op: null,
        guard: null,
        retryAt: Number.NEGATIVE_INFINITY,
        guardRetryAt: Number.NEGATIVE_INFINITY,
        failures: 0,
        problem: "",
        firedEpoch: 0,
        rememberAt: Number.NEGATIVE_INFINITY,
        notStreamingSince: null,
        mustRejoin: false,
      },
      holding: "the store has not been read yet",
      wakeAt: NEVER,
      incident: null,
    };
  }
  return {
    self,
    boot,
    topology,
    timing: timing(topology.profile, options.storeTimeoutMs),
    startedAt: at,
    nextId: 1,
    wakeAt: at,
    storeLoaded: false,
    storeSeenAt: Number.NEGATIVE_INFINITY,
    storeHeardAt: Number.NEGATIVE_INFINITY,
    agents: {},
    told: {},
    requests: {},
    levels: {},
    windows: {},
    sees: {},
    own: { revision: 0, beat: 0, dirty: true, pending: null, nextBeatAt: at, took: [] },
    routing: { signed: null, revision: 0, pending: 0, applied: 0, retryAt: at, applyAt: NEVER, stale: true },
    keepers,
  };
}
