/**
 * One drill from end to end: load, a fault, recovery, the return of the region as a standby, failback, and the verdict.
 *
 * What it reports is what clients were told and what the database holds at the end (see `oracle.ts`); the agents' own
 * chronicle only tells when each step of it happened.
 */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import pg from "pg";
import type { SpanMs } from "../core/model/time.ts";
import type { Topology } from "../core/model/topology.ts";
import { type FaultName, faultDurationMs, faultTexts, type Injection, inject, pause } from "./faults.ts";
import { dataStoreName } from "./layout.ts";
import { type Load, startLoad } from "./load.ts";
import type { Place } from "./load-client.ts";
import type { LiveStats } from "./load-stats.ts";
import { monotonicMs } from "./monotonic.ts";
import type { Observer } from "./observer.ts";
import { type EventWindow, judgeRun } from "./oracle.ts";
import { readOrders } from "./oracle-rows.ts";
import {
  composeReport,
  type DrillReport,
  describeMachine,
  failbackWindow,
  type Mark,
  markNames,
} from "./report.ts";
import type { World } from "./world.ts";

export interface RehearsalOptions {
  readonly world: World;
  readonly observer: Observer;
  readonly topology: Topology;
  readonly fault: FaultName;
  /** Where it is injected; null: where the primary is. */
  readonly region: string | null;
  readonly durationMs: SpanMs | null;
  readonly rates: { readonly orders: number; readonly reads: number };
  readonly version: string;
  readonly say: (text: string) => void;
  readonly onLive?: (stats: LiveStats) => void;
  readonly signal: AbortSignal;
}

/** Before the fault: long enough for a rate to be seen. */
const baselineMs = 2000;
/** After each event: long enough to see that it stays so. */
const afterMs = 1500;
const recoveryWithinMs = 60_000;

export async function rehearse(options: RehearsalOptions): Promise<DrillReport> {
  const { world, observer, topology, fault, say, signal } = options;
  const lease = () => {
    const record = observer.seen.leases.get(dataStoreName);
    if (!record) throw new Error("there is no lease record");
    return record;
  };
  const regionOf = Object.fromEntries(
    topology.dataStores.flatMap((store) => store.members.map((member) => [member.name, member.region])),
  );
  await untilRedundant(observer, topology, 120_000, signal);

  const run = `drill-${randomUUID().slice(0, 8)}`;
  const load = startDrillLoad(options, run);
  try {
    say(
      `load: ${options.rates.orders} orders/s and ${options.rates.reads} reads/s from ${world.layout.regions.length} places`,
    );
    await untilAcknowledged(load, signal);
    await pause(baselineMs, signal);

    const before = lease();
    const region = options.region ?? regionOf[before.holder] ?? "";
    const durationMs = options.durationMs ?? faultDurationMs[fault];
    say(`fault: ${fault} in ${region}: ${faultTexts[fault]}`);
    const turnsBefore = observer.turns.length;
    const { injection, endedAt } = await runFault(options, region, durationMs, before.epoch);
    const recoveredAt =
      observer.turns.findLast((turn) => turn.record.phase === "committed" && turn.record.epoch > before.epoch)
        ?.at ?? null;

    say(`the fault is over; waiting until ${region} is back as a standby`);
    await untilRedundant(observer, topology, recoveryWithinMs * 2, signal);
    const rejoinedAt = monotonicMs();
    await pause(afterMs, signal);

    const home = regionOf[before.holder] ?? region;
    if (lease().holder !== before.holder) say(`failback: ${dataStoreName} to ${home}`);
    const failback =
      lease().holder === before.holder
        ? null
        : await requestChange(options, "failback", home, "the region is back and healthy");
    await pause(afterMs, signal);

    say("the load stops; the oracle reads the database");
    const history = await load.stop();
    const stored = await readOrders(directUrl(world, lease().holder), run);
    const windows: EventWindow[] = [
      { name: fault, at: injection.at, until: failback?.at ?? history.stoppedAt },
    ];
    if (failback) windows.push({ name: failbackWindow, at: failback.at, until: failback.until });
    const findings = judgeRun(history, stored, windows);
    const events = describeEvents(observer, turnsBefore, injection, endedAt, region, fault, rejoinedAt);
    return composeReport({
      version: options.version,
      createdAt: Date.now(),
      seed: null,
      fault,
      faultText: `${region}: ${faultTexts[fault]}`,
      faultAt: injection.at,
      profile: topology.profile.name,
      rtoMs: topology.services[0]?.objectives.rtoMs ?? 0,
      rpoMs: rpoOf(topology),
      chronicle: chronicleOf(observer, fault, before.epoch, injection.at, recoveredAt),
      events,
      epoch: { before: before.epoch, after: lease().epoch },
      rejoinedAt,
      failbackAt: failback?.at ?? null,
      regionOf,
      history,
      findings,
      machine: describeMachine(await postgresVersion(directUrl(world, lease().holder))),
    });
  } finally {
    await load[Symbol.asyncDispose]();
  }
}

