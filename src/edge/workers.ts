/**
 * Several processes that serve people, and the first, which serves nobody: it holds the table, the gates and the admin
 * address, and hands everything on (ADR 0016).
 *
 * - M1. A table is confirmed when every worker goes by it. One that does not say so within `goesByWithinMs` is named, and
 *   ended after `endsAfterMs`: then nobody goes by the old table, and another, which gets the newest, takes its place.
 * - M2. A worker listens only after it goes by the newest table that there was when it could first be spoken to.
 * - M3. One that ends is started again after a pause that grows.
 * - M4. One that says nothing for `silentLooksMax` looks is ended: its clients wait for nobody. Looks are counted and not time,
 *   so that a pause of the whole machine ends nobody.
 * - M5. Ports are the edge's and not a worker's: the kernel hands each connection to one that is waiting for one.
 */
import cluster from "node:cluster";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import type { RoutingTable } from "../core/model/routing.ts";
import type { Address } from "../core/model/topology.ts";
import type { EdgeConfig } from "./config.ts";
import { ConfigError } from "./config-error.ts";
import type { Front } from "./front.ts";
import type { LineTaker } from "./line-sink.ts";
import { ListenError, listen } from "./listen.ts";
import { type Metrics, metricsText } from "./metrics.ts";
import { MetricsSum } from "./metrics-sum.ts";
import { monotonicNow } from "./monotonic.ts";
import type { ServingAddresses } from "./serving.ts";
import { type ServingState, together } from "./serving-state.ts";
import { type WorkerOwner, WorkerProcess } from "./worker-process.ts";
import type { FromWorker, OrderedTable, WorkerFailure } from "./worker-wire.ts";

const program = fileURLToPath(new URL("./worker.ts", import.meta.url));
const code = "HOLDFAST_EDGE_WORKER";

/** M1. Half of what an agent waits for an edge. */
const goesByWithinMs = 1000;
/** M1. Shorter: a starved machine loses processes that would have come back; longer: a failover waits for one that will not. */
const endsAfterMs = 3000;
/** For its metrics and state; then what it told last counts. */
const toldWithinMs = 500;
const reloadedWithinMs = 5000;
/** M4. */
const lookEveryMs = 1000;
const silentLooksMax = 10;
/** M3. */
const firstPauseMs = 100;
const longestPauseMs = 10_000;
/** One that lived this long is started again at once: its end is no series. */
const livedLongMs = 30_000;
/** Beyond the grace that its clients have, and the last lines of the log. */
const endsWithinMs = 2000;

export interface WorkersOptions {
  readonly config: Omit<EdgeConfig, "adminToken">;
  readonly processes: number;
  /** Of the first process. */
  readonly metrics: Metrics;
  /** Writes the access log for all of them. */
  readonly lines: LineTaker | null;
}

export class Workers implements Front, WorkerOwner {
  readonly #processes: number;
  readonly #lines: LineTaker | null;
  readonly #metrics: Metrics;
  readonly #sum = new MetricsSum();
  readonly #living = new Map<number, WorkerProcess>();
  /** Ends in a row of each place. */
  readonly #failures: number[];
  readonly #restarts = new Map<number, NodeJS.Timeout>();
  readonly #waiters = new Set<() => void>();
  #config: WorkersOptions["config"];
  /** By their order: those that somebody may still go by. */
  readonly #tables = new Map<number, RoutingTable>();
  #table: OrderedTable | null = null;
  #starting: PromiseWithResolvers<ServingAddresses> | null = null;
  #looking: NodeJS.Timeout | null = null;
  #isEnding = false;

  constructor({ config, processes, metrics, lines }: WorkersOptions) {
    this.#config = config;
    this.#processes = processes;
    this.#metrics = metrics;
    this.#lines = lines;
    this.#failures = Array.from({ length: processes }, () => 0);
    metrics.gauge("holdfast_edge_processes", {}, () => this.serving.length);
    metrics.counter("holdfast_edge_process_restarts_total");
  }

