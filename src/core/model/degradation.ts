/** What is left out when capacity is short: classes of requests, and levels that say what becomes of each. */
import type { RegionName } from "./id.ts";
import type { SpanMs } from "./time.ts";

/** `critical` is never shed for another's sake; `sheddable` goes first. */
export type Priority = "critical" | "standard" | "sheddable";

export type ClassName = string;

/** The first class that matches decides; a condition that is not named matches everything. */
export interface TrafficClass {
  readonly name: ClassName;
  readonly priority: Priority;
  readonly methods?: readonly string[];
  /** Of the path as it came, without its query; `*` stands for any characters, also for none. */
  readonly paths?: readonly string[];
  /** `value` null: it is enough that the field is there. Names in lower case. */
  readonly header?: { readonly name: string; readonly value: string | null };
  /** Answers later than this are counted, and a request that waited so long for room waits no longer. */
  readonly latencyTargetMs?: SpanMs;
  /** Where `divert` sends it. */
  readonly divertTo?: readonly RegionName[];
}

/**
 * `serve`: as always. `queue`: what cannot be done now waits, as long as the service's rules let it. `refuse`: 503.
 * `stale`: a kept answer where there is one, else as always. `divert`: only in the regions that the class names.
 */
export type Treatment = "serve" | "queue" | "refuse" | "stale" | "divert";

export type LevelMode = "rw" | "ro" | "static";

/** What holds at one level, whole: what it has from the levels below is written out. */
export interface Level {
  readonly name: string;
  readonly mode: LevelMode;
  /** Features of the service, on or off. */
  readonly flags: Readonly<Record<string, boolean>>;
  /** A class that is not named is served. */
  readonly classes: Readonly<Record<ClassName, Treatment>>;
  /** Share of the load at level 0 that is saved, as estimated by who wrote it: 0 to 1. */
  readonly saves: number;
}

export interface Levels {
  /** The highest level that an edge takes by itself; 0: none. */
  readonly automatic: number;
  /** The features at level 0. */
  readonly flags: Readonly<Record<string, boolean>>;
  /** What `static` answers where nothing is kept; null: 503. */
  readonly page: Page | null;
  /** Level 1, 2, ... */
  readonly steps: readonly Level[];
}

export interface Page {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** What a person ordered, as it stands in the control store. One a service; changed by compare-and-swap only. */
export interface LevelRecord {
  readonly schema: 1;
  readonly service: string;
  /** The order that stands last, or stood. */
  readonly order: LevelOrder;
  /** Orders before that, the newest first; at most `ordersKept`. */
  readonly before: readonly LevelOrder[];
}

export interface LevelOrder {
  /** Rises by one with each order for the service. */
  readonly number: number;
  readonly level: number;
  readonly by: string;
  readonly why: string;
  /** Wall clock, for people. */
  readonly at: number;
  /**
   * How long it stands; 0: until the next. Every agent counts from when it saw the order, by its own monotonic clock; the
   * first to reach the end writes it.
   */
  readonly forMs: SpanMs;
  /** null: it stands. */
  readonly ended: { readonly at: number; readonly because: string } | null;
}

export const ordersKept = 50;

/** An order as it stands among the incidents. */
export interface Degradation extends LevelOrder {
  readonly kind: "degradation";
  readonly id: string;
  readonly service: string;
}

/** The newest first; an order for level 0 only ended another. */
export function degradationsOf({ service, order, before }: LevelRecord): readonly Degradation[] {
  return [order, ...before]
    .filter(({ level }) => level > 0)
    .map((each) => ({ kind: "degradation", id: `${service}-level-${each.number}`, service, ...each }));
}

/** The level that the record asks for now. */
export function orderedLevel(record: LevelRecord): number {
  return record.order.ended === null ? record.order.level : 0;
}