function rpoOf({ dataStores: [store] }: Topology): SpanMs {
  return store?.replication === "asynchronous" ? store.rpoMs : 0;
}

function startDrillLoad(options: RehearsalOptions, run: string): Load {
  const { world, rates } = options;
  return startLoad(
    {
      run,
      places: placesOf(world),
      ordersPerSecond: rates.orders,
      readsPerSecond: rates.reads,
      recordFile: join(world.layout.root, `${run}.json`),
    },
    options.onLive ? { onLive: options.onLive } : {},
  );
}

/** Every place knows all edges, its own first: what DNS with several addresses gives a client. */
export function placesOf(world: World): Place[] {
  const edges = world.layout.regions.map((region) => ({
    name: region.name,
    url: `http://127.0.0.1:${region.ports.edge}`,
  }));
  return edges.map((own) => ({
    name: own.name,
    edges: [own.url, ...edges.filter((edge) => edge !== own).map((edge) => edge.url)],
  }));
}

export type FaultRun = Pick<RehearsalOptions, "world" | "observer" | "topology" | "fault" | "signal">;

/** The fault from its first effect until it is over and, where it takes the primary, somebody else leads. */
export async function runFault(
  options: FaultRun,
  region: string,
  durationMs: SpanMs,
  epoch: number,
): Promise<{ injection: Injection; endedAt: number }> {
  const { world, observer, topology, fault, signal } = options;
  const declared = (above: number) =>
    observer.until(
      "recovery",
      recoveryWithinMs,
      ({ leases, incidents }) => {
        const record = leases.get(dataStoreName);
        return (
          record !== undefined &&
          record.epoch > above &&
          record.phase === "committed" &&
          incidents.get(`${dataStoreName}-${record.epoch}`)?.status === "declared"
        );
      },
      signal,
    );
  if (fault === "flap") {
    let first: Injection | null = null;
    for (let round = 0; round < 3; round++) {
      const record = observer.seen.leases.get(dataStoreName);
      const at =
        topology.dataStores[0]?.members.find((member) => member.name === record?.holder)?.region ?? region;
      const injection = await inject(world, "primary-crash", at, 0);
      first ??= injection;
      await declared(record?.epoch ?? epoch);
      await untilRedundant(observer, topology, recoveryWithinMs, signal);
    }
    if (!first) throw new Error("flap did nothing");
    return { injection: first, endedAt: monotonicMs() };
  }
  if (fault === "switchover") {
    const members = topology.dataStores[0]?.members ?? [];
    const to = members.find((member) => member.promotable && member.region !== region);
    if (!to) throw new Error("there is no other region to hand over to");
    const { at, until } = await requestChange(options, "switchover", to.region, "a drill");
    return { injection: { at, end: async () => undefined }, endedAt: until };
  }
  const injection = await inject(world, fault, region, durationMs);
  try {
    const primary = topology.dataStores[0]?.members.find(
      (member) => member.name === observer.seen.leases.get(dataStoreName)?.holder,
    );
    const takesPrimary = fault !== "store-loss" && fault !== "agent-kill" && primary?.region === region;
    if (takesPrimary) await declared(epoch);
    await pause(Math.max(0, durationMs - (monotonicMs() - injection.at)), signal);
  } finally {
    await injection.end(signal.aborted ? AbortSignal.timeout(10_000) : signal);
  }
  return { injection, endedAt: monotonicMs() };
}

/** A planned change of primary, from its request until every standby streams from the new one. */
async function requestChange(
  options: Pick<RehearsalOptions, "observer" | "topology" | "signal">,
  kind: "switchover" | "failback",
  toRegion: string,
  why: string,
): Promise<{ at: number; until: number }> {
  const { observer, signal } = options;
  const record = observer.seen.leases.get(dataStoreName);
  const id = `${kind}-${randomUUID().slice(0, 8)}`;
  const at = monotonicMs();
  await observer.submit({
    id,
    kind,
    dataStore: dataStoreName,
    toRegion,
    ifEpoch: record?.epoch ?? 0,
    by: "drill",
    why,
    at: Date.now(),
  });
  await observer.until(
    kind,
    recoveryWithinMs,
    ({ requests }) => !["pending", "running"].includes(requests.get(id)?.status ?? "pending"),
    signal,
  );
  const answer = observer.seen.requests.get(id);
  if (answer?.status !== "succeeded")
    throw new Error(`the ${kind} was not done: ${answer?.status}: ${answer?.detail}`);
  await untilRedundant(observer, options.topology, recoveryWithinMs, signal);
  return { at, until: monotonicMs() };
}

