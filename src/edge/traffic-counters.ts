/** The counters of the HTTP path, looked up once and kept at hand. */
import type { TryEnd } from "../core/traffic/repeat.ts";
import type { Counter, Histogram, Metrics } from "./metrics.ts";

export class TrafficCounters {
  readonly #metrics: Metrics;
  readonly #answers = new Map<string, { readonly count: Counter[]; readonly seconds: Histogram }>();

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  answered(service: string, region: string, status: number, seconds: number): void {
    const key = `${service} ${region}`;
    let series = this.#answers.get(key);
    if (!series) {
      series = {
        count: [1, 2, 3, 4, 5].map((first) =>
          this.#metrics.counter("holdfast_edge_requests_total", { service, region, status: `${first}xx` }),
        ),
        seconds: this.#metrics.histogram("holdfast_edge_request_seconds", { service, region }),
      };
      this.#answers.set(key, series);
    }
    series.count[Math.floor(status / 100) - 1]?.add();
    series.seconds.observe(seconds);
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
