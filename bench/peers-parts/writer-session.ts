/** One writer's session with PostgreSQL: an end to every wait, and no more certainty than there is. */
import { Socket } from "node:net";
import pg from "pg";
import type { Term, WriterConfig } from "./writer-record.ts";

/** As the orders service does it: who leads here and now is a part of the statement, and of the row. */
const write = `INSERT INTO bench_writes (run, client, number, epoch, member)
  SELECT $1, $2, $3, epoch, member FROM (SELECT epoch, member FROM holdfast.epoch ORDER BY epoch DESC LIMIT 1) leader
  RETURNING epoch, member`;

export class WriterSession {
  readonly #client: pg.Client;
  readonly #socket: Socket;
  #doubt = "";

  private constructor(client: pg.Client, socket: Socket) {
    this.#client = client;
    this.#socket = socket;
    client.on("error", () => undefined);
    client.on("notice", ({ routine, message }) => {
      // A cancelled wait for standbys: PostgreSQL calls it a success, and nobody else has the row (patroni#1412).
      if (routine === "SyncRepWaitForLSN") this.#doubt = message ?? "not replicated";
    });
  }

  static async open(
    connectionString: string,
    times: Pick<WriterConfig, "connectTimeoutMs" | "statementTimeoutMs">,
  ): Promise<WriterSession> {
    const socket = new Socket();
    const client = new pg.Client({
      connectionString,
      application_name: "bench-writer",
      connectionTimeoutMillis: times.connectTimeoutMs,
      query_timeout: times.statementTimeoutMs,
      stream: () => socket,
    });
    const session = new WriterSession(client, socket);
    try {
      await client.connect();
      return session;
    } catch (error) {
      session.end();
      throw error;
    }
  }

  async write(run: string, client: string, number: number): Promise<Term> {
    this.#doubt = "";
    const { rows } = await this.#client.query<{ member: string; epoch: string }>({
      name: "write",
      text: write,
      values: [run, client, number],
    });
    const [row] = rows;
    if (!row) throw new Error("no epoch has begun");
    if (this.#doubt !== "") throw new Error(this.#doubt);
    return { member: row.member, epoch: Number(row.epoch) };
  }

  /** At once: whoever waits for PostgreSQL's farewell waits for ever when its region is gone. */
  end(): void {
    this.#socket.destroy();
  }
}