/** One primary, every other member streams from it, and commits wait for as many as they should. */
export function untilRedundant(
  observer: Observer,
  topology: Topology,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  return observer.until(
    "a primary with all its standbys",
    timeoutMs,
    ({ leases, agents, table }) =>
      topology.dataStores.every((store) => {
        const lease = leases.get(store.name);
        if (lease?.phase !== "committed" || lease.handover) return false;
        const others = store.members.filter((member) => member.name !== lease.holder);
        const whole = others.every((member) => {
          const report = agents.get(member.region)?.members[member.name];
          return report?.state === "standby" && report.streaming && report.epoch === lease.epoch;
        });
        const routed = topology.regions.every(
          (region) => (agents.get(region.name)?.applied ?? 0) >= (table?.table.generation ?? 1),
        );
        return (
          whole &&
          routed &&
          table?.table.stores[store.name]?.epoch === lease.epoch &&
          lease.durable.standbys.length === others.length
        );
      }),
    signal,
  );
}

async function untilAcknowledged(load: Load, signal: AbortSignal): Promise<void> {
  const until = monotonicMs() + 30_000;
  while ((load.latest()?.totals.acknowledged ?? 0) < 20) {
    if (monotonicMs() > until)
      throw new Error("no order was acknowledged within 30 s; see the logs of the services and edges");
    await pause(50, signal);
  }
}

/** The marks of the incident that followed, moved onto the axis of the load; the first is the fault itself. */
function chronicleOf(
  observer: Observer,
  fault: FaultName,
  epochBefore: number,
  faultAt: number,
  recoveredAt: number | null,
): Partial<Record<Mark, number>> {
  const incident = [...observer.seen.incidents.values()]
    .filter((one) => one.epoch > epochBefore && one.kind === (fault === "switchover" ? fault : "failover"))
    .sort((a, b) => a.epoch - b.epoch)[0];
  if (!incident || recoveredAt === null) return {};
  const wallToMonotonic = monotonicMs() - Date.now();
  const impactAt = incident.impactAt + wallToMonotonic;
  const { chronicle } = incident;
  const values = [
    chronicle.t0Impact,
    chronicle.t1Detected,
    chronicle.t2Acknowledged,
    chronicle.t3Decided,
    chronicle.t4Fenced,
    chronicle.t5Writable,
    chronicle.t6Routed,
    chronicle.t7Validated,
    chronicle.t8Mitigated,
  ];
  const marks: Partial<Record<Mark, number>> = {};
  for (const [index, mark] of markNames.entries()) {
    const value = values[index];
    if (value !== null && value !== undefined)
      marks[mark] = mark === "t0" ? faultAt : Math.max(faultAt, impactAt + value);
  }
  return marks;
}

function describeEvents(
  observer: Observer,
  from: number,
  injection: Injection,
  endedAt: number,
  region: string,
  fault: string,
  rejoinedAt: number,
) {
  const events = [
    { at: injection.at, who: "drill", what: `${fault} in ${region}` },
    { at: endedAt, who: "drill", what: "the fault is over" },
    { at: rejoinedAt, who: "drill", what: "every standby streams again" },
  ];
  for (const { at, record } of observer.turns.slice(from)) {
    const what =
      record.phase === "committed"
        ? record.handover
          ? `is handing over to ${record.handover.to}`
          : "is primary"
        : record.phase === "claimed"
          ? "has claimed the lease"
          : "has given the lease up";
    events.push({ at, who: record.holder, what: `${what} (epoch ${record.epoch}): ${record.because}` });
  }
  for (const incident of observer.seen.incidents.values()) {
    const impactAt = incident.impactAt + (monotonicMs() - Date.now());
    for (const step of incident.steps)
      if (impactAt + step.at >= injection.at)
        events.push({
          at: impactAt + step.at,
          who: incident.to,
          what: `${step.name} ${step.outcome}${step.because ? `: ${step.because}` : ""}`,
        });
  }
  return events;
}

function directUrl(world: World, member: string): string {
  const region = world.layout.regions.find((candidate) => candidate.member?.name === member);
  if (!region) throw new Error(`no region has ${member}`);
  return world.databaseUrl(region.ports.postgres);
}

/** As the server itself says. */
async function postgresVersion(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000, query_timeout: 2000 });
  client.on("error", () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ server_version: string }>("SHOW server_version");
    return rows[0]?.server_version ?? "";
  } finally {
    await client.end().catch(() => undefined);
  }
}
