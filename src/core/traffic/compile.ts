/**
 * Topology and facts in, the next routing table out.
 *
 * - R1. A table that differs has the next generation and names the digest before; one that does not is the same object.
 * - R5. With every target down the service keeps them all: an edge that tries is better than an empty answer.
 * - S5. A data store's epoch never goes down: facts older than the previous table leave its route as it was.
 */
import type { RegionName, ServiceName, StoreName } from "../model/id.ts";
import type {
  RegionState,
  RoutingTable,
  ServiceMode,
  ServiceRoute,
  StoreRoute,
  Target,
} from "../model/routing.ts";
import type { WallMs } from "../model/time.ts";
import type { DataStore, Service, Topology } from "../model/topology.ts";
import { type Digest, digestOf } from "./accept.ts";
import { canonicalJson, inCanonicalOrder } from "./canonical.ts";
import { orderedStep, stricter } from "./degrade.ts";
import { explainChange } from "./explain.ts";
import { capacityOf } from "./share.ts";

export interface RoutingFacts {
  readonly stores: Readonly<Record<StoreName, StoreFact>>;
  /** What differs from the topology's own roles, such as `drained` by a person or `fenced` by the core. */
  readonly regions: Readonly<Record<RegionName, RegionState>>;
  /** As judged; what is not named is up. */
  readonly health: Readonly<Record<ServiceName, Readonly<Record<RegionName, "up" | "down">>>>;
  /** What is not named is `rw`. */
  readonly modes: Readonly<Record<ServiceName, ServiceMode>>;
  /** As people ordered; what is not named is at level 0. */
  readonly levels?: Readonly<Record<ServiceName, number>>;
}

export interface StoreFact {
  /** Of the lease record. */
  readonly epoch: number;
  /** Committed primary, or null. */
  readonly writer: string | null;
  readonly changing: boolean;
}

export interface CompileArguments {
  readonly topology: Topology;
  readonly facts: RoutingFacts;
  /** The last published table, or null. */
  readonly previous: RoutingTable | null;
  readonly issuedAt: WallMs;
  readonly issuedBy: RegionName;
  readonly digest: Digest;
}

export function compileTable(request: CompileArguments): RoutingTable {
  const { topology, facts, previous } = request;
  const regions = regionsOf(topology, facts);
  const stores = Object.fromEntries(
    topology.dataStores.map((store) => [store.name, storeRoute(store, facts, regions, previous)]),
  );
  const services = Object.fromEntries(
    topology.services.map((service) => [service.name, serviceRoute(topology, service, facts, regions)]),
  );
  return issue(request, { regions, stores, services });
}

/**
 * The table by which an edge leaves `region` with nothing else alive. Signed in advance for each region, it lies ready on
 * each data plane; being one generation above its base, it is void as soon as the base is replaced.
 */
export function compileEvacuation(request: CompileArguments, region: RegionName): RoutingTable {
  const regions = { ...request.facts.regions, [region]: "drained" as const };
  return compileTable({ ...request, facts: { ...request.facts, regions } });
}

function issue(
  request: CompileArguments,
  content: Pick<RoutingTable, "regions" | "stores" | "services">,
): RoutingTable {
  const { topology, previous, digest } = request;
  if (previous && previous.topology === topology.digest && sameContent(previous, content)) return previous;
  const epochs = Object.values(content.stores).map((store) => store.epoch);
  const draft: RoutingTable = {
    schema: 1,
    topology: topology.digest,
    epoch: Math.max(0, previous?.epoch ?? 0, ...epochs),
    generation: (previous?.generation ?? 0) + 1,
    digest: "",
    digestBefore: previous?.digest ?? "",
    issuedAt: request.issuedAt,
    issuedBy: request.issuedBy,
    because: explainChange(previous, content),
    ...content,
  };
  const table = inCanonicalOrder(draft);
  return { ...table, digest: digestOf(table, digest) };
}

function sameContent(
  previous: RoutingTable,
  content: Pick<RoutingTable, "regions" | "stores" | "services">,
): boolean {
  const { regions, stores, services } = previous;
  return canonicalJson({ regions, stores, services }) === canonicalJson(content);
}

function regionsOf(topology: Topology, facts: RoutingFacts): Record<RegionName, RegionState> {
  return Object.fromEntries(
    topology.regions
      .filter((region) => region.role !== "witness")
      .map((region) => [
        region.name,
        facts.regions[region.name] ?? (region.role === "active" ? "active" : "standby"),
      ]),
  );
}

function storeRoute(
  store: DataStore,
  facts: RoutingFacts,
  regions: Readonly<Record<RegionName, RegionState>>,
  previous: RoutingTable | null,
): StoreRoute {
  const before = previous?.stores[store.name];
  const fact = facts.stores[store.name];
  const isOld = !fact || (before !== undefined && fact.epoch < before.epoch);
  const known = isOld
    ? {
        epoch: before?.epoch ?? 0,
        writer: before?.writer?.member ?? null,
        changing: before?.changing ?? false,
      }
    : fact;
  const member = store.members.find((candidate) => candidate.name === known.writer);
  const state = member && regions[member.region];
  const allowed = member !== undefined && state !== "forbidden" && state !== "fenced";
  return {
    epoch: known.epoch,
    writer: allowed ? { member: member.name, region: member.region, gate: member.gate } : null,
    changing: known.changing,
  };
}

function serviceRoute(
  topology: Topology,
  service: Service,
  facts: RoutingFacts,
  regions: Readonly<Record<RegionName, RegionState>>,
): ServiceRoute {
  const { level, step } = orderOf(service, facts);
  const mode = stricter(facts.modes[service.name] ?? "rw", step?.mode ?? "rw");
  const plan = topology.regions.map((region) => region.name);
  const targets: Target[] = service.endpoints
    .filter(({ region }) => service.allow.includes(region) && mayServe(regions[region]))
    .map(({ region, url, healthPath, weight }) => ({ region, url, healthPath, weight }))
    .sort((a, b) => plan.indexOf(a.region) - plan.indexOf(b.region));
  const health = facts.health[service.name] ?? {};
  const isReachable = (target: Target) => target.weight > 0 && regions[target.region] !== "drained";
  const alive = targets.filter((target) => health[target.region] !== "down");
  return {
    // Nobody may serve it: that is said, and not left to look like an accident (R2).
    mode: targets.some(isReachable) ? mode : "off",
    dataStores: service.dataStores,
    targets: alive.some(isReachable) ? alive : targets,
    allow: service.allow,
    rules: service.rules,
    ...(service.traffic && { traffic: service.traffic }),
    ...degradationOf(topology, service, level),
  };
}

function orderOf(service: Service, facts: RoutingFacts) {
  const steps = service.levels?.steps ?? [];
  const level = orderedStep(steps, facts.levels?.[service.name] ?? 0);
  return { level, step: steps[level - 1] };
}

/** Nothing where nothing is declared: such tables are as they were before there were levels. */
function degradationOf(topology: Topology, service: Service, level: number) {
  const { classes, levels } = service;
  const capacity = levels && levels.automatic > 0 ? capacityOf(topology, service) : [];
  return {
    ...(classes === undefined ? {} : { classes }),
    ...(levels === undefined ? {} : { levels, level }),
    ...(capacity.length === 0 ? {} : { capacity }),
  };
}

function mayServe(state: RegionState | undefined): boolean {
  return state !== undefined && state !== "forbidden" && state !== "fenced";
}
