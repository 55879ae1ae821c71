/** What the regions can carry of one service, of a topology in which services share them. */
import type { RegionCapacity } from "../model/routing.ts";
import type { Service, Topology } from "../model/topology.ts";

/**
 * A region's capacity is shared by demand. Empty: nobody declared what a region can carry, or services that share one do
 * not say what they need; then only what an edge itself sees can tell that there is too little.
 */
export function capacityOf(topology: Topology, service: Service): readonly RegionCapacity[] {
  const shares = service.endpoints
    .filter(({ region, weight }) => weight > 0 && service.allow.includes(region))
    .map(({ region }): RegionCapacity => {
      const capacityRps = topology.regions.find(({ name }) => name === region)?.capacityRps ?? 0;
      const tenants = topology.services.filter(({ endpoints }) =>
        endpoints.some((endpoint) => endpoint.region === region),
      );
      const demandRps = tenants.reduce((sum, tenant) => sum + tenant.demandRps, 0);
      const isKnown = tenants.every((tenant) => tenant.demandRps > 0);
      const share = tenants.length === 1 ? 1 : isKnown ? service.demandRps / demandRps : 0;
      const edges = topology.edges.filter((edge) => edge.region === region).length;
      return { region, rps: Math.round(capacityRps * share * 1000) / 1000, edges };
    });
  return shares.every(({ rps }) => rps > 0) ? shares : [];
}

/**
 * What one edge may send when only `left` serve: its part of what they can carry, shared among the edges that are there.
 * The edge of a region that is lost is counted as lost with it. null: not declared.
 */
export function entitledRps(
  capacity: readonly RegionCapacity[] | undefined,
  left: ReadonlySet<string>,
): number | null {
  if (capacity === undefined || capacity.length === 0) return null;
  const there = capacity.filter(({ region }) => left.has(region));
  const rps = there.reduce((sum, region) => sum + region.rps, 0);
  return (
    rps /
    Math.max(
      1,
      there.reduce((sum, region) => sum + region.edges, 0),
    )
  );
}
