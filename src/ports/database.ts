/** What we ask of one member of a data store, from the host that it runs on. */
import type { Epoch, Incarnation, MemberName } from "../core/model/id.ts";
import type { Lsn } from "../core/model/lsn.ts";
import type { Damage, MemberState, TimelineFork } from "../core/model/record.ts";
import type { SpanMs } from "../core/model/time.ts";
import type { Address } from "../core/model/topology.ts";

export interface MemberInspection {
  readonly state: MemberState;
  readonly incarnation: Incarnation | null;
  readonly timeline: number;
  /**
   * Primary: flushed, down to the end of a whole record. Standby: received and flushed (at least what it has replayed).
   * Stopped: last known, else 0.
   */
  readonly position: Lsn;
  /** Primary: the end of the last record that was written, flushed or not: nothing acknowledged lies beyond. Else 0. */
  readonly inserted: Lsn;
  /** Epoch whose primary it is set to follow (standby, 0: nobody) or leads (primary). From its own disk. */
  readonly epoch: Epoch;
  readonly floor: Epoch;
  /** The last publication that was remembered in epoch `floor`. */
  readonly publication: number;
  readonly streaming: boolean;
  /** Whether a freeze is in force. */
  readonly frozen: boolean;
  /** Set by `seal`, void as soon as it follows again; on its own disk too. `basis` is the caller's, kept as given. */
  readonly sealedBasis: number;
  readonly sealedPosition: Lsn;
  /** Primary only: who streams from it now. */
  readonly replicas: readonly ReplicaInspection[];
  /** Primary only: what it waits for now, members by name. */
  readonly waitsFor: { readonly acknowledgements: number; readonly standbys: readonly MemberName[] } | null;
  /** Its disk takes not a page more: what needs room fails, and PostgreSQL may run on. */
  readonly full: boolean;
  /** Of its disk that it may still use, whole percent from 0 to 100, rounded down; null: not known. */
  readonly freePercent: number | null;
  /** Pages of its copy failed their checksum: known until the copy is made anew. */
  readonly damaged?: Damage | undefined;
  /** What is wrong, for people; empty when nothing is. */
  readonly problem: string;
}

export interface ReplicaInspection {
  readonly member: MemberName;
  /** As the replica said when it connected; null when it did not say. */
  readonly incarnation: Incarnation | null;
  readonly streaming: boolean;
  /** Down to the end of a whole record: what a restarted replica still has. */
  readonly flushed: Lsn;
  readonly replayed: Lsn;
}

export interface Upstream {
  readonly member: MemberName;
  readonly address: Address;
  readonly epoch: Epoch;
}

/** What was on a returned member beyond the point where the histories part. */
export interface Divergence {
  /** Where the histories part. */
  readonly forkedAt: Lsn;
  /** Where the member's own history ended. */
  readonly endedAt: Lsn;
  /** Folder in which the diverged WAL is kept. */
  readonly keptIn: string;
  readonly transactions: readonly LostTransaction[];
}

export interface LostTransaction {
  readonly xid: number;
  readonly lsn: string;
  /** ISO 8601, as PostgreSQL wrote it into the commit record. */
  readonly committedAt: string;
}

export type Outcome<T> =
  | ({ readonly kind: "succeeded" } & T)
  | { readonly kind: "failed"; readonly because: string }
  /** It may have happened: measure before anything is repeated or undone. */
  | { readonly kind: "unknown"; readonly because: string };

