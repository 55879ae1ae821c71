/** Clients that write a history: each asks for one thing after the other, notes what it was told, and never asks twice. */
import { setTimeout as sleep } from "node:timers/promises";
import type { SpanMs } from "../../core/model/time.ts";
import { monotonicMs } from "../monotonic.ts";
import { accounts, Choice, openingBalance } from "./choice.ts";
import { HistoryRecorder } from "./history-file.ts";
import type { Ask, History, ObjectKind, Outcome } from "./operation.ts";
import { Session, type SessionTimes } from "./session.ts";
import { schema } from "./statements.ts";

export interface WorkloadOptions extends SessionTimes {
  /** Names the run, unique in the database: prefix of every key. Letters, digits and dashes. */
  readonly run: string;
  /** Connection strings, such as `postgres://app:...@10.1.0.2:5400/orders`: of edges or gates. Client n begins with the nth. */
  readonly places: readonly string[];
  readonly clients: number;
  readonly seed: number;
  /** Nothing new is asked for after so long, or after so many operations. */
  readonly forMs: SpanMs;
  readonly operationsMax: number;
  /** Longest pause of a client between two operations; the mean is half of it. */
  readonly thinkMs: SpanMs;
  /** Longest wait for the tables at the beginning, and again at the end for a look at every object. */
  readonly settleMs: SpanMs;
  /** Written while it runs; null: kept in memory only. */
  readonly historyFile: string | null;
  /** Ends it early; the last look is taken all the same. */
  readonly signal: AbortSignal;
}

export const workloadDefaults = {
  clients: 8,
  seed: 1,
  forMs: 10_000,
  /** Some 200 bytes each on disk; judged in some 10 s. */
  operationsMax: 50_000,
  thinkMs: 20,
  settleMs: 60_000,
  connectTimeoutMs: 1_000,
  // Longer than a failover with `balanced`: what the gate holds is answered in the end, or cut.
  statementTimeoutMs: 10_000,
  historyFile: null,
} satisfies Partial<WorkloadOptions>;

export interface WorkloadResult {
  readonly history: History;
  /** Why it proves less than it should, such as objects that could not be looked at in the end; empty: nothing. */
  readonly problems: readonly string[];
}

/** Pause before another session: else a refused connection would spin. */
const reconnectPauseMs = 25;

export async function runWorkload(
  request: Pick<WorkloadOptions, "run" | "places" | "signal"> & Partial<WorkloadOptions>,
): Promise<WorkloadResult> {
  const options = { ...workloadDefaults, ...request };
  await prepareTables(options);
  const opening = Array.from({ length: accounts }, () => openingBalance);
  const recorder = new HistoryRecorder(options.historyFile, {
    run: options.run,
    bank: { opening, mayOverdraw: false },
  });
  const run: Run = { options, recorder, choice: new Choice(options.run, options.seed), sent: 0, until: 0 };
  run.until = monotonicMs() + options.forMs;
  const clients = Array.from({ length: options.clients }, (_, number) => new Client(number, run));
  await Promise.all(clients.map((client) => client.work()));
  const unseen = await new Client(options.clients, run).lookAtAll(monotonicMs() + options.settleMs);
  const history = await recorder.end();
  const problems = unseen.length === 0 ? [] : [`could not look at ${unseen.join(", ")} in the end`];
  return { history, problems };
}

interface Run {
  readonly options: WorkloadOptions;
  readonly recorder: HistoryRecorder;
  readonly choice: Choice;
  sent: number;
  until: number;
}

class Client {
  readonly #number: number;
  readonly #run: Run;
  #place: number;
  #session: Session | null = null;

  constructor(number: number, run: Run) {
    this.#number = number;
    this.#run = run;
    this.#place = number;
  }

  async work(): Promise<void> {
    const { options, choice } = this.#run;
    const isOver = () =>
      options.signal.aborted || this.#run.until <= monotonicMs() || options.operationsMax <= this.#run.sent;
    while (!isOver()) {
      const session = await this.#connect();
      if (isOver()) break;
      if (session === null) continue;
      const ask = choice.next();
      const outcome = await this.#ask(session, ask);
      if (outcome.kind === "ok") choice.learn(ask, outcome.told);
      await sleep(choice.fraction() * options.thinkMs);
    }
    this.#end();
  }

  /** One answered look at each object, until the deadline; returns what is left. */
  async lookAtAll(deadline: number): Promise<readonly string[]> {
    const left = looks(this.#run.choice.keys);
    while (left.length > 0 && monotonicMs() < deadline) {
      const session = await this.#connect();
      const ask = left[0];
      if (session === null || ask === undefined) continue;
      if ((await this.#ask(session, ask)).kind === "ok") left.shift();
    }
    this.#end();
    return left.map(({ key }) => key);
  }

  async #ask(session: Session, ask: Ask): Promise<Outcome> {
    const { recorder } = this.#run;
    const number = this.#run.sent++;
    recorder.take({ kind: "sent", number, client: this.#number, at: monotonicMs(), ask });
    const outcome = await session.perform(ask);
    recorder.take({ kind: "answered", number, at: monotonicMs(), outcome });
    // It may lead to a member that is no longer the writer.
    if (outcome.kind !== "ok") this.#end();
    return outcome;
  }

  /** null: not now. The next try goes to the next place. */
  async #connect(): Promise<Session | null> {
    if (this.#session !== null) return this.#session;
    const { places } = this.#run.options;
    const place = places[this.#place++ % places.length] ?? "";
    try {
      this.#session = await Session.open(place, this.#run.options);
      this.#place--;
    } catch {
      await sleep(reconnectPauseMs);
    }
    return this.#session;
  }

  #end(): void {
    this.#session?.end();
    this.#session = null;
  }
}

function looks(keys: Readonly<Record<ObjectKind, readonly string[]>>): Ask[] {
  return [
    ...keys.register.map((key): Ask => ({ kind: "read", key })),
    ...keys.list.map((key): Ask => ({ kind: "list", key })),
    ...keys.bank.map((key): Ask => ({ kind: "balances", key })),
  ];
}

/** Rejects when no place lets it make the tables in time. */
async function prepareTables(options: WorkloadOptions): Promise<void> {
  const deadline = monotonicMs() + options.settleMs;
  for (let attempt = 0; ; attempt++) {
    const place = options.places[attempt % options.places.length] ?? "";
    let session: Session | null = null;
    try {
      session = await Session.open(place, options);
      await session.prepare({
        text: `DO $do$ BEGIN PERFORM pg_advisory_xact_lock(hashtext('history-schema')); ${schema}; END $do$`,
        values: [],
      });
      return;
    } catch (error) {
      options.signal.throwIfAborted();
      if (deadline < monotonicMs())
        throw new Error(
          `no tables for ${options.run} within ${options.settleMs} ms: ${(error as Error).message}`,
          { cause: error },
        );
      await sleep(reconnectPauseMs);
    } finally {
      session?.end();
    }
  }
}
