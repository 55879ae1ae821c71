/** What the first process of an edge and its workers say to one another, over the channel between them. */
import type { Part } from "../core/traffic/part.ts";
import type { EdgeConfig } from "./config.ts";
import type { Reading } from "./metrics-sum.ts";
import type { ServingAddresses } from "./serving.ts";
import type { ServingState } from "./serving-state.ts";

export interface OrderedTable {
  /** The signed table as it came. */
  readonly bytes: Uint8Array;
  /** 1 and up: the later, the greater. */
  readonly order: number;
}

/** Obeyed one after the other. */
export type ToWorker =
  /** `config` is as the first process read it: the file may be another by now. `table` is already judged. */
  | {
      readonly kind: "begin";
      readonly config: Omit<EdgeConfig, "adminToken">;
      readonly part: Part;
      readonly table: OrderedTable | null;
    }
  | ({ readonly kind: "table" } & OrderedTable)
  | { readonly kind: "tell"; readonly id: number }
  | { readonly kind: "reload"; readonly id: number }
  /** What the others are offered of each service, per second. */
  | { readonly kind: "beside"; readonly offered: Readonly<Record<string, number>> }
  | { readonly kind: "close" };

/** What a worker tells of itself. */
export interface Told {
  readonly metrics: Reading;
  readonly state: ServingState;
}

export type FromWorker =
  /** It can be spoken to. */
  | { readonly kind: "up" }
  | { readonly kind: "listening"; readonly addresses: ServingAddresses }
  /** It cannot begin, and ends. */
  | { readonly kind: "failed"; readonly error: WorkerFailure }
  | { readonly kind: "goes-by"; readonly order: number }
  /** `id` null: by itself, every so often. */
  | { readonly kind: "told"; readonly id: number | null; readonly told: Told }
  | { readonly kind: "reloaded"; readonly id: number }
  | { readonly kind: "offered"; readonly offered: Readonly<Record<string, number>> }
  | { readonly kind: "lines"; readonly text: string; readonly lines: number };

export interface WorkerFailure {
  readonly name: string;
  readonly message: string;
}
