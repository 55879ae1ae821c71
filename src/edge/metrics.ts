/** Counters, gauges and histograms of an edge, printed as Prometheus text (exposition format 0.0.4). */

export type Labels = Readonly<Record<string, string | number>>;

/** Seconds; from a local hit to the longest hold. */
const bucketsS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** A counter that its owner keeps at hand: on the hot path no name is looked up. */
export class Counter {
  value = 0;

  add(amount = 1): void {
    this.value += amount;
  }
}

export class Histogram {
  readonly counts = new Float64Array(bucketsS.length + 1);
  sum = 0;

  observe(seconds: number): void {
    this.sum += seconds;
    let at = 0;
    while (at < bucketsS.length && (bucketsS[at] as number) < seconds) at++;
    this.counts[at] = (this.counts[at] as number) + 1;
  }
}

interface Family {
  readonly kind: FamilyReading["kind"];
  readonly series: Map<string, Counter | Histogram | (() => number)>;
}

/** What was counted, as values: of one process, or of several. */
export interface HistogramReading {
  readonly counts: readonly number[];
  readonly sum: number;
}

export interface FamilyReading {
  readonly name: string;
  readonly kind: "counter" | "gauge" | "histogram";
  /** By the text of their labels. */
  readonly series: ReadonlyMap<string, number | HistogramReading>;
}

export class Metrics {
  readonly #families = new Map<string, Family>();

  counter(name: string, labels: Labels = {}): Counter {
    return this.#series(name, "counter", labels, () => new Counter()) as Counter;
  }

  histogram(name: string, labels: Labels = {}): Histogram {
    return this.#series(name, "histogram", labels, () => new Histogram()) as Histogram;
  }

  /** Read when it is asked for. */
  gauge(name: string, labels: Labels, read: () => number): void {
    this.#family(name, "gauge").series.set(labelText(labels), read);
  }

  /** For what is rare: looks the series up by name. */
  count(name: string, labels: Labels = {}): void {
    this.counter(name, labels).add();
  }

  forget(name: string, labels: Labels): void {
    this.#families.get(name)?.series.delete(labelText(labels));
  }

  valueOf(name: string, labels: Labels = {}): number {
    const found = this.#families.get(name)?.series.get(labelText(labels));
    if (found instanceof Counter) return found.value;
    return typeof found === "function" ? found() : 0;
  }

  read(): readonly FamilyReading[] {
    return [...this.#families].map(([name, { kind, series }]) => ({
      name,
      kind,
      series: new Map([...series].map(([labels, one]) => [labels, readingOf(one)])),
    }));
  }

  text(): string {
    return metricsText(this.read());
  }

  #series<T>(name: string, kind: Family["kind"], labels: Labels, make: () => T): T {
    const { series } = this.#family(name, kind);
    const key = labelText(labels);
    const found = series.get(key);
    if (found !== undefined) return found as T;
    const made = make();
    series.set(key, made as Counter);
    return made;
  }

  #family(name: string, kind: Family["kind"]): Family {
    let family = this.#families.get(name);
    if (!family) {
      family = { kind, series: new Map() };
      this.#families.set(name, family);
    }
    return family;
  }
}

export function metricsText(families: readonly FamilyReading[]): string {
  const lines: string[] = [];
  for (const { name, kind, series } of families) {
    const help = helpTexts[name];
    if (help !== undefined) lines.push(`# HELP ${name} ${help}`);
    lines.push(`# TYPE ${name} ${kind}`);
    for (const [labels, one] of series) {
      if (typeof one === "number") lines.push(`${name}${braced(labels)} ${one}`);
      else lines.push(...histogramLines(name, labels, one));
    }
  }
  return `${lines.join("\n")}\n`;
}

function readingOf(series: Counter | Histogram | (() => number)): number | HistogramReading {
  if (series instanceof Histogram) return { counts: [...series.counts], sum: series.sum };
  return series instanceof Counter ? series.value : series();
}

