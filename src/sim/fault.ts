/** What goes wrong, as data: a list of faults is a schedule, a schedule is a JSON file, and a file is a run that anybody can repeat. */
import type { Micros } from "./kernel.ts";

export interface Fault {
  readonly kind: FaultKind;
  /** When it begins; with `after`: how long after that moment. */
  readonly at: Micros;
  /** Reactive: begins after the `count`-th such moment rather than at a time. */
  readonly after?: {
    readonly moment: "claimed" | "promoted" | "committed" | "vacant";
    readonly count: number;
  };
  /** Index of a region; -1: wherever the lease is held when it begins. */
  readonly a: number;
  /** Index of another one, where the fault is between two. */
  readonly b: number;
  /** After this it ends by itself (S15); 0: it is a blow and not a state. */
  readonly lasts: Micros;
  /** How bad: a share, a factor, milliseconds, as the kind has it. */
  readonly size: number;
}

/** What lasts this long or longer is not healed in the end: the others must do without that region. */
export const forGood: Micros = 10_000_000_000;

/** Kind -> whether it lasts, and what `size` means. */
export const faultKinds = {
  "kill-region": "power off, with all that runs there",
  "pause-region": "the whole host stands still",
  "crash-agent": "the agent's process dies",
  "pause-agent": "the agent's process is stopped, or its event loop stalls",
  "kill-postgres": "all processes of the member die",
  "pause-postgres": "all processes of the member are stopped",
  "kill-fencer": "the fencer dies",
  "pause-fencer": "the fencer is stopped",
  "kill-gate": "the gate dies",
  "pause-gate": "the gate is stopped",
  "kill-edge": "the edge dies",
  cut: "nothing passes between two regions",
  "cut-one-way": "nothing passes from one region to another",
  isolate: "nothing passes to or from a region",
  delay: "messages take longer, by `size` milliseconds",
  loss: "a share of the messages is lost",
  flap: "a link comes and goes, every `size` milliseconds",
  "store-down": "the store answers nobody",
  "store-deaf": "the store does not answer one region",
  "store-mute": "what one region sends to the store is lost, and what the store tells arrives",
  "store-slow": "the store takes `size` times as long",
  "store-loses-replies": "a share of the replies of successful writes is lost",
  "store-restored":
    "everything is ended, the store is as it was `size` milliseconds before, and all is started again",
  "store-voter": "the store's voter in a region is stopped",
  "store-leader": "the store's leader is stopped, and for `size` milliseconds nobody else is elected",
  "disk-slow": "a member's disk takes `size` times as long",
  "disk-hung": "a member's disk does not answer",
  "disk-full": "a member's disk takes nothing more: what it has can be read",
  wipe: "a member's disk is lost, and it is ended",
  rollback: "the primary's disk is as it was before the published position, and it is ended",
  restore:
    "a member's disk is restored from an old backup, so that it is another incarnation, and it is ended",
  damage: "pages of a member's copy fail their checksum, until it is made anew",
  "lose-lease": "somebody deletes the record of the lease",
  "clock-jump": "a wall clock jumps by `size` milliseconds",
  "restart-all": "everything is ended, and started again in random order",
  switchover: "a person asks for a switchover to a region",
  failback: "a person asks for a failback",
  reseed: "a person asks for a damaged copy to be made anew",
} as const;

export type FaultKind = keyof typeof faultKinds;
