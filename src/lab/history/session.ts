/** One client's session with PostgreSQL: an end to every wait, and no more certainty than there is. */
import { Socket } from "node:net";
import pg from "pg";
import type { SpanMs } from "../../core/model/time.ts";
import type { Ask, Outcome } from "./operation.ts";
import {
  acknowledgedBy,
  beginSnapshot,
  give,
  leaderNow,
  openBank,
  type Row,
  type Statement,
  statementOf,
  take,
  toldFrom,
} from "./statements.ts";

export interface SessionTimes {
  readonly connectTimeoutMs: SpanMs;
  /** Of one statement, a commit with its wait for standbys. On our side only: a server that gives up calls it a success. */
  readonly statementTimeoutMs: SpanMs;
}

export class Session {
  readonly #client: pg.Client;
  readonly #socket: Socket;
  readonly #banks = new Set<string>();
  /** What PostgreSQL said that makes a success doubtful; empty: nothing. */
  #doubt = "";

  private constructor(client: pg.Client, socket: Socket) {
    this.#client = client;
    this.#socket = socket;
    client.on("error", () => {});
    client.on("notice", (notice) => {
      // "canceling wait for synchronous replication": it stands here, perhaps nowhere else (patroni#1412).
      if (notice.routine === "SyncRepWaitForLSN") this.#doubt = notice.message ?? "commit not replicated";
    });
  }

  /** Rejects when there is none within `connectTimeoutMs`. */
  static async open(url: string, times: SessionTimes): Promise<Session> {
    const socket = new Socket();
    const client = new pg.Client({
      connectionString: url,
      application_name: "holdfast-history",
      connectionTimeoutMillis: times.connectTimeoutMs,
      query_timeout: times.statementTimeoutMs,
      stream: () => socket,
    });
    const session = new Session(client, socket);
    try {
      await client.connect();
    } catch (error) {
      session.end();
      throw error;
    }
    return session;
  }

  /** The session is of no use any more unless the outcome is `ok`. */
  async perform(ask: Ask): Promise<Outcome> {
    try {
      const isBank = ask.kind === "transfer" || ask.kind === "balances";
      if (isBank && !this.#banks.has(ask.key)) {
        await this.#ask(openBank(ask.key));
        this.#banks.add(ask.key);
      }
    } catch (error) {
      return { kind: "failed", because: messageOf(error) };
    }
    this.#doubt = "";
    return ask.kind === "transfer" ? await this.#transfer(ask) : await this.#single(ask);
  }

  async prepare(statement: Statement): Promise<void> {
    await this.#ask(statement);
  }

  /** At once: whoever waits for PostgreSQL's farewell waits for ever when its region is gone. */
  end(): void {
    this.#socket.destroy();
  }

  async #single(ask: Exclude<Ask, { kind: "transfer" }>): Promise<Outcome> {
    try {
      const row = (await this.#ask(statementOf(ask)))[0];
      if (row === undefined) return { kind: "failed", because: "no epoch has begun" };
      if (this.#doubt !== "") return { kind: "unknown", because: this.#doubt };
      return { kind: "ok", told: toldFrom(ask, row), by: acknowledgedBy(row) };
    } catch (error) {
      const isLook = ask.kind === "read" || ask.kind === "list" || ask.kind === "balances";
      return { kind: isLook || isRolledBack(error) ? "failed" : "unknown", because: messageOf(error) };
    }
  }

  async #transfer(ask: Extract<Ask, { kind: "transfer" }>): Promise<Outcome> {
    let row: Row | undefined;
    let done = false;
    try {
      await this.#client.query(beginSnapshot);
      row = (await this.#ask(leaderNow))[0];
      done = (await this.#ask(take(ask))).length === 1;
      if (done) await this.#ask(give(ask));
      if (row === undefined) throw new Error("no epoch has begun");
    } catch (error) {
      // Nobody has asked for the commit: it cannot come.
      return { kind: "failed", because: messageOf(error) };
    }
    try {
      await this.#client.query("COMMIT");
    } catch (error) {
      return { kind: isRolledBack(error) ? "failed" : "unknown", because: messageOf(error) };
    }
    if (this.#doubt !== "") return { kind: "unknown", because: this.#doubt };
    return { kind: "ok", told: { done }, by: acknowledgedBy(row) };
  }

  async #ask({ text, values }: Statement): Promise<readonly Row[]> {
    return (await this.#client.query(text, [...values])).rows;
  }
}

/** Certainly without effect: read-only (25006), or chosen as the victim of a conflict (40001, 40P01). */
function isRolledBack(error: unknown): boolean {
  return ["25006", "40001", "40P01"].includes(String((error as { code?: unknown }).code));
}

function messageOf(error: unknown): string {
  const { message, code } = error as { message?: string; code?: string };
  return [code, message].filter(Boolean).join(" ") || String(error);
}
