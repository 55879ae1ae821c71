/** What a control store says of itself while its records are on their way to another one, and ever after. */
import { HoldfastError } from "../../core/model/error-code.ts";
import type { Revision } from "../../core/model/id.ts";
import type { WallMs } from "../../core/model/time.ts";
import type { Store, StoredRecord } from "../../ports/store.ts";

/**
 * - `leaving`: the records are being copied away; leases are taken out one by one.
 * - `left`: no lease is here any more, and none will be: `other` has them.
 * - `arriving`: the records come from `other`; not all of them are here.
 */
export interface Mark {
  readonly schema: 1;
  /** Of the move: the same in both stores. */
  readonly id: string;
  /** Of the command that wrote it last: a second one takes over by rewriting it, and the first can end nothing any more. */
  readonly run: string;
  readonly state: "leaving" | "left" | "arriving";
  /** The other store, for people and for a command that is repeated: `etcd at http://a:2379`. */
  readonly other: string;
  readonly at: WallMs;
}

/** A lease on its way, as it stood in the store that it leaves. Agents know no such key, and so leave it alone. */
export interface Parcel {
  readonly schema: 1;
  readonly revision: Revision;
  /** Text of the record. */
  readonly value: string;
}

export const markKey = "migration";
export const parcelPrefix = "migration/lease/";

/** null: the store takes part in no move. Throws on a mark of another version: what it means is not known. */
export function readMark(record: StoredRecord | null | undefined): Mark | null {
  if (!record) return null;
  const mark = parse(record.value) as Mark | null;
  if (mark?.schema === 1 && ["leaving", "left", "arriving"].includes(mark.state)) return mark;
  throw new HoldfastError(
    "HOLDFAST_STORE_MOVED",
    `the control store bears a mark of a move that this version cannot read (${record.value.slice(0, 80)}): run the version that wrote it`,
  );
}

/** null: not a parcel of this version. */
export function readParcel(text: string): Parcel | null {
  const parcel = parse(text) as Parcel | null;
  return parcel?.schema === 1 && typeof parcel.value === "string" ? parcel : null;
}

/** An agent acts on no store whose records have left, or are not all there. Rejects with HOLDFAST_STORE_MOVED. */
export async function refuseIfMoved(store: Store, place: string, signal: AbortSignal): Promise<void> {
  const mark = readMark(await store.get(markKey, signal));
  if (mark === null) return;
  const when = new Date(mark.at).toISOString();
  const because =
    mark.state === "left"
      ? `its records were moved to ${mark.other} on ${when}: name that store in the topology`
      : mark.state === "leaving"
        ? `its records have been on their way to ${mark.other} since ${when}: repeat "holdfast store migrate", or take it back with --undo`
        : `the records of ${mark.other} have been on their way here since ${when}, and are not whole: repeat "holdfast store migrate"`;
  throw new HoldfastError("HOLDFAST_STORE_MOVED", `cannot act on ${place}: ${because}`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // What is no JSON is no mark of ours: the caller says so.
    return null;
  }
}
