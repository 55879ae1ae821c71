/**
 * The counters of the HTTP path, looked up once and kept at hand: rate, errors and duration of each service, region and
 * class, rate and errors of each generation too.
 *
 * - C1. What is counted never goes down: of the generations only the newest are told apart, what was counted under older
 *   ones goes on under `older`.
 * - C2. What comes from outside is no label, and there is an end to the number of series: beyond it a class is `beyond`.
 */
import type { TryEnd } from "../core/traffic/repeat.ts";
import type { Counter, Histogram, Metrics } from "./metrics.ts";

/** The newest, and the one before: enough to see what a new table does. */
const generationsKept = 2;
/** Of service, region and class: at some 30 lines each these are 150,000 lines, which Prometheus still reads. */
const rowsMax = 5000;

export interface Asked {
  readonly service: string;
  /** Whose answer it is; `none`: our own. */
  readonly region: string;
  readonly class: string;
  readonly generation: number;
}

export interface Answered {
  readonly status: number;
  /** Of our own refusal; empty: somebody answered. */
  readonly code: string;
  readonly seconds: number;
  /** Later than its class wants it. */
  readonly isLate: boolean;
}

interface Row {
  readonly labels: Readonly<Record<"service" | "region" | "class", string>>;
  readonly seconds: Histogram;
  /** The newest first. */
  readonly generations: Counted[];
}

/** What was counted under one generation. */
interface Counted {
  readonly generation: number;
  readonly statuses: readonly Counter[];
  readonly errors: Map<string, Counter>;
}

const requests = "holdfast_edge_requests_total";
const errors = "holdfast_edge_errors_total";
const statuses = [1, 2, 3, 4, 5].map((first) => `${first}xx`);

export class TrafficCounters {
  readonly #metrics: Metrics;
  readonly #rows = new Map<string, Row>();

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  answered(asked: Asked, { status, code, seconds, isLate }: Answered): void {
    const row = this.#row(asked);
    const counted = this.#under(row, asked.generation);
    counted.statuses[Math.floor(status / 100) - 1]?.add();
    row.seconds.observe(seconds);
    if (500 <= status) this.#error(row, counted, code === "" ? nameOf(status) : code).add();
    if (isLate) this.#metrics.count("holdfast_edge_late_total", row.labels);
  }

  #row({ service, region, class: className }: Asked): Row {
    const key = `${service} ${region} ${className}`;
    const found = this.#rows.get(key);
    if (found) return found;
    if (rowsMax <= this.#rows.size && className !== "beyond")
      return this.#row({ service, region, class: "beyond", generation: 0 });
    const labels = { service, region, class: className };
    const made = {
      labels,
      seconds: this.#metrics.histogram("holdfast_edge_request_seconds", labels),
      generations: [],
    };
    this.#rows.set(key, made);
    return made;
  }

  #under(row: Row, generation: number): Counted {
    const [newest] = row.generations;
    if (newest?.generation === generation) return newest;
    const found = row.generations.find((counted) => counted.generation === generation);
    if (found) return found;
    const labels = { ...row.labels, generation };
    const made: Counted = {
      generation,
      statuses: statuses.map((status) => this.#metrics.counter(requests, { ...labels, status })),
      errors: new Map(),
    };
    row.generations.unshift(made);
    row.generations.sort((a, b) => b.generation - a.generation);
    for (const old of row.generations.splice(generationsKept)) this.#fold(row, old);
    return made;
  }

  /** C1. */
  #fold({ labels }: Row, old: Counted): void {
    const from = { ...labels, generation: old.generation };
    const to = { ...labels, generation: "older" };
    for (const [index, counter] of old.statuses.entries()) {
      const status = statuses[index] as string;
      this.#metrics.counter(requests, { ...to, status }).add(counter.value);
      this.#metrics.forget(requests, { ...from, status });
    }
    for (const [code, counter] of old.errors) {
      this.#metrics.counter(errors, { ...to, code }).add(counter.value);
      this.#metrics.forget(errors, { ...from, code });
    }
  }

  #error({ labels }: Row, counted: Counted, code: string): Counter {
    const found = counted.errors.get(code);
    if (found) return found;
    const made = this.#metrics.counter(errors, { ...labels, generation: counted.generation, code });
    counted.errors.set(code, made);
    return made;
  }

  /** No request, or none that is passed on. */
  refused(status: number): void {
    this.#metrics.count("holdfast_edge_refused_total", { status });
  }

  /** Only tries that did not answer the client. */
  tried(region: string, end: TryEnd): void {
    const how = end.kind === "answered" ? `status-${end.status}` : end.kind;
    this.#metrics.count("holdfast_edge_tries_total", { region, end: how });
  }

  repeated(because: string): void {
    this.#metrics.count("holdfast_edge_repeats_total", { because });
  }

  hedged(): void {
    this.#metrics.count("holdfast_edge_hedges_total");
  }

  held(because: string): void {
    this.#metrics.count("holdfast_edge_held_total", { because });
  }

  servedStale(because: string): void {
    this.#metrics.count("holdfast_edge_stale_total", { because });
  }

  reused(): void {
    this.#metrics.count("holdfast_edge_reused_total");
  }

  holdRefused(): void {
    this.#metrics.count("holdfast_edge_hold_refused_total");
  }
}

/** C2: a service may answer anything. */
function nameOf(status: number): string {
  return status <= 504 ? `status-${status}` : "status-other";
}
