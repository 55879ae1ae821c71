/** The rules of a service for holding, repeating and staleness, derived from its topology. */
import type { ServiceRules } from "../model/routing.ts";
import type { Topology } from "../model/topology.ts";

/**
 * - `holdMaxMs` = 2 leases + 5 s: an unplanned change of writer takes one lease, the promotion and the route. Shorter: a
 *   slow failover shows; longer: people wait for what will not come. `fast` 8 s, `balanced` 15 s, `cautious` 35 s.
 * - `holdMaxCount` = 1000: some 20 KB each, so 20 MB at most.
 * - `tryTimeoutMs` = 2 s: shorter cuts honest slow answers, longer makes a frozen region be felt longer.
 * - `retryBudget` = 0.2, Envoy's default.
 */
export function rulesOf(topology: Topology): ServiceRules {
  return {
    holdMaxMs: 2 * topology.profile.leaseMs + 5000,
    holdMaxCount: 1000,
    tryTimeoutMs: 2000,
    retryBudget: 0.2,
    staleMaxMs: 0,
    ttlMs: 5000,
  };
}
