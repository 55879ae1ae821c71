/** The control store as a stream of events: every change in order, and a word when it is silent. */
import type { AgentEventBody } from "../core/machine/event.ts";
import { recordKeys } from "../core/model/record.ts";
import type { Store, StoredRecord } from "../ports/store.ts";
import { decodeRecord } from "./decode.ts";
import type { Log } from "./log.ts";

/** Resolves when the signal aborts. */
export async function watchStore(
  store: Store,
  tell: (event: AgentEventBody) => void,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  let loaded = false;
  let lost = false;
  const known = new Map<string, number>();

  const put = (record: StoredRecord) => {
    known.set(record.key, record.revision);
    const decoded = decodeRecord(record.key, record.value);
    if (decoded.kind === "decoded")
      tell({ kind: "record-changed", key: record.key, revision: record.revision, record: decoded.record });
    else if (decoded.kind === "poisoned")
      log("alarm", `a record was refused and changes nothing: ${decoded.because}`);
  };
  const gone = (key: string, revision: number) => {
    known.delete(key);
    tell({ kind: "record-changed", key, revision, record: null });
  };

  for await (const event of store.watch("", 0, signal)) {
    if (event.kind === "lost") {
      if (!lost) log("warning", `the control store does not answer: ${event.because}`);
      lost = true;
      continue;
    }
    if (lost) log("info", "the control store answers again");
    lost = false;
    switch (event.kind) {
      case "snapshot": {
        const present = new Set(event.records.map((record) => record.key));
        for (const key of [...known.keys()]) if (!present.has(key)) gone(key, event.revision);
        // The lease last: a vote or a claim is then judged with all that is known of the copies.
        const rank = (record: StoredRecord) => (record.key.startsWith(recordKeys.lease("")) ? 1 : 0);
        for (const record of [...event.records].sort((a, b) => rank(a) - rank(b))) put(record);
        break;
      }
      case "changes":
        for (const change of event.changes) {
          if (change.kind === "put") put(change.record);
          else gone(change.key, change.revision);
        }
        break;
      case "progress":
        tell({ kind: "store-heard" });
        break;
      default:
        return event satisfies never;
    }
    if (!loaded) {
      loaded = true;
      tell({ kind: "store-loaded" });
    }
  }
}
