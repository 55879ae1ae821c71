/** Two tables in, the difference in one sentence for people out. */
import type { RoutingTable, ServiceRoute } from "../model/routing.ts";
import { canonicalJson } from "./canonical.ts";

type Content = Pick<RoutingTable, "regions" | "stores" | "services">;

export function explainChange(before: Content | null, after: Content): string {
  if (!before) return "first table";
  const changes = [
    ...explainStores(before, after),
    ...explainRegions(before, after),
    ...explainServices(before, after),
  ];
  return changes.length === 0 ? "another topology, the same routes" : changes.join("; ");
}

function explainStores(before: Content, after: Content): string[] {
  return Object.entries(after.stores).flatMap(([name, store]) => {
    const old = before.stores[name];
    if (old && canonicalJson(old) === canonicalJson(store)) return [];
    const from = old?.writer?.member ?? "none";
    const to = store.writer?.member ?? "none";
    if (from !== to) return [`writer of ${name}: ${from} -> ${to} in epoch ${store.epoch}`];
    if (old?.changing !== store.changing)
      return [`writer of ${name} ${store.changing ? "is being changed" : "stays"}`];
    return [`${name} is in epoch ${store.epoch}`];
  });
}

function explainRegions(before: Content, after: Content): string[] {
  return Object.entries(after.regions)
    .filter(([name, state]) => before.regions[name] !== state)
    .map(([name, state]) => `region ${name}: ${before.regions[name] ?? "new"} -> ${state}`);
}

function explainServices(before: Content, after: Content): string[] {
  const gone = Object.keys(before.services).filter((name) => !after.services[name]);
  const changed = Object.entries(after.services).flatMap(([name, service]) => {
    const old = before.services[name];
    if (!old) return [`service ${name} is new`];
    if (canonicalJson(old) === canonicalJson(service)) return [];
    if ((old.level ?? 0) !== (service.level ?? 0))
      return [`service ${name}: level ${old.level ?? 0} -> ${service.level ?? 0}, ${service.mode}`];
    if (old.mode !== service.mode) return [`service ${name}: ${old.mode} -> ${service.mode}`];
    if (placesOf(old) !== placesOf(service))
      return [
        `service ${name} is served from ${placesOf(service) || "nowhere"}, before from ${placesOf(old)}`,
      ];
    return [`rules of service ${name}`];
  });
  return [...gone.map((name) => `service ${name} is gone`), ...changed];
}

function placesOf(service: ServiceRoute): string {
  return [...new Set(service.targets.map((target) => target.region))].join(", ");
}
