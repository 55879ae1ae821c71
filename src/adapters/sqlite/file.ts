/**
 * The control store as one SQLite file: records, one global revision, and the log of the last changes.
 *
 * F1. The revision rises by one with each write, in the transaction of the write, and each revision is one row of
 *     `change`. So the log has no holes, and its oldest row says from where a watch can be continued.
 * F2. Nothing here waits: what is in the way of another process's lock throws, and `isBusy` tells.
 *
 * Journal mode TRUNCATE, not WAL. Chosen for three reasons. (1) An exclusive lock shuts out readers too, so the
 * loss of the store is a real loss for every region, and can be rehearsed; in WAL readers would go on and see half
 * of an outage. (2) One file, no shared memory beside it: after power loss it is what the disk holds. (3) Speed does
 * not ask for WAL: a commit takes 0.8 ms at `synchronous=FULL`, measured with 0.2 ms per fsync, and regions renew
 * every 250 ms. TRUNCATE before PERSIST, since a cold journal that stays on disk is one more thing to misread.
 */
import { type BigIntStats, statSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Revision } from "../../core/model/id.ts";
import type { CasOutcome, StoreChange, StoredRecord } from "../../ports/store.ts";
import { emptied, FileFailure, isBusy, moved, toFailure } from "./failure.ts";

/** "HFST": so that no other program's database is taken for a control store. */
const APPLICATION_ID = 0x48465354;
const SCHEMA = 1;

/** Values in the log, at most: 10,000 revisions of 256 KiB would be 2.5 GB. */
const LOG_BYTES_MAX = 64 * 1024 * 1024;
/** Changes in one answer, at most, so that a watch far behind does not make one huge message. */
const CHANGES_MAX = 500;
const CHANGES_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Readers hold their lock for microseconds, so a commit waits for them rather than starting over. Longer than
 * this, and one of them is stopped or frozen.
 */
const COMMIT_PATIENCE_MS = 20;

const SCHEMA_SQL = `
  CREATE TABLE store (
    topology TEXT NOT NULL, revision INTEGER NOT NULL, log_bytes INTEGER NOT NULL) STRICT;
  CREATE TABLE record (key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL) STRICT;
  CREATE TABLE change (
    revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value TEXT, bytes INTEGER NOT NULL) STRICT;
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA};`;

export interface FileOptions {
  readonly path: string;
  readonly topology: string;
  /** The log keeps this many revisions. */
  readonly keepRevisions: number;
  readonly mayCreate: boolean;
}

export type ChangesSince =
  | {
      readonly kind: "changes";
      readonly changes: readonly StoreChange[];
      readonly revision: Revision;
      /** Changes after `revision` are there already. */
      readonly more: boolean;
    }
  | { readonly kind: "snapshot"; readonly records: readonly StoredRecord[]; readonly revision: Revision };

export class ControlFile implements Disposable {
  readonly #options: FileOptions;
  readonly #database: DatabaseSync;
  /** Device and inode. */
  readonly identity: string;
  readonly #statements = new Map<string, StatementSync>();

