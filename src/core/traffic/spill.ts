/**
 * How much of a service's load each of its levels gets, when the first ones are not whole (after Envoy's priority levels,
 * arch_overview/upstream/load_balancing/priority and panic_threshold).
 *
 * A level is a place that is filled before the next one gets anything. It is good for its healthy share times the
 * overprovisioning factor, so that it is left only when it is really short: with 1.4 from 71 % on it takes all.
 */

export interface LevelHealth {
  /** Sum of the weights of all that stand in it, above 0. */
  readonly total: number;
  readonly healthy: number;
}

export interface SpillRules {
  readonly overprovisioning: number;
  readonly panicBelow: number;
}

export interface LevelLoad {
  /** 0 to 1; the loads of all levels are 1 together. */
  readonly load: number;
  /** All of it are counted as healthy: most that one hears of them is bad, which says more about the hearing. */
  readonly isPanic: boolean;
}

export function spread(levels: readonly LevelHealth[], rules: SpillRules): readonly LevelLoad[] {
  const shares = levels.map(({ total, healthy }) => healthy / total);
  const able = shares.map((share) => Math.min(1, share * rules.overprovisioning));
  const sum = able.reduce((all, each) => all + each, 0);
  if (1 <= sum) {
    let rest = 1;
    return able.map((each) => {
      const load = Math.min(each, rest);
      rest -= load;
      return { load, isPanic: false };
    });
  }
  // Nobody healthy at all is a panic at any threshold: something must be tried (R5).
  const panics = shares.map((share) => share < rules.panicBelow || share === 0);
  // Counted as healthy the first level is whole, and whole levels take all.
  if (panics.every(Boolean)) return panics.map((isPanic, at) => ({ load: at === 0 ? 1 : 0, isPanic }));
  return able.map((each, at) => ({ load: each / sum, isPanic: panics[at] as boolean }));
}
