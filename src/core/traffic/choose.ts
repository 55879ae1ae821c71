/**
 * A service's targets in, the order in which to try them out.
 *
 * Own region first, then the order of the failover plan. Who is ejected comes last, so that with every target bad the
 * best is tried anyway (R5). What is drained, forbidden, fenced or has weight 0 is never tried (R6).
 */
import type { RegionName } from "../model/id.ts";
import type { RegionState, RoutingTable, Target } from "../model/routing.ts";

/** Lower is tried first; null: never. */
const ranks: Readonly<Record<RegionState, number | null>> = {
  active: 0,
  // Both may serve, but only when nobody else does.
  standby: 1,
  draining: 2,
  drained: null,
  forbidden: null,
  fenced: null,
};

export function mayServe(state: RegionState | undefined): boolean {
  return state !== undefined && ranks[state] !== null;
}

export function isUsable(table: RoutingTable, target: Target): boolean {
  return mayServe(table.regions[target.region]) && target.weight > 0;
}

export interface ChoiceArguments {
  readonly table: RoutingTable;
  readonly targets: readonly Target[];
  readonly allow: readonly RegionName[];
  readonly ownRegion: RegionName;
  readonly isEjected: (target: Target) => boolean;
}

/** Stable: targets of the same rank keep the order of the table. */
export function orderTargets(choice: ChoiceArguments): readonly Target[] {
  const usable = choice.targets.filter(
    (target) => isUsable(choice.table, target) && choice.allow.includes(target.region),
  );
  const rankOf = (target: Target): number => {
    const state = ranks[choice.table.regions[target.region] as RegionState] as number;
    const ejected = choice.isEjected(target) ? 100 : 0;
    const foreign = target.region === choice.ownRegion ? 0 : 10;
    // A standby of our own region still comes after an active one elsewhere.
    return ejected + (state === 0 ? foreign : 20 * state + foreign);
  };
  return [...usable].sort((a, b) => rankOf(a) - rankOf(b));
}