  constructor(options: FileOptions) {
    this.#options = options;
    const before = identityOf(options.path);
    if (before === null && !options.mayCreate) throw moved();
    this.#database = new DatabaseSync(options.path, { timeout: 0 });
    try {
      this.#prepare();
      const identity = identityOf(options.path);
      if (identity === null || (before !== null && identity !== before)) throw moved();
      this.identity = identity;
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** Throws when the path does not lead to the open file any more: who writes on would write for nobody. */
  checkPlace(): void {
    if (identityOf(this.#options.path) !== this.identity) throw moved();
  }

  /** Differs from its last value when another connection has written since. Costs 3 microseconds. */
  dataVersion(): number {
    return Number(this.#get("PRAGMA data_version")?.data_version);
  }

  get(key: string): StoredRecord | null {
    const row = this.#get("SELECT key, value, revision FROM record WHERE key = ?", key);
    return row === undefined ? null : toRecord(row);
  }

  list(prefix: string): { readonly records: readonly StoredRecord[]; readonly revision: Revision } {
    return this.#inTransaction("BEGIN", () => ({
      records: this.#records(prefix),
      revision: this.#revision(),
    }));
  }

  /** `conflict` and `succeeded` are certain; what throws with `isBusy` has certainly not written. */
  compareAndSwap(key: string, expect: Revision, value: string | null, orValue?: string): CasOutcome {
    return this.#inTransaction("BEGIN IMMEDIATE", (): CasOutcome => {
      const current = this.get(key);
      const fits =
        (current?.revision ?? 0) === expect || (orValue !== undefined && current?.value === orValue);
      if (!fits) return { kind: "conflict", current };
      if (current === null && value === null) return { kind: "succeeded", revision: this.#revision() };
      return { kind: "succeeded", revision: this.#write(key, value) };
    });
  }

  /** What happened to keys under `prefix` after `from`, or everything anew when the log does not reach back. */
  changesSince(prefix: string, from: Revision): ChangesSince {
    return this.#inTransaction("BEGIN", (): ChangesSince => {
      const revision = this.#revision();
      if (from === 0 || revision < from || from < this.#floor(revision))
        return { kind: "snapshot", records: this.#records(prefix), revision };
      const changes: StoreChange[] = [];
      let bytes = 0;
      let upTo = revision;
      const [low, high] = bounds(prefix);
      const rows = this.#prepared(
        `SELECT revision, key, value, bytes FROM change
         WHERE revision > ? AND key >= ? AND (? IS NULL OR key < ?) ORDER BY revision`,
      ).iterate(from, low, high, high);
      for (const row of rows) {
        changes.push(toChange(row));
        bytes += Number(row.bytes);
        if (changes.length < CHANGES_MAX && bytes < CHANGES_BYTES_MAX) continue;
        upTo = Number(row.revision);
        break;
      }
      return { kind: "changes", changes, revision: upTo, more: upTo < revision };
    });
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  /** Makes the tables in a file that has none, and refuses a file that is not ours. */
  #prepare(): void {
    this.#database.exec("PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA synchronous = FULL");
    const mode = this.#get("PRAGMA journal_mode = TRUNCATE")?.journal_mode;
    if (mode !== "truncate")
      throw new FileFailure(
        "HOLDFAST_STORE_OTHER_SCHEMA",
        false,
        `the file's journal mode is "${mode}" and cannot be set to "truncate"`,
        "end the program that holds it open in that mode",
      );
    if (this.#pragma("application_id") === 0 && this.#isEmpty()) {
      if (!this.#options.mayCreate) throw emptied();
      this.#create();
    }
    if (this.#pragma("application_id") !== APPLICATION_ID)
      throw new FileFailure(
        "HOLDFAST_STORE_OTHER_SCHEMA",
        false,
        "the file is a database of another program",
        "name another path for the control store",
      );
    const schema = this.#pragma("user_version");
    if (schema !== SCHEMA)
      throw new FileFailure(
        "HOLDFAST_STORE_OTHER_SCHEMA",
        false,
        `the file has schema ${schema}, and this program knows schema ${SCHEMA}`,
        "run the version of holdfast that wrote it, or name another path",
      );
    const topology = this.#get("SELECT topology FROM store")?.topology;
    if (topology !== this.#options.topology)
      throw new FileFailure(
        "HOLDFAST_STORE_OTHER_TOPOLOGY",
        false,
        `the file belongs to topology "${topology}", not to "${this.#options.topology}"`,
        "name another path, or the topology that it belongs to",
      );
    this.#proveWritable();
  }

  /** An agent that could only read would learn it at its first renewal; better when it starts. Writes nothing. */
  #proveWritable(): void {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      this.#database.exec("UPDATE store SET topology = topology");
    } catch (error) {
      // Reading is worth something, and space may come back.
      if (toFailure(error).code !== "HOLDFAST_STORE_FULL") throw error;
    } finally {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
    }
  }

  #create(): void {
    this.#inTransaction("BEGIN EXCLUSIVE", () => {
      // Another process may have been first.
      if (!this.#isEmpty()) return;
      this.#database.exec(SCHEMA_SQL);
      this.#prepared("INSERT INTO store (topology, revision, log_bytes) VALUES (?, 0, 0)").run(
        this.#options.topology,
      );
    });
  }

  #isEmpty(): boolean {
    return this.#get("SELECT count(*) AS count FROM sqlite_schema")?.count === 0;
  }

  /** F1. */
  #write(key: string, value: string | null): Revision {
    const bytes = Buffer.byteLength(key) + (value === null ? 0 : Buffer.byteLength(value));
    const { revision, log_bytes } = this.#get(
      "UPDATE store SET revision = revision + 1, log_bytes = log_bytes + ? RETURNING revision, log_bytes",
      bytes,
    ) as { revision: number; log_bytes: number };
    if (value === null) this.#prepared("DELETE FROM record WHERE key = ?").run(key);
    else
      this.#prepared(
        `INSERT INTO record (key, value, revision) VALUES (?, ?, ?)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision`,
      ).run(key, value, revision);
    this.#prepared("INSERT INTO change (revision, key, value, bytes) VALUES (?, ?, ?, ?)").run(
      revision,
      key,
      value,
      bytes,
    );
    this.#prune(revision, log_bytes);
    return revision;
  }

  /** In the steady state one row goes for each that comes. */
  #prune(revision: Revision, logBytes: number): void {
    let left = logBytes;
    for (;;) {
      const oldest = this.#get("SELECT revision, bytes FROM change ORDER BY revision LIMIT 1");
      if (oldest === undefined || oldest.revision === revision) break;
      const young = revision - Number(oldest.revision) < this.#options.keepRevisions;
      if (young && left <= LOG_BYTES_MAX) break;
      this.#prepared("DELETE FROM change WHERE revision = ?").run(oldest.revision as number);
      left -= Number(oldest.bytes);
    }
    if (left !== logBytes) this.#prepared("UPDATE store SET log_bytes = ?").run(left);
  }

  #revision(): Revision {
    return Number(this.#get("SELECT revision FROM store")?.revision);
  }

  /** A watch can be continued from here on. */
  #floor(revision: Revision): Revision {
    const oldest = this.#get("SELECT min(revision) AS oldest FROM change")?.oldest;
    return typeof oldest === "number" ? oldest - 1 : revision;
  }

  #records(prefix: string): readonly StoredRecord[] {
    const [low, high] = bounds(prefix);
    return this.#prepared(
      "SELECT key, value, revision FROM record WHERE key >= ? AND (? IS NULL OR key < ?) ORDER BY key",
    )
      .all(low, high, high)
      .map(toRecord);
  }

  #inTransaction<T>(begin: "BEGIN" | "BEGIN IMMEDIATE" | "BEGIN EXCLUSIVE", work: () => T): T {
    this.#database.exec(begin);
    try {
      const result = work();
      this.#commit();
      return result;
    } catch (error) {
      // SQLite has rolled back by itself after some errors (full disk, failed disk).
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  #commit(): void {
    const patienceEndsAt = performance.now() + COMMIT_PATIENCE_MS;
    for (;;) {
      try {
        this.#database.exec("COMMIT");
        return;
      } catch (error) {
        if (!isBusy(error) || patienceEndsAt < performance.now()) throw error;
        // The pending lock is kept meanwhile: no new reader gets in.
        Atomics.wait(nobody, 0, 0, 0.2);
      }
    }
  }

  #pragma(name: "application_id" | "user_version"): number {
    return Number(this.#get(`PRAGMA ${name}`)?.[name]);
  }

  #get(sql: string, ...parameters: (string | number | null)[]): Record<string, unknown> | undefined {
    return this.#prepared(sql).get(...parameters);
  }

  #prepared(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

