/** A routing table in, the states of slots and the entries of the map that mean the same to HAProxy out. */
import type { RoutingTable, ServiceRoute, Target } from "../../core/model/routing.ts";
import { backendOf, type HaproxyLayout, type Slot, slotsOf } from "./layout.ts";

/** HAProxy's own weights: 0 to 256. */
export type SlotState =
  | { readonly kind: "ready"; readonly weight: number }
  /** `cut`: what is under way there is ended too. */
  | { readonly kind: "maint"; readonly cut: boolean };

export interface Wanted {
  readonly slots: ReadonlyMap<Slot, SlotState>;
  readonly entries: ReadonlyMap<string, string>;
}

/** Targets of a service in the order to try them, as the core chooses. */
export type OrderTargets = (table: RoutingTable, service: ServiceRoute) => readonly Target[];

/** A string: why this HAProxy cannot serve the table. */
export function wantedBy(layout: HaproxyLayout, table: RoutingTable, order: OrderTargets): Wanted | string {
  const all = slotsOf(layout);
  const slots = new Map<Slot, SlotState>(
    all.map((slot) => {
      const state = table.regions[slot.target.region];
      return [slot, { kind: "maint", cut: state === "fenced" || state === "forbidden" }];
    }),
  );
  const entries = new Map([
    ["epoch", String(table.epoch)],
    ["generation", String(table.generation)],
    ["digest", table.digest],
  ]);
  for (const { name } of layout.services) entries.set(`service/${name}`, "off");
  for (const [name, service] of Object.entries(table.services)) {
    const own = all.filter(({ backend }) => backend === backendOf(name));
    if (own.length === 0) return `this HAProxy is not configured for the service ${name}`;
    const ordered = order(table, service);
    for (const target of ordered) {
      const slot = own.find((candidate) => candidate.target.url === target.url);
      if (!slot) return `this HAProxy has no slot for ${target.url} of the service ${name}`;
      slots.set(slot, { kind: "ready", weight: Math.max(1, Math.min(256, Math.round(target.weight))) });
    }
    const first = own.find(({ target }) => target.url === ordered[0]?.url);
    entries.set(`service/${name}`, first ? service.mode : "off");
    entries.set(`first/${name}`, first?.server ?? "none");
  }
  return { slots, entries };
}