export interface Database {
  /** Never rejects; a member that does not answer in `timeoutMs` is `hung` (its processes exist) or `stopped`. */
  inspect(timeoutMs: SpanMs): Promise<MemberInspection>;
  /** Calls `tell` when the member's server has left us: it may have died, and is worth a look before the next round. */
  onLost(tell: () => void): void;
  /** Makes the first primary of an empty data store and starts it, accepting no client yet but its agent. */
  initialize(
    request: { readonly epoch: Epoch },
    signal: AbortSignal,
  ): Promise<Outcome<{ readonly incarnation: Incarnation }>>;
  /**
   * Makes this member a standby of `upstream`, whatever it is now: ended if it runs as something else, seeded if empty,
   * rewound or seeded anew if its history has diverged (the tail is kept first). Resolves when it streams. `anew`: it
   * streams from the upstream already, and its copy is replaced by one of the upstream's once that is there, whole.
   */
  rejoin(
    request: {
      readonly upstream: Upstream;
      readonly anew?: boolean;
      readonly onProgress: (text: string) => void;
    },
    signal: AbortSignal,
  ): Promise<
    Outcome<{
      readonly how: "followed" | "started" | "rewound" | "seeded";
      readonly divergence: Divergence | null;
    }>
  >;
  /** Starts existing data as a standby that receives from nobody. */
  startSealed(
    request: { readonly basis: number },
    signal: AbortSignal,
  ): Promise<Outcome<{ readonly position: Lsn }>>;
  /** Stops receiving and confirms it; the position does not rise from then on. Idempotent. */
  seal(
    request: { readonly basis: number },
    signal: AbortSignal,
  ): Promise<Outcome<{ readonly position: Lsn }>>;
  /**
   * A running standby receives from `upstream`; `failed` with "diverged" in `because` when their histories part.
   * `promotedAt` not null: the caller knows that this copy is a part of what was promoted there up to that position, and
   * histories are not compared; PostgreSQL itself refuses to stream what does not fit. With `fork`, that promotion's, it
   * streams the new timeline from the first, where else it would ask for the old one, and be told that it has ended.
   */
  follow(
    request: { readonly upstream: Upstream; readonly promotedAt: Lsn | null; readonly fork?: TimelineFork },
    signal: AbortSignal,
  ): Promise<Outcome<object>>;
  /**
   * A hint, never waited for: `upstream` has been claimed for and may commit soon. Changes nothing of this member; what it
   * may prepare is dropped when no `follow` comes.
   */
  expect(upstream: Upstream): void;
  /** Kept on disk (fsync) beside the floor, if that is `epoch`; never goes down. Rejects when the disk does not take it. */
  remember(seen: { readonly epoch: Epoch; readonly publication: number }): Promise<void>;
  /**
   * Writes the floor to disk (fsync), sets what commits wait for, promotes, and commits the canary row that carries the
   * epoch (locally: it waits for no standby). On a member that is already primary of this epoch: commits wait for whom this
   * request says, no freeze is in force, and it succeeds.
   */
  promote(
    request: {
      readonly epoch: Epoch;
      readonly acknowledgements: number;
      readonly standbys: readonly MemberName[];
    },
    signal: AbortSignal,
  ): Promise<
    Outcome<{
      readonly timeline: number;
      readonly position: Lsn;
      readonly incarnation: Incarnation;
      readonly fork?: TimelineFork;
    }>
  >;
  /** Sets what commits wait for in this epoch, and resolves when every WAL sender goes by it. 0 and none: nobody. */
  setQuorum(
    request: {
      readonly epoch: Epoch;
      readonly acknowledgements: number;
      readonly standbys: readonly MemberName[];
    },
    signal: AbortSignal,
  ): Promise<Outcome<object>>;
  /** No commit is acknowledged until `thaw`. Reversible, milliseconds. Idempotent. */
  freeze(signal: AbortSignal): Promise<Outcome<object>>;
  thaw(signal: AbortSignal): Promise<Outcome<object>>;
  /** A checkpoint, so that the orderly stop that follows is quick. Changes nothing else. */
  prepareStop(signal: AbortSignal): Promise<Outcome<object>>;
  /**
   * Planned end of a primary that has no client any more: shuts it down in order, so that connected standbys have received
   * all of its WAL. `position` is its very last. Falls to `end` when the signal aborts (then `unknown`).
   */
  stopInOrder(signal: AbortSignal): Promise<Outcome<{ readonly position: Lsn }>>;
  /** SIGKILL to the whole process tree, and resolves when none is left. Idempotent; the fence. */
  end(signal: AbortSignal): Promise<Outcome<object>>;
  close(): Promise<void>;
}
