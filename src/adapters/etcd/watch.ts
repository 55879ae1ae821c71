/**
 * The port's watch over etcd's: goes on at the next endpoint where it stopped, and says when the store is lost.
 *
 * W1. The cursor moves with what was delivered, never with the revision in a header: etcd 3.4 answers a progress
 *     request with a revision whose events may still be on their way (etcd issue 15220), and who resumed behind
 *     that would miss them.
 * W2. Every stream begins at cursor + 1, and what is not above the cursor is dropped: none missing, none doubled.
 * W3. It watches all of the topology's records and picks the prefix here, so that the cursor follows every write of
 *     the topology, and a watch of a quiet prefix is not compacted away.
 * W4. Before each stream a linearizable read: a store that was restored (another cluster, or a lower revision)
 *     has another history, and is told as a snapshot.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Revision } from "../../core/model/id.ts";
import type { StoreChange, StoredRecord, WatchEvent } from "../../ports/store.ts";
import type { Endpoints } from "./endpoints.ts";
import { toFailure } from "./failure.ts";
import { type Event, Event_EventType, type WatchResponse } from "./generated/etcd_pb.js";
import { type Keys, toRecord } from "./keys.ts";
import { WatchStream } from "./stream.ts";

/** So long unheard and the watch says `lost`. */
const LOST_AFTER_MS = 1000;
/** So long silent and the stream is opened elsewhere: more than one beat and a round trip and early enough for a
 * second endpoint to answer before the watch is lost. */
const SILENCE_MAX_MS = 700;
/** So long "nothing new" from an endpoint that calls have left, and the stream is opened elsewhere: it may be cut off. */
const EMPTY_MAX_MS = 500;
/** Between attempts, so that a dead store is asked 20 times a second at most. */
const RETRY_MS = 50;

/** Head, list, and one that another endpoint had to answer. */
const callsOfAnAttempt = 3;

export interface WatchSource {
  readonly endpoints: Endpoints;
  readonly keys: Keys;
  readonly callTimeoutMs: number;
  /** Linearizable. */
  head(signal: AbortSignal): Promise<{ readonly clusterId: bigint; readonly revision: Revision }>;
  list(
    prefix: string,
    signal: AbortSignal,
  ): Promise<{ readonly records: readonly StoredRecord[]; readonly revision: Revision }>;
}

/** Never rejects; ends when the signal aborts. */
export async function* watchPrefix(
  source: WatchSource,
  prefix: string,
  from: Revision,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent, undefined> {
  let cursor = from;
  let clusterId: bigint | null = null;
  let inSnapshot = from === 0;
  let lost = false;
  let heardAt = performance.now();
  while (!signal.aborted) {
    let url: string | null = null;
    try {
      // What is lost has time: two answers of distant members may take most of a deadline each, beside one silent endpoint.
      const budgetMs = lost ? callsOfAnAttempt * source.callTimeoutMs : untilLostMs(heardAt);
      const attempt = AbortSignal.any([signal, AbortSignal.timeout(budgetMs)]);
      const head = await source.head(attempt);
      if (head.revision < cursor || (clusterId !== null && head.clusterId !== clusterId)) inSnapshot = true;
      clusterId = head.clusterId;
      if (inSnapshot) {
        const { records, revision } = await source.list(prefix, attempt);
        inSnapshot = false;
        lost = false;
        cursor = revision;
        yield { kind: "snapshot", records, revision };
        heardAt = performance.now();
      }
      using place = await source.endpoints.forStream(attempt);
      url = place.url;
      using stream = new WatchStream(place.clients, place.headers, source.keys.all, cursor + 1, signal);
      let toldUpTo = cursor;
      let toldAt = performance.now();
      while (!inSnapshot) {
        const silenceMs = lost ? SILENCE_MAX_MS : Math.min(SILENCE_MAX_MS, untilLostMs(heardAt));
        const response = await stream.next(silenceMs, signal);
        // The answer to our request says only that it came; whether the history is still there comes next.
        if (response.created && !response.canceled) {
          heardAt = performance.now();
          continue;
        }
        lost = false;
        if (0n < response.compactRevision) inSnapshot = true;
        else {
          const told = tell(source.keys, prefix, cursor, response);
          cursor = told.revision;
          yield told;
        }
        // The reader's own slowness is no silence of the store.
        heardAt = performance.now();
        if (cursor !== toldUpTo) toldAt = heardAt;
        toldUpTo = cursor;
        // A better one answers again, or calls find this one silent and it tells of nothing: it goes on there, from where it is.
        const leftAt = source.endpoints.silentSince(url) ?? Number.POSITIVE_INFINITY;
        if (source.endpoints.isBetter(url) || Math.max(leftAt, toldAt) + EMPTY_MAX_MS < heardAt) break;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (url !== null) source.endpoints.leave(url);
      if (!lost && heardAt + LOST_AFTER_MS <= performance.now() + 1) {
        lost = true;
        const { problem, advice } = toFailure(error);
        yield {
          kind: "lost",
          because: `etcd at ${source.endpoints.names} does not answer: ${problem}; ${advice}`,
        };
      }
      await pause(RETRY_MS, undefined, { signal }).catch(() => {});
    }
  }
}

function untilLostMs(heardAt: number): number {
  return Math.max(1, Math.ceil(heardAt + LOST_AFTER_MS - performance.now()));
}

/** W1, W2, W3. */
function tell(
  keys: Keys,
  prefix: string,
  cursor: Revision,
  response: WatchResponse,
): Extract<WatchEvent, { readonly revision: Revision }> {
  if (response.canceled) throw new Error(`etcd ended the watch: ${response.cancelReason}`);
  const changes: StoreChange[] = [];
  let revision = cursor;
  for (const event of response.events) {
    const change = toChange(keys, event);
    const at = change.kind === "put" ? change.record.revision : change.revision;
    if (at <= cursor) continue;
    revision = at;
    const key = change.kind === "put" ? change.record.key : change.key;
    if (key.startsWith(prefix)) changes.push(change);
  }
  return changes.length === 0 ? { kind: "progress", revision } : { kind: "changes", changes, revision };
}

function toChange(keys: Keys, { type, kv }: Event): StoreChange {
  if (kv === undefined) throw new Error("etcd sent an event without a key");
  if (type === Event_EventType.PUT) return { kind: "put", record: toRecord(keys, kv) };
  return { kind: "deleted", key: keys.parse(kv.key), revision: Number(kv.modRevision) };
}
