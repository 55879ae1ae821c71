/** What we ask of a data plane: to take a routing table, and to tell which one it goes by. */
import type { Epoch, Generation, MemberName } from "../core/model/id.ts";
import type { Abilities, PlaneSight } from "../core/model/plane.ts";
import type { SignedTable } from "../core/model/routing.ts";
import type { InstantMs } from "../core/model/time.ts";

export type ApplyOutcome =
  | { readonly kind: "applied"; readonly generation: Generation }
  /** The same digest: nothing changed. */
  | { readonly kind: "unchanged"; readonly generation: Generation }
  /** Older, unsigned, empty or against a rule (R1, R2): the sink keeps what it has. */
  | { readonly kind: "refused"; readonly because: string; readonly generation: Generation }
  | { readonly kind: "unknown"; readonly because: string };

export interface Router {
  /** What it can do of what a table asks for. */
  readonly abilities: Abilities;
  apply(table: SignedTable, signal: AbortSignal): Promise<ApplyOutcome>;
  /** The table that the sink goes by; null: none yet. */
  current(signal: AbortSignal): Promise<SignedTable | null>;
  /** What it goes by, asked of the data plane itself and changing nothing. Rejects when it does not answer. */
  look(signal: AbortSignal): Promise<PlaneSight>;
  close(): Promise<void>;
}

/**
 * The gate beside a member (L7). `open` passes clients through; `hold` keeps connections and passes nothing back;
 * `closed` ends them and takes no new ones. Always by the gate's own clock too: after `holdAt` it holds, after `cutAt`
 * it cuts, also when nobody tells it any more.
 */
export interface GateOrder {
  readonly member: MemberName;
  readonly epoch: Epoch;
  readonly mode: "open" | "hold" | "closed";
  readonly holdAt: InstantMs;
  readonly cutAt: InstantMs;
}

export interface Gate {
  /** False: refused, since a higher epoch was seen. */
  order(order: GateOrder): Promise<boolean>;
  /** Waits until no session has a transaction open, or the signal aborts; resolves with the number still open. */
  drain(member: MemberName, signal: AbortSignal): Promise<number>;
  close(): Promise<void>;
}
