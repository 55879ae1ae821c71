/** Whether regions can carry the demand of services that share them: a flow from services to regions. */
import type { RegionName, ServiceName } from "../model/id.ts";

export interface Demand {
  readonly service: ServiceName;
  readonly rps: number;
  /** Where it may run now. */
  readonly regions: readonly RegionName[];
}

export interface Shortage {
  /** Services that compete for `regions` and find no place elsewhere. */
  readonly services: readonly ServiceName[];
  readonly regions: readonly RegionName[];
  readonly demandRps: number;
  readonly capacityRps: number;
}

/** null: all demand finds a place. A capacity of 0 is not declared and counts as enough. */
export function shortage(
  demands: readonly Demand[],
  capacity: ReadonlyMap<RegionName, number>,
): Shortage | null {
  const free = new Map(
    [...capacity].map(([region, rps]) => [region, rps === 0 ? Number.POSITIVE_INFINITY : rps]),
  );
  const placed = demands.map(() => new Map<RegionName, number>());
  for (const index of demands.keys()) {
    let rest = demands[index]!.rps;
    // Shortest paths first end after vertices times edges rounds (Edmonds and Karp, 1972).
    for (let rounds = (demands.length + free.size) * demands.length * free.size; rest > 1e-9; rounds--) {
      const path = rounds > 0 ? augment(index, demands, free, placed) : null;
      if (path === null) return cut(index, demands, capacity, placed);
      rest -= push(path, rest, free, placed);
    }
  }
  return null;
}

/** From a service to a region, then from a service that has load there to another region, and so on. */
type Hops = readonly { readonly service: number; readonly region: RegionName }[];

function augment(
  start: number,
  demands: readonly Demand[],
  free: ReadonlyMap<RegionName, number>,
  placed: readonly ReadonlyMap<RegionName, number>[],
): Hops | null {
  const queue: { readonly service: number; readonly hops: Hops }[] = [{ service: start, hops: [] }];
  const seen = new Set<RegionName>();
  for (const { service, hops } of queue) {
    for (const region of demands[service]!.regions) {
      if (seen.has(region)) continue;
      seen.add(region);
      const path = [...hops, { service, region }];
      if ((free.get(region) ?? 0) > 1e-9) return path;
      for (const other of demands.keys()) {
        if ((placed[other]!.get(region) ?? 0) > 1e-9) queue.push({ service: other, hops: path });
      }
    }
  }
  return null;
}

function push(
  path: Hops,
  rest: number,
  free: Map<RegionName, number>,
  placed: Map<RegionName, number>[],
): number {
  const last = path.at(-1)!;
  let amount = Math.min(rest, free.get(last.region)!);
  for (let hop = 1; hop < path.length; hop++) {
    amount = Math.min(amount, placed[path[hop]!.service]!.get(path[hop - 1]!.region)!);
  }
  for (const [hop, { service, region }] of path.entries()) {
    const load = placed[service]!;
    load.set(region, (load.get(region) ?? 0) + amount);
    const before = path[hop - 1]?.region;
    if (before !== undefined) load.set(before, load.get(before)! - amount);
  }
  free.set(last.region, free.get(last.region)! - amount);
  return amount;
}

/** Everything that the unplaced service can reach is full: that is the shortage (max-flow, min-cut). */
function cut(
  start: number,
  demands: readonly Demand[],
  capacity: ReadonlyMap<RegionName, number>,
  placed: readonly ReadonlyMap<RegionName, number>[],
): Shortage {
  const services = new Set([start]);
  const regions = new Set<RegionName>();
  for (const service of services) {
    for (const region of demands[service]!.regions) {
      regions.add(region);
      for (const other of demands.keys()) if ((placed[other]!.get(region) ?? 0) > 1e-9) services.add(other);
    }
  }
  return {
    services: [...services].map((service) => demands[service]!.service),
    regions: [...regions],
    demandRps: [...services].reduce((total, service) => total + demands[service]!.rps, 0),
    capacityRps: [...regions].reduce((total, region) => total + (capacity.get(region) ?? 0), 0),
  };
}
