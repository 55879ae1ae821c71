/** PostgreSQL as a service meets it: a small pool, an end to every wait, and no commit taken for granted. */
import pg from "pg";

export interface Query {
  /** Prepared once a session under this name. */
  readonly name: string;
  readonly text: string;
  readonly values: readonly unknown[];
}

export type Row = Readonly<Record<string, unknown>>;

export type Answer =
  | { readonly kind: "rows"; readonly rows: readonly Row[] }
  /**
   * The writer is changing, or gone. `applied: "no"`: certainly nothing was written. `applied: "unknown"`: it may be
   * written now, later or never; only asking again under the same idempotency key can tell.
   */
  | { readonly kind: "unavailable"; readonly applied: "no" | "unknown"; readonly because: string };

export interface DatabaseOptions {
  readonly url: string;
  /** As PostgreSQL shows it in pg_stat_activity. */
  readonly name: string;
  /** Longest wait for an answer, and so for a commit. A commit that takes longer is unknown, never cancelled. */
  readonly queryTimeoutMs: number;
  /** Longest wait for a session: a free one, or a new one. */
  readonly connectTimeoutMs: number;
  /**
   * Sessions at once. Few: each costs PostgreSQL a process, and all come back at once when the writer changes. 2 carry some
   * 250 transactions a second beside the primary, and far fewer from far away: each keeps a session for its round trips.
   */
  readonly sessionsMax: number;
}

export interface Database {
  /** One statement, one transaction, one round trip. Rejects only for what repetition cannot mend: a bug of ours. */
  ask(query: Query): Promise<Answer>;
  close(): Promise<void>;
}

export function openDatabase(options: DatabaseOptions): Database {
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: options.name,
    max: options.sessionsMax,
    connectionTimeoutMillis: options.connectTimeoutMs,
    // On our side only. A timeout in the server (`statement_timeout`) would cancel the wait of a COMMIT for its
    // standbys, and PostgreSQL calls a cancelled wait a success.
    query_timeout: options.queryTimeoutMs,
    keepAlive: true,
    idleTimeoutMillis: 30_000,
  });
  // A session that ends while nobody uses it is no event: the next request opens another. Unheard, it would end us.
  pool.on("error", () => {});
  pool.on("connect", (session) => session.on("error", () => {}));

  return {
    ask: (query) => ask(pool, query),
    close: () => pool.end(),
  };
}

/** The same database, left alone for `restMs` after it was unavailable: for one that is worth a try, not a wait. */
export function withRest(database: Database, restMs: number): Database {
  let restsUntil = 0;
  return {
    async ask(query) {
      if (performance.now() < restsUntil)
        return { kind: "unavailable", applied: "no", because: "left alone after a failure" };
      const answer = await database.ask(query);
      if (answer.kind === "unavailable") restsUntil = performance.now() + restMs;
      return answer;
    },
    close: () => database.close(),
  };
}

interface Notice {
  readonly message?: string | undefined;
  /** Name of the function in PostgreSQL's source that raised it. */
  readonly routine?: string | undefined;
}

async function ask(pool: pg.Pool, query: Query): Promise<Answer> {
  let session: pg.PoolClient;
  try {
    session = await pool.connect();
  } catch (error) {
    return { kind: "unavailable", applied: "no", because: `no session: ${messageOf(error)}` };
  }
  let doubt = "";
  const hear = (notice: Notice) => {
    if (meansNotReplicated(notice)) doubt = notice.message ?? "commit not replicated";
  };
  session.on("notice", hear);
  let failed = true;
  try {
    const { rows } = await session.query({ ...query, values: [...query.values] });
    if (doubt !== "") return { kind: "unavailable", applied: "unknown", because: doubt };
    failed = false;
    return { kind: "rows", rows };
  } catch (error) {
    if (isOurBug(error)) throw error;
    return {
      kind: "unavailable",
      applied: isRolledBack(error) ? "no" : "unknown",
      because: messageOf(error),
    };
  } finally {
    session.off("notice", hear);
    // A session that failed once is not asked again: it may lead to a member that is no longer the writer.
    session.release(failed);
  }
}

/**
 * "WARNING: canceling wait for synchronous replication": the commit stands on this member, perhaps nowhere else, and
 * PostgreSQL reports success (patroni#1412). Told by the routine's name, since the text follows `lc_messages`.
 */
function meansNotReplicated(notice: Notice): boolean {
  return (
    notice.routine === "SyncRepWaitForLSN" || /wait for synchronous replication/.test(notice.message ?? "")
  );
}

/** Certainly without effect: read-only (a standby, 25006), or chosen as the victim of a conflict (40001, 40P01). */
function isRolledBack(error: unknown): boolean {
  return ["25006", "40001", "40P01"].includes(codeOf(error));
}

/** Wrong data, a broken constraint, wrong SQL: the same tomorrow. A missing table (42P01) is only not there yet. */
function isOurBug(error: unknown): boolean {
  const code = codeOf(error);
  return error instanceof pg.DatabaseError && /^(22|23|42)/.test(code) && code !== "42P01";
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

function messageOf(error: unknown): string {
  const message = error instanceof Error && error.message !== "" ? error.message : String(error);
  const code = codeOf(error);
  return code === "" || message.includes(code) ? message : `${message} (${code})`;
}
