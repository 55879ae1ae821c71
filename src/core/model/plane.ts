/** A data plane as its agent sees it: what it can do of what a table asks for, what it goes by, and how far it drifted. */
import type { EdgeName, Epoch, Generation, RegionName } from "./id.ts";
import type { SpanMs } from "./time.ts";

export type PlaneKind = "edge" | "haproxy";

/** What a routing table can ask of a data plane, in the order in which people are shown it. */
export const abilityNames = [
  "shift",
  "restart",
  "fence",
  "modes",
  "repeat",
  "breaker",
  "hold",
  "weights",
  "choice",
  "limits",
  "classes",
  "stale",
  "tcp",
  "gates",
] as const;

export type AbilityName = (typeof abilityNames)[number];

export interface Ability {
  readonly can: "yes" | "partly" | "no";
  /** How it does it, or what happens instead. */
  readonly how: string;
}

export type Abilities = Readonly<Record<AbilityName, Ability>>;

export interface TableMark {
  readonly epoch: Epoch;
  readonly generation: Generation;
  readonly digest: string;
}

export interface PlaneSight {
  /** The table that it keeps; null: none yet. */
  readonly table: TableMark | null;
  /** What it does otherwise than that table says, a sentence each; empty: nothing. */
  readonly drift: readonly string[];
}

export interface PlaneView {
  readonly name: EdgeName;
  readonly kind: PlaneKind;
  /**
   * `current`: goes by the newest table. `behind`: by an older one, or none. `drifted`: it has the table and does otherwise.
   * `refused`: it does not take the table, see `because`. `unreachable`: it did not say; it goes on with what it has.
   */
  readonly state: "current" | "behind" | "drifted" | "refused" | "unreachable";
  /** As it says; null: none, or not known. */
  readonly table: TableMark | null;
  readonly drift: readonly string[];
  /** Why it is not `current`; empty when it is. */
  readonly because: string;
  /** How often its agent has put it right since it started, and what was wrong the last time. */
  readonly mended: number;
  readonly mendedLast: string;
  readonly abilities: Abilities;
}

/** The data planes of one region, as its agent sees them. */
export interface RoutersView {
  readonly region: RegionName;
  /** What they were given last; null: no table yet. */
  readonly wanted: TableMark | null;
  /** How long the agent looked. */
  readonly tookMs: SpanMs;
  readonly planes: readonly PlaneView[];
}
