/** One edge: listeners, table and gates put together, and taken apart in order. */
import type { Address } from "../core/model/topology.ts";
import { concurrencyRules } from "../core/traffic/concurrency.ts";
import { afterWriterChanged } from "../core/traffic/return.ts";
import { AccessLog } from "./access-log.ts";
import { AdminServer } from "./admin.ts";
import { Certificates } from "./certificates.ts";
import type { EdgeConfig } from "./config.ts";
import { ConfigError } from "./config-error.ts";
import { MemberGate } from "./gate.ts";
import { HoldRoom } from "./hold-room.ts";
import { HttpProxy } from "./http-proxy.ts";
import { EdgeLevels } from "./levels.ts";
import { Metrics } from "./metrics.ts";
import { monotonicNow } from "./monotonic.ts";
import { ServicePlans } from "./service-plan.ts";
import { StaleStore } from "./stale-store.ts";
import { TableHolder } from "./table-holder.ts";
import { TcpProxy } from "./tcp-proxy.ts";
import { TrafficCounters } from "./traffic-counters.ts";
import { WebSockets } from "./websockets.ts";
import { WriterWatch } from "./writer-watch.ts";

export interface RunningEdge {
  readonly http: Address;
  readonly https?: Address;
  readonly admin: Address;
  readonly tcp: Readonly<Record<string, Address>>;
  readonly gates: Readonly<Record<string, Address>>;
  /** Certificates are read anew, and the access log is opened anew. */
  reload(): Promise<void>;
  /** Takes no more, lets what is under way finish within the grace, ends everything. */
  close(): Promise<void>;
}

/** For the last lines of the access log, to a disk that may be slow. */
const logEndsWithinMs = 1000;

export async function startEdge(config: EdgeConfig): Promise<RunningEdge> {
  const metrics = new Metrics();
  const holder = await TableHolder.open(config.stateDir, config.keys, metrics);
  const limits = { ...concurrencyRules, ...config.concurrency };
  const plans = new ServicePlans(config.region, metrics, config.drainMs, limits);
  const room = new HoldRoom(metrics);
  const writers = new WriterWatch(
    () => holder.table,
    () => room.wakeAll(),
  );
  const counters = new TrafficCounters(metrics);
  const stale = new StaleStore(config.name, config.cache);
  const levels = new EdgeLevels(
    () => plans.all,
    metrics,
    () => room.wakeAll(),
  );
  const webSockets = new WebSockets(config.region, metrics, {
    quietForMs: config.limits.quietForMs,
    webSocketsMax: config.webSocketsMax,
    drainMs: config.drainMs,
  });
  const world = { edge: config.name, room, writers, counters, stale, levels, webSockets };
  const proxy = new HttpProxy(plans, world, config);
  const certificates = config.tls ? new Certificates(config.tls, metrics) : null;
  const log = config.accessLog ? openLog(config.accessLog, proxy, metrics) : null;
  proxy.log = log;
  metrics.gauge("holdfast_edge_stale_bytes", {}, () => stale.bytes);
  metrics.gauge("holdfast_edge_connections", {}, () => proxy.connections);
  const tcp = Object.entries(config.tcp).map(
    ([store, listen]) => new TcpProxy({ store, listen, holdMaxMs: config.tcpHoldMaxMs }, metrics),
  );
  const gates = new Map(config.gates.map((gate) => [gate.member, new MemberGate(gate, metrics)]));

  const epochs = new Map<string, number>();
  const follow = (): void => {
    const table = holder.table;
    if (!table) return;
    // Sessions to an old writer end before any request is let go to the new one (S4).
    for (const gate of gates.values()) {
      const store = gate.config.dataStore === null ? undefined : table.stores[gate.config.dataStore];
      if (store) gate.seeEpoch(store.epoch);
    }
    for (const listener of tcp) listener.follow(table);
    plans.follow(table);
    // Later than upstreams: what is taken away there is repeated elsewhere, and must still find its client.
    proxy.follow(table.regions[config.region], config.drainMs + config.graceMs);
    const changed = Object.keys(table.stores).filter(
      (name) => (epochs.get(name) ?? table.stores[name]?.epoch) !== table.stores[name]?.epoch,
    );
    for (const [name, { epoch }] of Object.entries(table.stores)) epochs.set(name, epoch);
    for (const plan of changed.length === 0 ? [] : plans.all)
      if (plan.route.dataStores.some((name) => changed.includes(name)))
        plan.returning = afterWriterChanged(monotonicNow());
    webSockets.follow(table, changed);
    room.wakeAll();
  };
  holder.onApplied(follow);
  follow();
  metrics.gauge("holdfast_edge_table_generation", {}, () => holder.table?.generation ?? 0);
  metrics.gauge("holdfast_edge_table_epoch", {}, () => holder.table?.epoch ?? 0);

  const state = (): unknown => ({
    edge: config.name,
    region: config.region,
    table: holder.table && {
      epoch: holder.table.epoch,
      generation: holder.table.generation,
      digest: holder.table.digest,
      because: holder.table.because,
    },
    held: room.held,
    writersFailing: writers.failing,
    services: [...plans.all].map((plan) => ({
      name: plan.name,
      active: plan.active,
      repeating: plan.repeating,
      level: levels.of(plan).stand.level,
      automatic: levels.of(plan).automatic,
    })),
    upstreams: [...plans.upstreams].map(({ url, region, isEjected, inFlight, limit }) => ({
      url,
      region,
      ejected: isEjected,
      inFlight,
      limit,
    })),
    stores: tcp.map((listener) => ({
      name: listener.config.store,
      sessions: listener.sessions,
      epoch: listener.route?.epoch ?? 0,
      writer: listener.route?.writer?.member ?? null,
    })),
    certificates: certificates?.state ?? [],
    gates: [...gates.values()].map((gate) => ({ member: gate.config.member, ...gate.state })),
  });
  const admin = new AdminServer({ holder, gates, metrics, token: config.adminToken, state });

  const reload = async (): Promise<void> => {
    await Promise.all([certificates?.reload(), log?.reopen()]);
  };

  const close = async (): Promise<void> => {
    webSockets.close();
    await proxy.close(config.graceMs);
    certificates?.close();
    await log?.end(logEndsWithinMs);
    await Promise.all([...tcp, ...gates.values()].map((listener) => listener.close()));
    await admin.close(500);
    writers.close();
    levels.close();
    plans.close();
  };

  try {
    return {
      admin: await admin.listen(config.admin),
      http: await proxy.listen(config.http),
      ...(certificates && config.tls
        ? { https: await proxy.listenTls(config.tls.listen, certificates, metrics) }
        : {}),
      tcp: Object.fromEntries(
        await Promise.all(tcp.map(async (listener) => [listener.config.store, await listener.listen()])),
      ),
      gates: Object.fromEntries(
        await Promise.all([...gates].map(async ([member, gate]) => [member, await gate.listen()])),
      ),
      reload,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function openLog(
  options: NonNullable<EdgeConfig["accessLog"]>,
  { networks }: HttpProxy,
  metrics: Metrics,
): AccessLog {
  try {
    return new AccessLog(options, networks, metrics);
  } catch (error) {
    throw new ConfigError(`cannot open the access log: ${(error as Error).message}`, { cause: error });
  }
}
