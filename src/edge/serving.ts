/** What serves people in one process: HTTP and TCP listeners, and everything that a request meets on its way. */
import type { RoutingTable } from "../core/model/routing.ts";
import type { Address } from "../core/model/topology.ts";
import { concurrencyRules } from "../core/traffic/concurrency.ts";
import { type Part, partOf, whole } from "../core/traffic/part.ts";
import { afterWriterChanged } from "../core/traffic/return.ts";
import { AccessLog } from "./access-log.ts";
import { Certificates } from "./certificates.ts";
import type { EdgeConfig } from "./config.ts";
import { HoldRoom } from "./hold-room.ts";
import { HttpProxy } from "./http-proxy.ts";
import { EdgeLevels } from "./levels.ts";
import type { LineTaker } from "./line-sink.ts";
import type { Metrics } from "./metrics.ts";
import { monotonicNow } from "./monotonic.ts";
import { ServicePlans } from "./service-plan.ts";
import type { ServingState } from "./serving-state.ts";
import { StaleStore, staleBytesMax } from "./stale-store.ts";
import { TcpProxy, tcpSessionsMax } from "./tcp-proxy.ts";
import { TrafficCounters } from "./traffic-counters.ts";
import { WebSockets } from "./websockets.ts";
import { WriterWatch } from "./writer-watch.ts";

export interface ServingAddresses {
  readonly http: Address;
  readonly https?: Address;
  readonly tcp: Readonly<Record<string, Address>>;
}

export interface ServingOptions {
  readonly config: Omit<EdgeConfig, "adminToken">;
  readonly metrics: Metrics;
  /** For lines of the access log; null: there is none. */
  readonly lines: LineTaker | null;
  /** Which part of the edge's limits is this process's. */
  readonly part?: Part;
}

export class Serving {
  readonly levels: EdgeLevels;
  readonly #config: ServingOptions["config"];
  readonly #metrics: Metrics;
  readonly #plans: ServicePlans;
  readonly #room: HoldRoom;
  readonly #writers: WriterWatch;
  readonly #webSockets: WebSockets;
  readonly #proxy: HttpProxy;
  readonly #certificates: Certificates | null;
  readonly #tcp: readonly TcpProxy[];
  readonly #epochs = new Map<string, number>();
  #table: RoutingTable | null = null;

  constructor({ config, metrics, lines, part = whole }: ServingOptions) {
    this.#config = config;
    this.#metrics = metrics;
    const limits = { ...concurrencyRules, ...config.concurrency };
    const plans = new ServicePlans(config.region, metrics, config.drainMs, limits, part);
    const room = new HoldRoom(metrics, part);
    const wakeAll = () => room.wakeAll();
    const writers = new WriterWatch(() => this.#table, wakeAll);
    const stale = new StaleStore(config.name, config.cache, partOf(staleBytesMax, part));
    const levels = new EdgeLevels(() => plans.all, metrics, wakeAll);
    const webSockets = new WebSockets(config.region, metrics, {
      quietForMs: config.limits.quietForMs,
      webSocketsMax: partOf(config.webSocketsMax, part),
      drainMs: config.drainMs,
    });
    const counters = new TrafficCounters(metrics);
    const world = { edge: config.name, room, writers, counters, stale, levels, webSockets };
    const connectionsMax = partOf(config.connectionsMax, part);
    const proxy = new HttpProxy(plans, world, { ...config, connectionsMax });
    this.#certificates = config.tls ? new Certificates(config.tls, metrics) : null;
    const { accessLog } = config;
    if (accessLog && lines) proxy.log = new AccessLog(accessLog.query, proxy.networks, lines);
    metrics.gauge("holdfast_edge_stale_bytes", {}, () => stale.bytes);
    metrics.gauge("holdfast_edge_connections", {}, () => proxy.connections);
    const holdMaxMs = config.tcpHoldMaxMs;
    const sessionsMax = partOf(tcpSessionsMax, part);
    this.#tcp = Object.entries(config.tcp).map(
      ([store, listen]) => new TcpProxy({ store, listen, holdMaxMs, sessionsMax }, metrics),
    );
    this.#plans = plans;
    this.#room = room;
    this.#writers = writers;
    this.levels = levels;
    this.#webSockets = webSockets;
    this.#proxy = proxy;
  }

  follow(table: RoutingTable): void {
    this.#table = table;
    const { region, drainMs, graceMs } = this.#config;
    for (const listener of this.#tcp) listener.follow(table);
    this.#plans.follow(table);
    // Later than upstreams: what is taken away there is repeated elsewhere, and must still find its client.
    this.#proxy.follow(table.regions[region], drainMs + graceMs);
    const epochs = this.#epochs;
    const changed = Object.keys(table.stores).filter(
      (name) => (epochs.get(name) ?? table.stores[name]?.epoch) !== table.stores[name]?.epoch,
    );
    for (const [name, { epoch }] of Object.entries(table.stores)) epochs.set(name, epoch);
    for (const plan of changed.length === 0 ? [] : this.#plans.all)
      if (plan.route.dataStores.some((name) => changed.includes(name)))
        plan.returning = afterWriterChanged(monotonicNow());
    this.#webSockets.follow(table, changed);
    this.#writers.tableChanged();
    this.#room.wakeAll();
  }

  /** One after the other: processes that share ports know them by their order. */
  async listen(): Promise<ServingAddresses> {
    const { tls } = this.#config;
    const http = await this.#proxy.listen(this.#config.http);
    const certificates = this.#certificates;
    const https =
      tls && certificates ? await this.#proxy.listenTls(tls.listen, certificates, this.#metrics) : null;
    const tcp: Record<string, Address> = {};
    for (const listener of this.#tcp) tcp[listener.config.store] = await listener.listen();
    return { http, ...(https && { https }), tcp };
  }

  get state(): ServingState {
    return {
      held: this.#room.held,
      writersFailing: this.#writers.failing,
      services: [...this.#plans.all].map((plan) => ({
        name: plan.name,
        active: plan.active,
        repeating: plan.repeating,
        level: this.levels.of(plan).stand.level,
        automatic: this.levels.of(plan).automatic,
      })),
      upstreams: [...this.#plans.upstreams].map(({ url, region, isEjected, inFlight, limit }) => ({
        url,
        region,
        ejected: isEjected,
        inFlight,
        limit,
      })),
      stores: this.#tcp.map((listener) => ({
        name: listener.config.store,
        sessions: listener.sessions,
        epoch: listener.route?.epoch ?? 0,
        writer: listener.route?.writer?.member ?? null,
      })),
      certificates: this.#certificates?.state ?? [],
    };
  }

  async reload(): Promise<void> {
    await this.#certificates?.reload();
  }

  async close(): Promise<void> {
    this.#webSockets.close();
    await this.#proxy.close(this.#config.graceMs);
    this.#certificates?.close();
    await Promise.all(this.#tcp.map((listener) => listener.close()));
    this.#writers.close();
    this.levels.close();
    this.#plans.close();
  }
}