  /** Those that listen. */
  get serving(): readonly number[] {
    return [...this.#living.values()].filter(({ isListening }) => isListening).map(({ pid }) => pid);
  }

  /** Resolves when all of them listen. Rejects, with none left, when one cannot begin. */
  async listen(): Promise<ServingAddresses> {
    this.#config = await withPorts(this.#config);
    // M5. Handing connections out one by one would make the first process part of every one.
    cluster.schedulingPolicy = cluster.SCHED_NONE;
    cluster.setupPrimary({ exec: program, args: [], serialization: "advanced" });
    this.#looking = setInterval(() => this.#look(), lookEveryMs);
    this.#looking.unref();
    this.#starting = Promise.withResolvers();
    for (let index = 0; index < this.#processes; index++) this.#start(index);
    try {
      return await this.#starting.promise;
    } finally {
      this.#starting = null;
    }
  }

  follow(table: RoutingTable, bytes: Uint8Array): void {
    const order = this.#newest + 1;
    this.#table = { bytes, order };
    this.#tables.set(order, table);
    for (const worker of this.#living.values())
      if (worker.goesBy !== null) worker.say({ kind: "table", bytes, order });
    this.#endIfLagging(order);
  }

  /** M1. */
  async whatLags(): Promise<string> {
    if (this.#lagging().length > 0)
      await new Promise<void>((resolve) => {
        const settle = (): void => {
          clearTimeout(timer);
          this.#waiters.delete(look);
          resolve();
        };
        const look = (): void => {
          if (this.#lagging().length === 0) settle();
        };
        const timer = setTimeout(settle, goesByWithinMs);
        this.#waiters.add(look);
      });
    const lagging = this.#lagging().map((worker) => this.#named(worker));
    return lagging.length === 0
      ? ""
      : `${lagging.join(" and ")} did not say within ${goesByWithinMs} ms that it goes by the newest table`;
  }

  /** The oldest that one of them goes by. */
  get served(): RoutingTable | null {
    const orders = [...this.#living.values()].map(({ goesBy }) => goesBy ?? this.#newest);
    const oldest = Math.min(this.#newest, ...orders);
    for (const order of this.#tables.keys()) if (order < oldest) this.#tables.delete(order);
    return this.#tables.get(oldest) ?? null;
  }

  async state(): Promise<ServingState> {
    await this.#askAll("tell", toldWithinMs);
    return together([...this.#living.values()].flatMap(({ last }) => (last ? [last.state] : [])));
  }

  async metrics(): Promise<string> {
    await this.#askAll("tell", toldWithinMs);
    const living = [...this.#living.values()].flatMap(({ last }) => (last ? [last.metrics] : []));
    return metricsText(this.#sum.of(this.#metrics.read(), living));
  }

  async reload(): Promise<void> {
    await this.#askAll("reload", reloadedWithinMs);
  }

  async close(): Promise<void> {
    this.#isEnding = true;
    if (this.#looking) clearInterval(this.#looking);
    for (const timer of this.#restarts.values()) clearTimeout(timer);
    this.#restarts.clear();
    if (this.#living.size === 0) return;
    for (const worker of this.#living.values()) worker.say({ kind: "close" });
    const hardEnd = setTimeout(() => {
      for (const worker of this.#living.values()) worker.kill();
    }, this.#config.graceMs + endsWithinMs);
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (this.#living.size > 0) return;
        this.#waiters.delete(look);
        resolve();
      };
      this.#waiters.add(look);
    });
    clearTimeout(hardEnd);
  }

  // --- what a worker tells ---

  up(worker: WorkerProcess): void {
    if (this.#isEnding) return worker.kill();
    worker.goesBy = 0;
    const part = { index: worker.index, of: this.#processes };
    // M2. What comes from now on comes behind it.
    worker.say({ kind: "begin", config: this.#config, part, table: this.#table });
    this.#endIfLagging(this.#newest);
  }

  listening(_worker: WorkerProcess, { addresses }: FromWorker & { kind: "listening" }): void {
    if (this.serving.length === this.#processes) this.#starting?.resolve(addresses);
  }

  wentOn(): void {
    for (const look of this.#waiters) look();
  }

  offered(worker: WorkerProcess): void {
    const offered: Record<string, number> = {};
    for (const other of this.#living.values())
      if (other !== worker)
        for (const [service, rps] of Object.entries(other.offered))
          offered[service] = (offered[service] ?? 0) + rps;
    worker.say({ kind: "beside", offered });
  }

  lines(text: string, lines: number): void {
    this.#lines?.push(text, lines);
  }

  ended(worker: WorkerProcess, how: string): void {
    this.#living.delete(worker.index);
    if (worker.last) this.#sum.retire(worker.last.metrics);
    for (const look of this.#waiters) look();
    if (this.#isEnding) return;
    const because = worker.failure === null ? how : `${how}: ${worker.failure.message}`;
    if (this.#starting) {
      this.#isEnding = true;
      this.#starting.reject(
        worker.failure ? errorOf(worker.failure) : new Error(`${this.#named(worker)} ended ${how}`),
      );
      return;
    }
    this.#metrics.count("holdfast_edge_process_restarts_total");
    const { index } = worker;
    const livedMs = monotonicNow() - worker.startedAt;
    const failures = livedMs < livedLongMs ? (this.#failures[index] as number) : 0;
    this.#failures[index] = failures + 1;
    const pauseMs = Math.min(longestPauseMs, firstPauseMs * 2 ** failures);
    console.error(`${code}: ${this.#named(worker)} ended ${because}; another is started in ${pauseMs} ms`);
    const start = (): void => {
      this.#restarts.delete(index);
      this.#start(index);
    };
    this.#restarts.set(index, setTimeout(start, pauseMs));
  }

  #start(index: number): void {
    this.#living.set(index, new WorkerProcess(cluster.fork(), index, monotonicNow(), this));
  }

  get #newest(): number {
    return this.#table?.order ?? 0;
  }

  #lagging(): readonly WorkerProcess[] {
    return [...this.#living.values()].filter((worker) => lags(worker, this.#newest));
  }

  /** M1. Of those that lag now. */
  #endIfLagging(order: number): void {
    const lagging = [...this.#living.values()].filter((worker) => lags(worker, order));
    if (lagging.length === 0) return;
    setTimeout(() => {
      for (const worker of lagging) {
        if (worker.hasEnded || !lags(worker, order)) continue;
        this.#giveUp(worker, `did not say within ${endsAfterMs} ms that it goes by the newest table`);
      }
    }, endsAfterMs).unref();
  }

  /** M4. */
  #look(): void {
    for (const worker of this.#living.values())
      if (worker.lookAtSilence() === silentLooksMax)
        this.#giveUp(worker, `said nothing for ${(silentLooksMax * lookEveryMs) / 1000} s`);
  }

  #giveUp(worker: WorkerProcess, because: string): void {
    console.error(`${code}: ${this.#named(worker)} ${because}, and is ended`);
    worker.kill();
  }

  async #askAll(kind: "tell" | "reload", withinMs: number): Promise<void> {
    await Promise.all([...this.#living.values()].map((worker) => worker.ask(kind, withinMs)));
  }

  #named({ index, pid }: WorkerProcess): string {
    return `process ${index + 1} of ${this.#processes} (pid ${pid})`;
  }
}

/** One that has been told nothing yet serves nobody. */
function lags({ goesBy }: WorkerProcess, order: number): boolean {
  return goesBy !== null && goesBy < order;
}

function errorOf({ name, message }: WorkerFailure): Error {
  if (name === "ListenError") return new ListenError(message);
  return name === "ConfigError" ? new ConfigError(message) : new Error(message);
}

/** A worker that comes later must find the ports of those before: where any free one is asked for, it is chosen here. */
async function withPorts(config: WorkersOptions["config"]): Promise<WorkersOptions["config"]> {
  const held: ReturnType<typeof createServer>[] = [];
  const fix = async (address: Address): Promise<Address> => {
    if (address.port !== 0) return address;
    const server = createServer();
    held.push(server);
    return listen(server, address, "any free port");
  };
  const http = await fix(config.http);
  const tls = config.tls && { ...config.tls, listen: await fix(config.tls.listen) };
  const tcp: Record<string, Address> = {};
  for (const [store, address] of Object.entries(config.tcp)) tcp[store] = await fix(address);
  await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  return { ...config, http, ...(tls && { tls }), tcp };
}
