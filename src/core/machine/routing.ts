/** The routing table as one agent keeps it: who publishes, what it says, and that this region's data planes have it. */
import { judge, type Vantage } from "../judge/judge.ts";
import { type LevelRecord, orderedLevel } from "../model/degradation.ts";
import type { RegionName, ServiceName } from "../model/id.ts";
import type { LeaseRecord } from "../model/record.ts";
import type { SignedTable } from "../model/routing.ts";
import { NEVER } from "../model/time.ts";
import { compileTable, type RoutingFacts, type StoreFact } from "../traffic/compile.ts";
import type { WriteOutcome } from "./event.ts";
import type { Keeper } from "./state.ts";
import { isAlive, nextId, type Turn } from "./turn.ts";

export function takeTable(turn: Turn, revision: number, signed: SignedTable | null): void {
  const { routing } = turn.state;
  // Never empty, never older (R1): a record that vanished or went back is not obeyed, but written anew.
  if (revision <= routing.revision) return;
  const newer = signed !== null && signed.table.generation > (routing.signed?.table.generation ?? 0);
  turn.state.routing = {
    ...routing,
    revision,
    stale: true,
    signed: newer ? signed : routing.signed,
    applyAt: newer ? turn.at : routing.applyAt,
  };
}

/** A level is an input of the table and of nothing else: no lease, no claim and no fence looks at it. */
export function takeLevel(
  turn: Turn,
  service: ServiceName,
  revision: number,
  record: LevelRecord | null,
): void {
  const { [service]: before, ...others } = turn.state.levels;
  if (before && revision <= before.revision) return;
  turn.state.levels = record ? { ...others, [service]: { record, revision } } : others;
  touchRouting(turn);
}

export function takeApplied(turn: Turn, generation: number): void {
  const { routing, own } = turn.state;
  if (generation <= routing.applied) return;
  const applyAt = generation >= (routing.signed?.table.generation ?? 0) ? NEVER : routing.applyAt;
  turn.state.routing = { ...routing, applied: generation, applyAt };
  turn.state.own = { ...own, dirty: true };
}

export function takeTableReply(turn: Turn, outcome: WriteOutcome): void {
  const { routing, timing } = turn.state;
  turn.state.routing = {
    ...routing,
    pending: 0,
    stale: outcome.kind !== "succeeded",
    retryAt: outcome.kind === "unknown" ? turn.at + timing.retryMs : routing.retryAt,
  };
}

export function advanceRouting(turn: Turn): void {
  handOut(turn);
  publishIfDue(turn);
}

/** Until the data planes say that they have it: one that was not there, or did not answer, is told again. */
function handOut(turn: Turn): void {
  const { routing, topology } = turn.state;
  if (turn.at < routing.applyAt || routing.signed === null) return;
  turn.state.routing = { ...routing, applyAt: turn.at + topology.profile.renewMs };
  turn.commands.push({ kind: "apply-table", table: routing.signed });
}

function publishIfDue(turn: Turn): void {
  const { routing, timing } = turn.state;
  if (!routing.stale || routing.pending !== 0 || !turn.state.storeLoaded || turn.at < routing.retryAt) return;
  if (!isPublisher(turn)) {
    turn.state.routing = { ...routing, stale: false };
    return;
  }
  const previous = routing.signed?.table ?? null;
  const table = compileTable({
    topology: turn.state.topology,
    facts: factsOf(turn),
    previous,
    issuedAt: turn.wall,
    issuedBy: turn.state.self,
    digest: turn.tools.digest,
  });
  if (table === previous) {
    turn.state.routing = { ...routing, stale: false };
    return;
  }
  const id = nextId(turn);
  turn.state.routing = { ...routing, stale: false, pending: id };
  turn.commands.push({
    kind: "publish",
    id,
    expect: routing.revision,
    table,
    timeoutMs: timing.storeTimeoutMs,
  });
}

/** One at a time: the holder of the first data store that has a primary; without data stores, the first living region. */
function isPublisher(turn: Turn): boolean {
  const { topology, self, keepers } = turn.state;
  for (const dataStore of topology.dataStores) {
    const keeper = keepers[dataStore.name];
    const record = keeper && leaseOf(keeper);
    if (record?.phase !== "committed") continue;
    return record.holder === keeper?.member && keeper.tenure !== null && keeper.tenure.over === "";
  }
  if (topology.dataStores.length > 0) return false;
  return topology.regions.find((region) => isAlive(turn, region.name))?.name === self;
}

/**
 * The lease as it stands once our commit does: the table is sent with it, and far from the store's leader edges have it a
 * round trip sooner. Should the commit fail, it names a writer whose gate is closed, as the one before it does.
 */
function leaseOf({ lease, write }: Keeper): LeaseRecord | undefined {
  return write?.purpose === "commit" ? write.record : lease?.record;
}

function factsOf(turn: Turn): RoutingFacts {
  const { topology, keepers, routing } = turn.state;
  const stores: Record<string, StoreFact> = {};
  for (const keeper of Object.values(keepers)) {
    const record = leaseOf(keeper);
    if (!record) continue;
    const committed = record.phase === "committed";
    // While a claim is under way the last writer stays named: it is fenced, and an edge that holds knows for whom.
    stores[keeper.dataStore.name] = committed
      ? { epoch: record.epoch, writer: record.holder, changing: record.handover !== null }
      : { epoch: record.primary?.epoch ?? 0, writer: record.primary?.member ?? null, changing: true };
  }
  const vantages = topology.regions.map(({ name }) => vantageOf(turn, name));
  const health: Record<string, Record<string, "up" | "down">> = {};
  for (const service of topology.services) {
    const verdicts: Record<string, "up" | "down"> = {};
    const listed = routing.signed?.table.services[service.name]?.targets;
    for (const { region } of service.endpoints) {
      const { kind } = judge(`${service.name}/${region}`, vantages);
      const isOut = listed !== undefined && !listed.some((target) => target.region === region);
      verdicts[region] = kind === "down" || (kind === "unknown" && isOut) ? "down" : "up";
    }
    health[service.name] = verdicts;
  }
  const levels = Object.fromEntries(
    Object.entries(turn.state.levels).map(([service, { record }]) => [service, orderedLevel(record)]),
  );
  return { stores, regions: {}, health, modes: {}, levels };
}

/**
 * Another's sights count once it was heard twice without a longer silence: what stands in the store when an agent begins to
 * read may be the last word of one that died long ago. This agent's own are those of its own eyes, never of its last life.
 */
function vantageOf(turn: Turn, region: RegionName): Vantage {
  if (region === turn.state.self) return { region, fresh: true, sees: turn.state.sees };
  const seen = turn.state.agents[region];
  const fresh = seen !== undefined && seen.aliveSince < seen.seenAt && isAlive(turn, region);
  return { region, fresh, sees: seen?.record.sees ?? {} };
}

/** Tables are compared again when this says so: after each change that they depend on. */
export function touchRouting(turn: Turn): void {
  if (!turn.state.routing.stale) turn.state.routing = { ...turn.state.routing, stale: true };
}
