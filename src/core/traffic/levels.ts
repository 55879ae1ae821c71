/**
 * A service's upstreams, arranged once and drawn from for every request: what is dear is done when something changes.
 *
 * - C1. Nobody is in an arrangement who may not serve (`orderTargets` and the limit of the request decide that before).
 * - C2. A draw gives an ejected one only in a panic, and the other levels only what the first cannot take.
 * - C3. By latency each keeps within its weight: with the share p it gets between p^2 and 1 - (1 - p)^2 of its level.
 */
import type { RegionName } from "../model/id.ts";
import type { RegionState, Target } from "../model/routing.ts";
import { drawOf } from "./rendezvous.ts";
import { type SpillRules, spread } from "./spill.ts";

export interface Candidate<T> {
  readonly who: T;
  readonly target: Target;
  readonly state: RegionState;
  /** Of `region` and `url`, so that all edges agree. */
  readonly hash: number;
  readonly isEjected: boolean;
  /** 0 to 1, see `rampAt`. */
  readonly ramp: number;
}

interface Level<T> {
  /** Loads of this level and those before it together. */
  readonly upTo: number;
  readonly who: readonly T[];
  /** Weights of each and those before it together. */
  readonly weightsUpTo: Float64Array;
}

export interface Arrangement<T> {
  /** To be tried one after the other: the ejected last. */
  readonly ordered: readonly T[];
  /** Where a request goes when the one that was drawn is full: the ejected only when there is nobody else. */
  readonly spill: readonly T[];
  /** Those that get something. */
  readonly levels: readonly Level<T>[];
  /** Whom keys are shared among: the healthy of the best state there is. */
  readonly keyed: readonly Candidate<T>[];
}

export interface ArrangeRules extends SpillRules {
  readonly regions: "local-first" | "shared";
}

/** Where nothing is asked for: the first place where anybody is healthy takes all. */
export const plainArrangement: ArrangeRules = {
  regions: "local-first",
  overprovisioning: Number.MAX_VALUE,
  panicBelow: 0,
};

/** `candidates` in the order in which they are tried, each with a weight above 0. */
export function arrange<T>(candidates: readonly Candidate<T>[], rules: ArrangeRules): Arrangement<T> {
  const healthy = candidates.filter(({ isEjected }) => !isEjected);
  const best = healthy[0]?.state;
  const ordered = [...healthy, ...candidates.filter(({ isEjected }) => isEjected)].map(({ who }) => who);
  return {
    ordered,
    spill: healthy.length > 0 ? ordered.slice(0, healthy.length) : ordered,
    levels: levelsOf(candidates, rules),
    keyed: healthy.filter(({ state }) => state === best),
  };
}

function levelsOf<T>(candidates: readonly Candidate<T>[], rules: ArrangeRules): readonly Level<T>[] {
  const places = new Map<string, Candidate<T>[]>();
  for (const candidate of candidates) {
    const place = placeOf(candidate.state, candidate.target.region, rules);
    const there = places.get(place);
    if (there) there.push(candidate);
    else places.set(place, [candidate]);
  }
  const groups = [...places.values()];
  const loads = spread(
    groups.map((group) => ({
      total: sum(group.map(({ target }) => target.weight)),
      healthy: sum(group.map((each) => (each.isEjected ? 0 : weightOf(each)))),
    })),
    rules,
  );
  let upTo = 0;
  return groups.flatMap((group, at) => {
    const { load, isPanic } = loads[at] as (typeof loads)[number];
    const drawn = group.filter(({ isEjected }) => isPanic || !isEjected);
    if (load <= 0 || drawn.length === 0) return [];
    upTo += load;
    let weight = 0;
    const weightsUpTo = Float64Array.from(drawn, (each) => {
      weight += weightOf(each);
      return weight;
    });
    return [{ upTo, who: drawn.map(({ who }) => who), weightsUpTo }];
  });
}

function placeOf(state: RegionState, region: RegionName, { regions }: ArrangeRules): string {
  return regions === "shared" ? state : `${state} ${region}`;
}

function weightOf({ target, ramp }: Candidate<unknown>): number {
  return target.weight * ramp;
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}

/** Numbers in [0, 1); asked only where there is something to choose. */
export type Chance = () => number;

/** null: nobody is there. */
export function draw<T>({ levels }: Arrangement<T>, chance: Chance): T | null {
  const level = drawLevel(levels, chance);
  return level === null ? null : drawFrom(level, chance);
}

/** C3. Two draws by weight, and the cheaper of both: never a herd on the one that was the fastest. */
export function drawCheaper<T>(
  { levels }: Arrangement<T>,
  chance: Chance,
  cost: (who: T) => number,
): T | null {
  const level = drawLevel(levels, chance);
  if (level === null) return null;
  const one = drawFrom(level, chance);
  const other = drawFrom(level, chance);
  return one !== other && cost(other) < cost(one) ? other : one;
}

function drawLevel<T>(levels: readonly Level<T>[], chance: Chance): Level<T> | null {
  const { length } = levels;
  if (length <= 1) return levels[0] ?? null;
  const point = chance();
  for (let at = 0; at < length - 1; at++) {
    const level = levels[at] as Level<T>;
    if (point < level.upTo) return level;
  }
  return levels[length - 1] as Level<T>;
}

function drawFrom<T>({ who, weightsUpTo }: Level<T>, chance: Chance): T {
  const last = who.length - 1;
  if (last === 0) return who[0] as T;
  const point = chance() * (weightsUpTo[last] as number);
  for (let at = 0; at < last; at++) if (point < (weightsUpTo[at] as number)) return who[at] as T;
  return who[last] as T;
}

/** Whose the key is among those that `may` take it; null: nobody's. */
export function ownerOf<T>({ keyed }: Arrangement<T>, keyHash: number, may: (who: T) => boolean): T | null {
  let owner: T | null = null;
  let best = Number.POSITIVE_INFINITY;
  for (const { who, hash, target } of keyed) {
    if (!may(who)) continue;
    const drawn = drawOf(keyHash, hash, target.weight);
    if (best <= drawn) continue;
    best = drawn;
    owner = who;
  }
  return owner;
}