const nobody = new Int32Array(new SharedArrayBuffer(4));

/** Which file a path leads to now; null: none. */
function identityOf(path: string): string | null {
  const stats: BigIntStats | undefined = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? null : `${stats.dev}:${stats.ino}`;
}

/**
 * Keys that begin with `prefix` are those from `prefix` up to, not including, the next text that does not.
 * SQLite compares text by its UTF-8 bytes, which is the order of code points. null: no upper bound.
 */
function bounds(prefix: string): readonly [low: string, high: string | null] {
  const points = Array.from(prefix, (character) => character.codePointAt(0) as number);
  while (0 < points.length) {
    const last = points.pop() as number;
    if (last === 0x10ffff) continue;
    // Surrogates are no characters of their own: UTF-8 has none between U+D7FF and U+E000.
    points.push(last === 0xd7ff ? 0xe000 : last + 1);
    return [prefix, String.fromCodePoint(...points)];
  }
  return [prefix, null];
}

function toRecord(row: Record<string, unknown>): StoredRecord {
  return { key: row.key as string, value: row.value as string, revision: row.revision as number };
}

function toChange(row: Record<string, unknown>): StoreChange {
  if (row.value === null)
    return { kind: "deleted", key: row.key as string, revision: row.revision as number };
  return { kind: "put", record: toRecord(row) };
}
