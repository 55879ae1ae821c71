/**
 * The control store of one machine: the port `store` over a SQLite file that several processes share.
 *
 * The caller's thread only sends and receives messages (see `thread.ts`): no disk, no lock and no other process can
 * make it stand still. Deadlines are kept here, by the caller's signal.
 */
import { type FSWatcher, watch as watchFolder } from "node:fs";
import { basename, dirname } from "node:path";
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import type { Revision } from "../../core/model/id.ts";
import {
  type CasOutcome,
  type Store,
  type StoredRecord,
  StoreError,
  type WatchEvent,
  whyNotStorable,
} from "../../ports/store.ts";
import {
  type Answer,
  type Bell,
  type Failure,
  type FromThread,
  giveUp,
  newBell,
  newTicket,
  type Request,
  ring,
  setRung,
  type ThreadOptions,
  type ToThread,
} from "./protocol.ts";
import { Subscription } from "./subscription.ts";

export interface SqliteStoreOptions {
  /** Of the file; its folder exists. Made if it is not there. */
  readonly path: string;
  /** Name of the topology that the file belongs to: written at its making, compared at each opening. */
  readonly topology: string;
  /** How long `openSqliteStore` waits for other processes' locks. Default 5,000. */
  readonly openTimeoutMs?: number;
  /**
   * Revisions in the change log, 1 or more. A watch that is further behind begins with a snapshot. Default 10,000: more than 10
   * minutes of 5 agents that write three times a second. More costs disk: a revision takes what its value takes.
   */
  readonly keepRevisions?: number;
}

/** Calls that wait at once, at most: an agent has a dozen. */
const PENDING_MAX = 1000;
/** Silence for this long and the watch says `lost`; the thread gives a sign of life every 400 ms. */
const SILENCE_MAX_MS = 1000;
const SILENCE_CHECK_MS = 100;
/** Ends the thread by force when it does not come back from the disk. */
const CLOSE_TIMEOUT_MS = 2000;
/** Before a thread that died is started anew. */
const RESTART_MS = 250;

/** Rejects with `StoreError` when the file cannot be opened, or is not this topology's. */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const store = new SqliteStore(options);
  const failure = await store.opened;
  if (failure === null) return store;
  throw toError(failure, "begin", options.path);
}

interface Pending {
  readonly resolve: (answer: Answer) => void;
}

class SqliteStore implements Store {
  /** Resolves with why it cannot be opened, or null. */
  readonly opened: Promise<Failure | null>;
  readonly #options: SqliteStoreOptions;
  readonly #pending = new Map<number, Pending>();
  readonly #subscriptions = new Set<Subscription>();
  readonly #ids = new Map<number, Subscription>();
  readonly #closed = Promise.withResolvers<void>();
  #lastId = 0;
  #worker!: Worker;
  #port!: MessagePort;
  #bell!: Bell;
  #everOpened = false;
  #closing = false;
  #watchdog: NodeJS.Timeout | null = null;
  #watchdogAt = 0;
  #kernel: FSWatcher | null = null;
  #restart: NodeJS.Timeout | null = null;