const helpTexts: Readonly<Record<string, string>> = {
  holdfast_edge_requests_total:
    "Requests answered, by service, region that answered, class, generation of the table and class of status.",
  holdfast_edge_errors_total: "Answers from 500 on, by what the edge said or which status the service gave.",
  holdfast_edge_late_total: "Answers later than the latency target of their class.",
  holdfast_edge_refused_total: "Requests that could mean two things, or that no proxy passes on.",
  holdfast_edge_connections: "Clients' HTTP connections open now.",
  holdfast_edge_websockets: "WebSockets open now.",
  holdfast_edge_websockets_ended_total: "WebSockets that ended, by who or what ended them.",
  holdfast_edge_tls_failed_total: "TLS handshakes that came to nothing.",
  holdfast_edge_certificate_not_after_seconds:
    "When the certificate that is shown expires, in seconds since 1970.",
  holdfast_edge_certificate_refused:
    "1: what lies on disk cannot be used, the certificate before is shown on.",
  holdfast_edge_certificates_total:
    "Certificates found anew, by what became of them; every refusal is an alarm.",
  holdfast_edge_access_log_dropped_total: "Lines of the access log that nobody took in time.",
  holdfast_edge_request_seconds: "From the head of a request to the end of its response.",
  holdfast_edge_tries_total: "Tries at an upstream, by how they ended.",
  holdfast_edge_repeats_total: "Requests repeated, by why.",
  holdfast_edge_hedges_total: "Second tries beside a first that took longer than usual.",
  holdfast_edge_held: "Requests held now.",
  holdfast_edge_held_total: "Requests that were held, by why.",
  holdfast_edge_hold_refused_total: "Requests that could not be held any longer, or at all.",
  holdfast_edge_level: "Degradation level that the service is at here; 0: everything is on.",
  holdfast_edge_level_automatic: "Level that this edge has taken by itself.",
  holdfast_edge_level_changes_total: "Changes of level by this edge itself.",
  holdfast_edge_offered_per_second: "Requests offered, refused ones too: a mean over some three seconds.",
  holdfast_edge_stale_total: "Old answers served since nobody gave a new one, by why.",
  holdfast_edge_reused_total: "Kept answers served while they were as good as new.",
  holdfast_edge_stale_bytes: "Memory that kept answers take.",
  holdfast_edge_breaker_open: "1: the upstream is ejected.",
  holdfast_edge_processes: "Processes that serve people now; all figures here are theirs together.",
  holdfast_edge_process_restarts_total:
    "Processes that ended by themselves, or were ended since they did not answer.",
  holdfast_edge_tables_total: "Routing tables offered; every refusal is an alarm.",
  holdfast_edge_table_generation: "Generation of the routing table that is served.",
  holdfast_edge_table_epoch: "Epoch of the routing table that is served.",
  holdfast_edge_tcp_sessions: "TCP sessions open now.",
  holdfast_edge_gate_sessions: "Sessions at the gate now.",
  holdfast_edge_gate_epoch: "Highest epoch that the gate has seen.",
  holdfast_edge_gate_orders_total: "Orders to the gate, by outcome.",
};

function histogramLines(name: string, labels: string, histogram: HistogramReading): string[] {
  const lines: string[] = [];
  const comma = labels === "" ? "" : `${labels},`;
  let total = 0;
  for (const [at, bound] of bucketsS.entries()) {
    total += histogram.counts[at] as number;
    lines.push(`${name}_bucket{${comma}le="${bound}"} ${total}`);
  }
  total += histogram.counts[bucketsS.length] as number;
  lines.push(`${name}_bucket{${comma}le="+Inf"} ${total}`);
  lines.push(`${name}_sum${braced(labels)} ${histogram.sum}`, `${name}_count${braced(labels)} ${total}`);
  return lines;
}

function labelText(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${String(value).replace(/[\\"\n]/g, escapeLabel)}"`)
    .join(",");
}

function escapeLabel(character: string): string {
  return character === "\n" ? "\\n" : `\\${character}`;
}

function braced(labels: string): string {
  return labels === "" ? "" : `{${labels}}`;
}
