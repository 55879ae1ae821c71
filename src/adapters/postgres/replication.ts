/** Speaks PostgreSQL's replication protocol with a member: who it is, its history, its WAL, a base backup. */
import { Client } from "pg";
import { formatLsn, type Lsn, parseLsn } from "../../core/model/lsn.ts";
import type { Address } from "../../core/model/topology.ts";
import { DatabaseError } from "./database-error.ts";
import { destroy } from "./session.ts";
import { keepAliveAfterMs } from "./settings.ts";

export interface ReplicationTarget {
  readonly address: Address;
  readonly password: string;
  readonly database: string;
  readonly timeoutMs: number;
}

export interface Identity {
  readonly systemId: string;
  readonly timeline: number;
  /** Flushed (primary) or received (standby). */
  readonly position: Lsn;
}

export interface CopySink {
  onRow(fields: readonly (string | null)[], resultSet: number): void;
  /** Called in order, one after the other; the stream is held back meanwhile. */
  onCopy(bytes: Buffer): Promise<void>;
}

/** Bytes that may wait for the disk before the network is held back. */
const backlogMaxBytes = 4 * 1024 * 1024;

/** Not connected yet. `database` also takes SQL. `name`: whom the member takes it for. */
export function replicationClient(
  { address, password, database, timeoutMs }: ReplicationTarget,
  kind: "database" | "physical",
  name: string,
): Client {
  const client = new Client({
    host: address.host,
    port: address.port,
    user: "replicator",
    password,
    database,
    application_name: name,
    connectionTimeoutMillis: timeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: keepAliveAfterMs,
    // pg passes it on to the server; its types do not know it.
    ...({ replication: kind === "database" ? "database" : "true" } as object),
  });
  client.on("error", () => undefined);
  return client;
}

export class ReplicationConnection {
  readonly #client: Client;
  readonly #abort: () => void;
  readonly #signal: AbortSignal;

  private constructor(client: Client, signal: AbortSignal) {
    this.#client = client;
    this.#signal = signal;
    this.#abort = () => destroy(client);
    signal.addEventListener("abort", this.#abort);
  }

  /** `database` also takes SQL; `physical` also takes BASE_BACKUP. Ends when the signal aborts. */
  static async open(
    target: ReplicationTarget,
    kind: "database" | "physical",
    signal: AbortSignal,
  ): Promise<ReplicationConnection> {
    signal.throwIfAborted();
    const { address } = target;
    const client = replicationClient(target, kind, "holdfast-replication");
    const connection = new ReplicationConnection(client, signal);
    try {
      await client.connect();
      return connection;
    } catch (cause) {
      connection.close();
      signal.throwIfAborted();
      throw new DatabaseError(
        "HOLDFAST_PG_UPSTREAM",
        `cannot reach ${address.host}:${address.port} for replication: ${cause instanceof Error ? cause.message : cause}`,
        { retryable: true, cause },
      );
    }
  }

  close(): void {
    this.#signal.removeEventListener("abort", this.#abort);
    destroy(this.#client);
  }

  async identify(): Promise<Identity> {
    const row = (await this.sql("IDENTIFY_SYSTEM"))[0] as Record<string, unknown>;
    return {
      systemId: String(row.systemid),
      timeline: Number(row.timeline),
      position: parseLsn(String(row.xlogpos)),
    };
  }

  /** Text of the history file; empty for timeline 1, which has none. */
  async timelineHistory(timeline: number): Promise<string> {
    if (timeline === 1) return "";
    const row = (await this.sql(`TIMELINE_HISTORY ${timeline}`))[0] as Record<string, unknown>;
    return Buffer.isBuffer(row.content) ? row.content.toString("utf8") : String(row.content);
  }

  /** One simple statement, SQL (kind `database`) or of the replication protocol. */
  async sql(text: string): Promise<readonly Record<string, unknown>[]> {
    try {
      return (await this.#client.query<Record<string, unknown>>(text)).rows;
    } catch (error) {
      this.#signal.throwIfAborted();
      throw error;
    }
  }

  /** `bytes` of WAL of `timeline` from `from` on, as the member has them. Rejects when it has them no more. */
  async readWal(timeline: number, from: Lsn, bytes: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    let have = 0;
    let done: () => void = () => undefined;
    const enough = new Promise<void>((resolve) => {
      done = resolve;
    });
    const copy = this.copy(`START_REPLICATION PHYSICAL ${formatLsn(from)} TIMELINE ${timeline}`, {
      onRow: () => undefined,
      onCopy: async (message) => {
        // XLogData: 'w', start, end, time (8 bytes each), then WAL.
        if (message[0] !== 0x77) return;
        parts.push(message.subarray(25));
        have += message.length - 25;
        if (bytes <= have) done();
      },
    });
    await Promise.race([enough, copy]);
    copy.catch(() => undefined);
    this.close();
    return Buffer.concat(parts).subarray(0, bytes);
  }

  /** Runs a statement that copies out, and resolves at its end. */
  async copy(text: string, sink: CopySink): Promise<void> {
    const client = this.#client;
    await new Promise<void>((resolve, reject) => {
      const fail = (error: unknown) => {
        client.off("end", lost);
        reject(this.#signal.aborted ? this.#signal.reason : error);
      };
      const lost = () => fail(new Error("the connection was lost in the middle of the stream"));
      const query = new CopyQuery(text, sink, fail, () => {
        client.off("end", lost);
        resolve();
      });
      client.once("end", lost);
      client.query(query);
    });
  }
}

interface Wire {
  query(text: string): void;
  readonly stream: { pause(): void; resume(): void; destroy(): void };
}

/** What `pg` expects of a query, for a statement with several result sets and a stream in between. */
class CopyQuery {
  readonly #text: string;
  readonly #sink: CopySink;
  readonly #fail: (error: unknown) => void;
  readonly #succeed: () => void;
  #resultSet = -1;
  #backlogBytes = 0;
  #work: Promise<void> = Promise.resolve();
  #error: unknown = null;

  constructor(text: string, sink: CopySink, fail: (error: unknown) => void, succeed: () => void) {
    this.#text = text;
    this.#sink = sink;
    this.#fail = fail;
    this.#succeed = succeed;
  }

  submit(connection: unknown): void {
    (connection as Wire).query(this.#text);
  }

  handleRowDescription(): void {
    this.#resultSet += 1;
  }

  handleDataRow(message: { readonly fields: readonly (string | null)[] }): void {
    this.#sink.onRow(message.fields, this.#resultSet);
  }

  handleCopyData(message: { readonly chunk: Buffer }, connection: Wire): void {
    // The parser reuses its memory.
    const bytes = Buffer.from(message.chunk);
    this.#backlogBytes += bytes.length;
    if (backlogMaxBytes < this.#backlogBytes) connection.stream.pause();
    this.#work = this.#work
      .then(async () => {
        if (this.#error === null) await this.#sink.onCopy(bytes);
      })
      .catch((error: unknown) => {
        this.#error ??= error;
        this.#fail(error);
        connection.stream.destroy();
      })
      .finally(() => {
        this.#backlogBytes -= bytes.length;
        if (this.#backlogBytes <= backlogMaxBytes / 2) connection.stream.resume();
      });
  }

  handleCommandComplete(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
  handleCopyInResponse(): void {}

  handleError(error: unknown): void {
    this.#error ??= error;
    this.#fail(error);
  }

  handleReadyForQuery(): void {
    void this.#work.then(() => {
      if (this.#error === null) this.#succeed();
    });
  }
}
