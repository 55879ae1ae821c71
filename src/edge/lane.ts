/**
 * The upstreams of a service that some of its requests may go to, arranged: all of them, or those that a limit leaves.
 *
 * Arranged when it is first asked for: a table that moves a thousand services moves them at once.
 */
import type { RegionState, RoutingTable, ServiceRoute, Target } from "../core/model/routing.ts";
import type { InstantMs } from "../core/model/time.ts";
import { boundEjections } from "../core/traffic/breaker.ts";
import { orderTargets } from "../core/traffic/choose.ts";
import type { Priority } from "../core/traffic/concurrency.ts";
import { type Arrangement, arrange, draw, drawCheaper, ownerOf } from "../core/traffic/levels.ts";
import type { AllowedRegions } from "../core/traffic/sovereignty.ts";
import { monotonicNow } from "./monotonic.ts";
import type { PlanRules } from "./plan-rules.ts";
import type { Upstream } from "./upstream.ts";

/** What lanes of an edge go by. */
export interface LaneWorld {
  readonly ownRegion: string;
  readonly upstreams: ReadonlyMap<string, Upstream>;
  table: RoutingTable;
  /** Goes up when what a lane is arranged by changed for all of them: the states of regions. */
  era: number;
}

/** During a slow start a share grows in steps of this length. */
const rampStepMs = 100;

const chance = Math.random;
const anybody = (): boolean => true;

export class Lane {
  readonly #world: LaneWorld;
  readonly #limit: AllowedRegions | null;
  #route: ServiceRoute;
  #rules: PlanRules;
  /** Of the arrangement; -1: it must be made anew. */
  #era = -1;
  /** A slow start is under way: shares are to be looked at again then. */
  #until: InstantMs = Number.POSITIVE_INFINITY;
  #arrangement: Arrangement<Upstream> = { ordered: [], spill: [], levels: [], keyed: [] };
  readonly #costNow = (upstream: Upstream): number => upstream.costAt(monotonicNow());
  /** For tests: how often it was arranged. */
  arranged = 0;

  constructor(world: LaneWorld, route: ServiceRoute, rules: PlanRules, limit: AllowedRegions | null) {
    this.#world = world;
    this.#route = route;
    this.#rules = rules;
    this.#limit = limit;
  }

  follow(route: ServiceRoute, rules: PlanRules): void {
    this.#route = route;
    this.#rules = rules;
    this.#era = -1;
  }

  /** Whether one of its upstreams is ejected changed. */
  rearrange(): void {
    this.#era = -1;
  }

  /** In the order to try them. */
  get ordered(): readonly Upstream[] {
    return this.#now().ordered;
  }

  /** The next upstream that is not in `tried`, or null. `key`: of the request's affinity. */
  choose(tried: readonly Upstream[], key: number | null): Upstream | null {
    const arrangement = this.#now();
    if (key !== null) {
      const owner = ownerOf(arrangement, key, tried.length === 0 ? anybody : (each) => !tried.includes(each));
      if (owner !== null) return owner;
    }
    if (tried.length > 0) return arrangement.ordered.find((each) => !tried.includes(each)) ?? null;
    return this.#rules.byLatency
      ? drawCheaper(arrangement, chance, this.#costNow)
      : draw(arrangement, chance);
  }

  /** As `choose`, but only what has room: the spill when the first is full. */
  chooseWithRoom(tried: readonly Upstream[], priority: Priority, key: number | null): Upstream | null {
    const arrangement = this.#now();
    const fits = (upstream: Upstream) => !tried.includes(upstream) && upstream.hasRoom(priority);
    const owner = key === null ? null : ownerOf(arrangement, key, fits);
    return owner ?? arrangement.spill.find(fits) ?? null;
  }

  #now(): Arrangement<Upstream> {
    if (this.#era !== this.#world.era) this.#arrange();
    else if (this.#until < Number.POSITIVE_INFINITY && this.#until <= monotonicNow()) this.#arrange();
    return this.#arrangement;
  }

  #arrange(): void {
    const { table, ownRegion, upstreams, era } = this.#world;
    const now = monotonicNow();
    const { targets, allow } = this.#route;
    const usable = orderTargets({ table, targets, allow, ownRegion, isEjected: () => false });
    const candidates = usable.map((target) => {
      const who = upstreams.get(keyOf(target)) as Upstream;
      return { target, who, ramp: who.rampAt(now) };
    });
    const out = boundEjections(
      candidates.map(({ who }) => who.ejectedSince),
      this.#rules.ejectedShareMax,
    );
    const arranged = candidates.map(({ target, who, ramp }, at) => ({
      who,
      target,
      ramp,
      state: table.regions[target.region] as RegionState,
      hash: who.hash,
      isEjected: who.isUnhealthy || (out[at] as boolean),
    }));
    const limit = this.#limit;
    this.#arrangement = arrange(
      limit === null ? arranged : arranged.filter(({ target }) => limit.has(target.region)),
      this.#rules.arrange,
    );
    const isRamping = candidates.some(({ ramp }) => ramp < 1);
    this.#until = isRamping ? now + rampStepMs : Number.POSITIVE_INFINITY;
    this.#era = era;
    this.arranged++;
  }
}

/** One instance may stand for two regions, such as a balancer between them: its breaker and its name are each's own. */
export function keyOf({ region, url }: Target): string {
  return `${region} ${url}`;
}
