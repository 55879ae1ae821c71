/** What we ask of the control store: get, list, compare-and-swap on a revision, watch from a revision; nothing else. */
import type { Revision } from "../core/model/id.ts";

export interface StoredRecord {
  readonly key: string;
  /** JSON text. */
  readonly value: string;
  /** At which it was last written. */
  readonly revision: Revision;
}

export type CasOutcome =
  | { readonly kind: "succeeded"; readonly revision: Revision }
  /** Certainly not written; `current` is what stands there (null: nothing). */
  | { readonly kind: "conflict"; readonly current: StoredRecord | null }
  /** No answer in time, or one that does not say: it may be written now, later or never. */
  | { readonly kind: "unknown"; readonly because: string };

export type StoreChange =
  | { readonly kind: "put"; readonly record: StoredRecord }
  | { readonly kind: "deleted"; readonly key: string; readonly revision: Revision };

export type WatchEvent =
  /** In the order of revisions, none missing, none doubled. */
  | { readonly kind: "changes"; readonly changes: readonly StoreChange[]; readonly revision: Revision }
  /** Nothing new up to `revision`: the watch is alive. At least once a second while the store answers. */
  | { readonly kind: "progress"; readonly revision: Revision }
  /** The history up to here is gone: all records anew, as if by `list`; what is not in it does not exist. */
  | { readonly kind: "snapshot"; readonly records: readonly StoredRecord[]; readonly revision: Revision }
  /** The store does not answer; the watch goes on by itself when it does. */
  | { readonly kind: "lost"; readonly because: string };

export interface Store {
  /** null: no such record. Linearizable. Rejects with `StoreError` when there is no answer before the signal aborts. */
  get(key: string, signal: AbortSignal): Promise<StoredRecord | null>;
  /** All records whose key begins with `prefix` (empty: all), in the order of the keys' UTF-8 bytes, and the revision that they were read at. */
  list(
    prefix: string,
    signal: AbortSignal,
  ): Promise<{ readonly records: readonly StoredRecord[]; readonly revision: Revision }>;
  /**
   * Writes `value` (null: deletes) if the record's revision is `expect` (0: it does not exist). Each write raises the
   * store's one revision. To delete what does not exist succeeds, writes nothing, and yields the store's revision.
   * Never rejects: what is not known is `unknown`.
   *
   * `orValue`: writes as well if what stands is exactly this text, at whatever revision; for a write that follows another of
   * the same writer without waiting for its outcome.
   */
  compareAndSwap(
    key: string,
    expect: Revision,
    value: string | null,
    signal: AbortSignal,
    orValue?: string,
  ): Promise<CasOutcome>;
  /** Begins with everything after `from` (0: with a snapshot). Ends when the signal aborts; never rejects. */
  watch(prefix: string, from: Revision, signal: AbortSignal): AsyncIterable<WatchEvent>;
  close(): Promise<void>;
}

/** Records are small JSON: what is larger is refused by every adapter, so that none takes what another cannot. */
export const storeLimits = {
  /** UTF-8 bytes of a key, at least 1. */
  keyBytesMax: 1024,
  /** UTF-8 bytes of a value. etcd takes 1.5 MiB a request by default; a watch event may carry several. */
  valueBytesMax: 256 * 1024,
} as const;

/** Why no adapter takes this key or value; null: they all do. Text that is not well-formed would come back changed. */
export function whyNotStorable(key: string, value: string | null): string | null {
  const { keyBytesMax, valueBytesMax } = storeLimits;
  if (key === "") return "the key is empty";
  if (!key.isWellFormed()) return "the key is not well-formed Unicode";
  if (keyBytesMax < Buffer.byteLength(key)) return `the key is longer than ${keyBytesMax} bytes`;
  if (value === null) return null;
  if (!value.isWellFormed()) return "the value is not well-formed Unicode";
  if (valueBytesMax < Buffer.byteLength(value)) return `the value is longer than ${valueBytesMax} bytes`;
  return null;
}

export type StoreErrorCode =
  /** No answer before the caller's deadline. */
  | "HOLDFAST_STORE_TIMEOUT"
  /** Too many calls are waiting: nothing was tried. */
  | "HOLDFAST_STORE_OVERLOADED"
  /** Called after `close`. */
  | "HOLDFAST_STORE_CLOSED"
  /** A key or a value outside `storeLimits`, or text that UTF-8 cannot hold. */
  | "HOLDFAST_STORE_REFUSED"
  /** The place holds the records of another topology. */
  | "HOLDFAST_STORE_OTHER_TOPOLOGY"
  /** The place was written by another version, or is no control store at all. */
  | "HOLDFAST_STORE_OTHER_SCHEMA"
  | "HOLDFAST_STORE_CORRUPT"
  | "HOLDFAST_STORE_READ_ONLY"
  | "HOLDFAST_STORE_FULL"
  /** The file or the endpoints are not there, or not any more. */
  | "HOLDFAST_STORE_UNREACHABLE"
  /** Wrong certificate, user name, password or right. */
  | "HOLDFAST_STORE_DENIED"
  /** Anything else; `cause` has what is known. */
  | "HOLDFAST_STORE_FAILED";

/** The message says what was tried, on what, what is known, and what to do next. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly code: StoreErrorCode;
  /** True: the same call may succeed later, with nobody doing anything. */
  readonly retryable: boolean;

  constructor(code: StoreErrorCode, retryable: boolean, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retryable = retryable;
  }
}
