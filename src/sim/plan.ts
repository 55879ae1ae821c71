/** What one run is made of: a world, what goes wrong in it and when that ends, and what is then expected. */
import type { Fault, FaultKind } from "./fault.ts";
import type { Ablation, WorldOptions } from "./world.ts";

export interface Plan {
  readonly world: WorldOptions;
  readonly faults: readonly Fault[];
  /** When faults end, and the liveness phase begins. */
  readonly healAt: number;
  /** A region that is not healed but breaks for good then, in this way; null: all is healed. */
  readonly broken: Fault | null;
  /** Writes must flow again within `span` of `after` (P1, P2); null: too much goes wrong to promise that. */
  readonly resumesWithin: { readonly after: number; readonly span: number } | null;
  /** Changes of primary that it may cost after the first start (S12); null: any number. */
  readonly changesMax: number | null;
}

/** With a guard taken away, what only that guard can hold is not asked of the others. */
export function isFair(kind: FaultKind, ablation: Ablation, seedShare: number): boolean {
  // Rare on purpose: after them nothing can be proven any more, and a run that is stuck proves little.
  if (kind === "lose-lease" || kind === "rollback" || kind === "wipe" || kind === "restore")
    return seedShare < 0.1;
  const guards: readonly FaultKind[] = ["kill-fencer", "pause-fencer", "kill-gate", "pause-gate"];
  if (ablation.fencer || ablation.gate) {
    if (guards.includes(kind)) return false;
    if (ablation.gate && (kind === "pause-region" || kind === "disk-hung")) return false;
  }
  return true;
}