  constructor(options: SqliteStoreOptions) {
    this.#options = options;
    this.opened = new Promise((resolve) => this.#start(true, resolve));
  }

  async get(key: string, signal: AbortSignal): Promise<StoredRecord | null> {
    const answer = await this.#ask({ kind: "get", key }, signal);
    if (answer.kind === "record") return answer.record;
    throw this.#toError(answer, `read ${JSON.stringify(key)}`);
  }

  async list(
    prefix: string,
    signal: AbortSignal,
  ): Promise<{ readonly records: readonly StoredRecord[]; readonly revision: Revision }> {
    const answer = await this.#ask({ kind: "list", prefix }, signal);
    if (answer.kind === "records") return { records: answer.records, revision: answer.revision };
    throw this.#toError(answer, `list ${JSON.stringify(prefix)}`);
  }

  async compareAndSwap(
    key: string,
    expect: Revision,
    value: string | null,
    signal: AbortSignal,
    orValue?: string,
  ): Promise<CasOutcome> {
    const answer = await this.#ask({ kind: "compare-and-swap", key, expect, value, orValue }, signal);
    if (answer.kind === "swap") return answer.outcome;
    const { message } = this.#toError(answer, `write ${JSON.stringify(key)}`);
    const certain = answer.kind === "failed" && answer.certain;
    return { kind: "unknown", because: `${message} (${certain ? "certainly not" : "perhaps"} written)` };
  }

  watch(prefix: string, from: Revision, signal: AbortSignal): AsyncIterable<WatchEvent> {
    const now = performance.now();
    const ended = this.#closing ? AbortSignal.abort() : signal;
    return new Subscription(this.#feed, prefix, from, ended, now);
  }

  close(): Promise<void> {
    if (this.#closing) return this.#closed.promise;
    this.#closing = true;
    for (const subscription of this.#subscriptions) subscription.end();
    this.#tell({ kind: "close" });
    if (this.#restart !== null) {
      clearTimeout(this.#restart);
      this.#ended();
      return this.#closed.promise;
    }
    const force = setTimeout(() => void this.#worker.terminate(), CLOSE_TIMEOUT_MS);
    void this.#closed.promise.then(() => clearTimeout(force));
    return this.#closed.promise;
  }

  #start(mayCreate: boolean, onOpened: (failure: Failure | null) => void): void {
    const { port1, port2 } = new MessageChannel();
    const bell = newBell();
    const options: ThreadOptions = {
      path: this.#options.path,
      topology: this.#options.topology,
      openTimeoutMs: this.#options.openTimeoutMs ?? 5000,
      keepRevisions: this.#options.keepRevisions ?? 10_000,
      bell,
      mayCreate,
    };
    this.#bell = bell;
    this.#port = port1;
    const receive = (message: FromThread) => {
      if (message.kind === "opened") {
        this.#everOpened = true;
        this.#listenToKernel(bell);
        onOpened(null);
      } else if (message.kind === "refused") onOpened(message.failure);
      else this.#receive(message);
    };
    port1.on("message", receive);
    this.#worker = new Worker(new URL("./thread.ts", import.meta.url), {
      name: "holdfast-store",
      workerData: { options, port: port2 },
      transferList: [port2],
      execArgv: [],
    });
    let because = "the thread that holds the file ended";
    this.#worker.on("error", (error) => {
      because = `the thread that holds the file ended: ${error.message}`;
    });
    this.#worker.on("exit", () => {
      // Its last words may still be on their way.
      for (;;) {
        const last = receiveMessageOnPort(port1) as { message: FromThread } | undefined;
        if (last === undefined) break;
        receive(last.message);
      }
      port1.close();
      const failure = ended(because);
      onOpened(failure);
      this.#threadEnded(failure);
    });
  }

  /**
   * inotify tells at once when a journal beside the file was emptied, which is the moment of a commit: 1 ms instead of
   * a poll of 5, and an idle agent sleeps. Where it fails or does not exist, the thread polls.
   */
  #listenToKernel(bell: Bell): void {
    this.#kernel?.close();
    this.#kernel = null;
    if (process.platform !== "linux") return;
    const name = basename(this.#options.path);
    try {
      const kernel = watchFolder(dirname(this.#options.path), (_, changed) => {
        if (changed?.startsWith(name)) ring(bell);
      });
      kernel.on("error", () => {
        setRung(bell, false);
        kernel.close();
      });
      this.#kernel = kernel;
      setRung(bell, true);
    } catch {
      // No watch left to be had (fs.inotify.max_user_watches): polling does the same, a little later.
    }
  }

  /** Answers who waits, and begins anew: the file is as it was, only the thread is gone. */
  #threadEnded(failure: Failure): void {
    for (const { resolve } of this.#pending.values()) resolve({ kind: "failed", failure, certain: false });
    this.#pending.clear();
    this.#ids.clear();
    if (this.#closing || !this.#everOpened) {
      this.#ended();
      return;
    }
    for (const subscription of this.#subscriptions) subscription.lose(failure.problem);
    this.#restart = setTimeout(() => {
      this.#restart = null;
      this.#start(false, () => {});
      for (const subscription of this.#subscriptions)
        if (subscription.isListening) subscription.subscribe(performance.now());
    }, RESTART_MS);
  }

  #ended(): void {
    this.#closing = true;
    this.#kernel?.close();
    if (this.#watchdog !== null) clearInterval(this.#watchdog);
    this.#closed.resolve();
  }

  #receive(message: Exclude<FromThread, { kind: "opened" | "refused" }>): void {
    const now = performance.now();
    switch (message.kind) {
      case "answer":
        this.#pending.get(message.id)?.resolve(message.answer);
        return;
      case "changes":
        this.#ids
          .get(message.id)
          ?.hear({ kind: "changes", changes: message.changes, revision: message.revision }, now);
        return;
      case "snapshot":
        this.#ids
          .get(message.id)
          ?.hear({ kind: "snapshot", records: message.records, revision: message.revision }, now);
        return;
      case "progress":
        for (const [id, revision] of message.upTo)
          this.#ids.get(id)?.hear({ kind: "progress", revision }, now);
        return;
      case "trouble":
        for (const id of message.ids)
          this.#ids.get(id)?.lose(toError(message.failure, "watch", this.#options.path).message);
        return;
      case "closed":
        return;
      default:
        message satisfies never;
    }
  }

  readonly #feed = {
    subscribe: (subscription: Subscription, from: Revision): number => {
      this.#lastId += 1;
      const id = this.#lastId;
      this.#ids.set(id, subscription);
      this.#subscriptions.add(subscription);
      this.#tell({ kind: "subscribe", id, prefix: subscription.prefix, from });
      this.#watch();
      return id;
    },
    unsubscribe: (id: number): void => {
      this.#ids.delete(id);
      this.#tell({ kind: "unsubscribe", id });
    },
    forget: (subscription: Subscription): void => {
      this.#subscriptions.delete(subscription);
      if (0 < this.#subscriptions.size || this.#watchdog === null) return;
      clearInterval(this.#watchdog);
      this.#watchdog = null;
    },
  };

  /** The thread itself may hang in the disk: its silence is measured here. */
  #watch(): void {
    if (this.#watchdog !== null) return;
    this.#watchdogAt = performance.now();
    this.#watchdog = setInterval(() => {
      const now = performance.now();
      // Time in which this thread stood still (a stopped process) is no silence of the store.
      const asleepMs = Math.max(0, now - this.#watchdogAt - 2 * SILENCE_CHECK_MS);
      this.#watchdogAt = now;
      for (const subscription of this.#subscriptions) {
        if (!subscription.isListening) continue;
        subscription.heardAt += asleepMs;
        if (SILENCE_MAX_MS < now - subscription.heardAt)
          subscription.lose(`control store ${this.#options.path} has not answered for ${SILENCE_MAX_MS} ms`);
      }
    }, SILENCE_CHECK_MS);
  }

  /** Never rejects; `failed` with a timeout when the signal aborts first. */
  #ask(request: Request, signal: AbortSignal): Promise<Answer> {
    const refusal = this.#refuse(request, signal);
    if (refusal !== null) return Promise.resolve({ kind: "failed", failure: refusal, certain: true });
    this.#lastId += 1;
    const id = this.#lastId;
    const ticket = newTicket();
    return new Promise((resolve) => {
      const settle = (answer: Answer) => {
        signal.removeEventListener("abort", onAbort);
        this.#pending.delete(id);
        resolve(answer);
      };
      const onAbort = () =>
        settle({
          kind: "failed",
          failure: timedOut,
          certain: giveUp(ticket) || request.kind !== "compare-and-swap",
        });
      signal.addEventListener("abort", onAbort, { once: true });
      this.#pending.set(id, { resolve: settle });
      this.#tell({ kind: "request", id, request, ticket });
    });
  }

  #refuse(request: Request, signal: AbortSignal): Failure | null {
    if (this.#closing) return closed;
    if (signal.aborted) return timedOut;
    if (this.#restart !== null) return ended("the thread that holds the file is being started anew");
    if (PENDING_MAX <= this.#pending.size) return overloaded;
    const problem = whyRefused(request);
    return problem === null ? null : refused(problem);
  }

  #tell(message: ToThread): void {
    this.#port.postMessage(message);
    ring(this.#bell);
  }

  #toError(answer: Answer, attempt: string): StoreError {
    const failure = answer.kind === "failed" ? answer.failure : ended("it answered something else");
    return toError(failure, attempt, this.#options.path);
  }
}

function whyRefused(request: Request): string | null {
  // The empty prefix is every key's.
  if (request.kind === "list") return request.prefix === "" ? null : whyNotStorable(request.prefix, null);
  return whyNotStorable(request.key, request.kind === "get" ? null : request.value);
}

function toError(failure: Failure, attempt: string, path: string): StoreError {
  return new StoreError(
    failure.code,
    failure.retryable,
    `cannot ${attempt} in control store ${path}: ${failure.problem}; ${failure.advice}`,
  );
}

const timedOut: Failure = {
  code: "HOLDFAST_STORE_TIMEOUT",
  retryable: true,
  problem: "no answer before the deadline",
  advice: "see which process holds the file locked (fuser PATH) and whether its disk is slow",
};

const closed: Failure = {
  code: "HOLDFAST_STORE_CLOSED",
  retryable: false,
  problem: "it was closed",
  advice: "open it again",
};

const overloaded: Failure = {
  code: "HOLDFAST_STORE_OVERLOADED",
  retryable: true,
  problem: `${PENDING_MAX} calls are waiting already`,
  advice: "see why it does not answer before asking more of it",
};

function refused(problem: string): Failure {
  return {
    code: "HOLDFAST_STORE_REFUSED",
    retryable: false,
    problem,
    advice: "this is a bug of the caller: report it with what the agent logged",
  };
}

function ended(problem: string): Failure {
  return { code: "HOLDFAST_STORE_FAILED", retryable: true, problem, advice: "it is started anew by itself" };
}
