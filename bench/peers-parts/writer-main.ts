/** `node writer-main.ts --config FILE`: writes row after row and notes who acknowledged what, until its stdin ends. */
import { readFileSync, writeFileSync } from "node:fs";
import { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import pg from "pg";
import { monotonicMs } from "../../src/lab/monotonic.ts";
import type { Acknowledgement, LiveWriters, Term, WriterClient, WriterConfig } from "./writer-record.ts";

const { values } = parseArgs({ options: { config: { type: "string" } } });
const config = JSON.parse(readFileSync(values.config ?? "", "utf8")) as WriterConfig;

/** Else a refused connection would spin. */
const pauseMs = 25;
const liveMs = 100;

/** As the orders service does it: who leads here and now is a part of the statement, and of the row. */
const write = `INSERT INTO bench_writes (run, client, number, epoch, member)
  SELECT $1, $2, $3, epoch, member FROM (SELECT epoch, member FROM holdfast.epoch ORDER BY epoch DESC LIMIT 1) leader
  RETURNING epoch, member`;

const acknowledgements: Acknowledgement[] = [];
const failures: Record<string, number> = {};
const terms = new Map<string, Term & { firstAt: number; lastAt: number }>();
const stopping = new AbortController();
let stalledMs = 0;
let lookedAt = monotonicMs();

process.stdin.on("end", () => stopping.abort()).resume();
// Ctrl-C reaches the whole group: what to do then is our parent's decision.
process.on("SIGINT", () => undefined);
const telling = setInterval(() => {
  const now = monotonicMs();
  stalledMs = Math.max(stalledMs, now - lookedAt - liveMs);
  lookedAt = now;
  const live: LiveWriters = { terms: [...terms.values()], acknowledged: acknowledgements.length };
  process.stdout.write(`${JSON.stringify(live)}\n`);
}, liveMs);
await Promise.all(config.clients.map(run));
clearInterval(telling);
writeFileSync(config.recordFile, JSON.stringify({ acknowledgements, failures, stalledMs }), { mode: 0o600 });
process.stdout.write(`${JSON.stringify({ terms: [], acknowledged: acknowledgements.length })}\n`);

async function run(client: WriterClient): Promise<void> {
  let session: Session | null = null;
  let at = 0;
  for (let number = 0; !stopping.signal.aborted; number++) {
    const sentAt = monotonicMs();
    let pauseUntil = sentAt + client.everyMs;
    try {
      session ??= await Session.open(client.urls[at % client.urls.length] ?? "");
      const writtenAt = monotonicMs();
      const term = await session.write(client.name, number);
      note(client.name, number, writtenAt, term);
    } catch (error) {
      const because = error instanceof Error ? error.message : String(error);
      failures[because] = (failures[because] ?? 0) + 1;
      // It may lead to a member that is no longer the writer.
      session?.end();
      session = null;
      at++;
      pauseUntil = Math.max(pauseUntil, monotonicMs() + pauseMs);
    }
    const leftMs = pauseUntil - monotonicMs();
    if (leftMs > 0) await sleep(leftMs, undefined, { signal: stopping.signal }).catch(() => undefined);
  }
  session?.end();
}

function note(client: string, number: number, sentAt: number, { member, epoch }: Term): void {
  const doneAt = monotonicMs();
  acknowledgements.push({ client, number, sentAt, doneAt, member, epoch });
  const key = `${member}@${epoch}`;
  const term = terms.get(key);
  if (term) term.lastAt = doneAt;
  else terms.set(key, { member, epoch, firstAt: doneAt, lastAt: doneAt });
}

/** One session, with an end to every wait. */
class Session {
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

  static async open(connectionString: string): Promise<Session> {
    const socket = new Socket();
    const client = new pg.Client({
      connectionString,
      application_name: "bench-writer",
      connectionTimeoutMillis: config.connectTimeoutMs,
      query_timeout: config.statementTimeoutMs,
      stream: () => socket,
    });
    const session = new Session(client, socket);
    try {
      await client.connect();
      return session;
    } catch (error) {
      session.end();
      throw error;
    }
  }

  async write(client: string, number: number): Promise<Term> {
    this.#doubt = "";
    const { rows } = await this.#client.query<{ member: string; epoch: string }>({
      name: "write",
      text: write,
      values: [config.run, client, number],
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
