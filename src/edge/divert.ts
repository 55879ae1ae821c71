/** Where a request of a class that is diverted may go: where its class is sent, as far as its limits allow that. */
import type { TrafficClass } from "../core/model/degradation.ts";
import type { AllowedRegions } from "../core/traffic/sovereignty.ts";

/** One set a class, so that lanes are kept for it. */
const sets = new WeakMap<TrafficClass, AllowedRegions>();

/** `allowed` null: no limit. */
export function divertedTo(one: TrafficClass, allowed: AllowedRegions | null): AllowedRegions {
  let to = sets.get(one);
  if (to === undefined) {
    to = new Set(one.divertTo);
    sets.set(one, to);
  }
  return allowed === null ? to : new Set([...to].filter((region) => allowed.has(region)));
}
