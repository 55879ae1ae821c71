/** Where a request of a class that is diverted may go: in the order of the plan, but only where its class is sent. */
import type { Priority } from "../core/model/degradation.ts";
import type { ServicePlan } from "./service-plan.ts";
import type { Upstream } from "./upstream.ts";

/** `to` null: it is not diverted. */
export type Diverted = readonly string[] | null;

export function choose(plan: ServicePlan, tried: readonly Upstream[], to: Diverted): Upstream | null {
  if (to === null) return plan.choose(tried);
  return plan.ordered.find((upstream) => to.includes(upstream.region) && !tried.includes(upstream)) ?? null;
}

export function chooseWithRoom(
  plan: ServicePlan,
  tried: readonly Upstream[],
  priority: Priority,
  to: Diverted,
): Upstream | null {
  if (to === null) return plan.chooseWithRoom(tried, priority);
  const fits = (upstream: Upstream) =>
    to.includes(upstream.region) && !tried.includes(upstream) && upstream.hasRoom(priority);
  return plan.ordered.find(fits) ?? null;
}
