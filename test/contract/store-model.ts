/** The port `store` as one would explain it: a map, a counter, and everything that ever happened. */
import type { Revision } from "../../src/core/model/id.ts";
import type { CasOutcome, StoreChange, StoredRecord, WatchEvent } from "../../src/ports/store.ts";

export class StoreModel {
  readonly history: StoreChange[] = [];
  revision: Revision = 0;
  #records = new Map<string, StoredRecord>();

  get(key: string): StoredRecord | null {
    return this.#records.get(key) ?? null;
  }

  list(prefix: string): readonly StoredRecord[] {
    return [...this.#records.values()]
      .filter(({ key }) => key.startsWith(prefix))
      .sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)));
  }

  compareAndSwap(key: string, expect: Revision, value: string | null, orValue?: string): CasOutcome {
    const current = this.get(key);
    const isOther = orValue === undefined || current?.value !== orValue;
    if ((current?.revision ?? 0) !== expect && isOther) return { kind: "conflict", current };
    if (current === null && value === null) return { kind: "succeeded", revision: this.revision };
    const revision = this.revision + 1;
    this.apply(
      value === null ? { kind: "deleted", key, revision } : { kind: "put", record: { key, value, revision } },
    );
    return { kind: "succeeded", revision };
  }

  /** Takes a change as a watch tells it. */
  apply(change: StoreChange): void {
    if (change.kind === "put") this.#records.set(change.record.key, change.record);
    else this.#records.delete(change.key);
    this.revision = revisionOf(change);
    this.history.push(change);
  }

  /** Takes any event of a watch; false: its revision is not what comes next, so that something is missing or doubled. */
  follow(event: WatchEvent): boolean {
    switch (event.kind) {
      case "lost":
        return true;
      case "progress":
        if (event.revision < this.revision) return false;
        this.revision = event.revision;
        return true;
      case "snapshot":
        if (event.revision < this.revision) return false;
        this.#records = new Map(event.records.map((record) => [record.key, record]));
        this.revision = event.revision;
        return true;
      case "changes":
        for (const change of event.changes) {
          if (revisionOf(change) <= this.revision) return false;
          this.apply(change);
        }
        if (event.revision < this.revision) return false;
        this.revision = event.revision;
        return true;
      default:
        return event satisfies never;
    }
  }
}

export function revisionOf(change: StoreChange): Revision {
  return change.kind === "put" ? change.record.revision : change.revision;
}
