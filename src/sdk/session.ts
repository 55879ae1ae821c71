/** A session with the service's own PostgreSQL as we need it: a client of `pg` fits, and no library is imported. */

export interface SqlResult {
  // biome-ignore lint/suspicious/noExplicitAny: `pg` says the same of its rows.
  readonly rows: readonly any[];
  /** The command's tag, such as `COMMIT`. */
  readonly command?: string;
}

/** Taken from a pool for one transaction. */
export interface SqlSession {
  /** Several statements in one text, without values: one result each, as `pg` does. */
  query(text: string, values?: unknown[]): Promise<SqlResult | SqlResult[]>;
  /** true: it is not to be used again. */
  release(broken?: boolean): void;
  on?(event: "notice", listener: (notice: Notice) => void): unknown;
  off?(event: "notice", listener: (notice: Notice) => void): unknown;
}

interface Notice {
  readonly message?: string | undefined;
  /** Name of the function in PostgreSQL's source that raised it. */
  readonly routine?: string | undefined;
}

/** A call that did not come back in time; what it was to do may still happen. */
export class TooLate extends Error {}

/** Rejects with `TooLate` after `ms`. What comes later is heard by nobody. */
export function within<T>(call: Promise<T>, ms: number, what: string): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(new TooLate(`${what}: no answer within ${ms} ms`)), ms);
    call.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/**
 * Listens for "WARNING: canceling wait for synchronous replication": the commit then stands on this member, perhaps
 * nowhere else, and PostgreSQL reports success. Told by the routine's name, since the text follows `lc_messages`.
 */
export class CommitDoubt {
  #because: string | null = null;
  readonly #session: SqlSession;
  readonly #hear = (notice: Notice): void => {
    const { message = "", routine } = notice;
    if (routine === "SyncRepWaitForLSN" || /wait for synchronous replication/.test(message))
      this.#because = message;
  };

  constructor(session: SqlSession) {
    this.#session = session;
    session.on?.("notice", this.#hear);
  }

  /** null: none. */
  get because(): string | null {
    return this.#because;
  }

  close(): void {
    this.#session.off?.("notice", this.#hear);
  }
}

/** SQLSTATE of an error of PostgreSQL, or a code of the system, or an empty text. */
export function codeOf(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}

export function messageOf(error: unknown): string {
  const message = error instanceof Error && error.message !== "" ? error.message : String(error);
  const code = codeOf(error);
  return code === "" || message.includes(code) ? message : `${message} (${code})`;
}
