/** What the routing table means for each service right now: its upstreams, its rules, and what is under way. */
import type { RoutingTable, ServiceRoute, Target } from "../core/model/routing.ts";
import { RetryLedger } from "../core/traffic/budget.ts";
import { canonicalJson } from "../core/traffic/canonical.ts";
import { mayServe } from "../core/traffic/choose.ts";
import { type ConcurrencyRules, concurrencyRules } from "../core/traffic/concurrency.ts";
import { type Part, partOf, whole } from "../core/traffic/part.ts";
import { type Returning, unlimited } from "../core/traffic/return.ts";
import { serviceFor } from "../core/traffic/service.ts";
import type { AllowedRegions } from "../core/traffic/sovereignty.ts";
import { mergeRules, type UpstreamRules } from "../core/traffic/upstream-rules.ts";
import { keyOf, Lane, type LaneWorld } from "./lane.ts";
import type { Metrics } from "./metrics.ts";
import { type PlanRules, planRules } from "./plan-rules.ts";
import { Upstream } from "./upstream.ts";

export class ServicePlan {
  readonly name: string;
  route: ServiceRoute;
  rules: PlanRules;
  /** For requests that nothing limits below the service's own limits. */
  readonly lane: Lane;
  readonly #world: LaneWorld;
  /** By the set that a limit gives; null: nobody asked yet. Weak: sets beyond those that are kept go, with their lanes. */
  #limited: WeakMap<AllowedRegions, Lane> | null = null;
  /** Requests of this service under way, held ones too; and repeats among their tries (for the budget). */
  active = 0;
  repeating = 0;
  readonly ledger = new RetryLedger();
  /** The time within which as many answers come as hedging waits for; 0: not known yet. */
  usualMs = 0;
  /** Unsafe tries under way, and how many there may be while a writer comes back. */
  writing = 0;
  returning: Returning = unlimited;

  constructor(name: string, route: ServiceRoute, world: LaneWorld) {
    this.name = name;
    this.route = route;
    this.rules = planRules(route.traffic);
    this.#world = world;
    this.lane = new Lane(world, route, this.rules, null);
  }

  get table(): RoutingTable {
    return this.#world.table;
  }

  follow(route: ServiceRoute): void {
    this.route = route;
    this.rules = planRules(route.traffic);
    this.lane.follow(route, this.rules);
    this.#limited = null;
  }

  /** Whether one of its upstreams is ejected changed. */
  rearrange(): void {
    this.lane.rearrange();
    this.#limited = null;
  }

  laneWithin(limit: AllowedRegions): Lane {
    this.#limited ??= new WeakMap();
    const known = this.#limited.get(limit);
    if (known) return known;
    const lane = new Lane(this.#world, this.route, this.rules, limit);
    this.#limited.set(limit, lane);
    return lane;
  }
}

/** An upstream, and the plans that it stands in. */
interface Place {
  readonly upstream: Upstream;
  readonly plans: Set<ServicePlan>;
}

export class ServicePlans {
  readonly #metrics: Metrics;
  readonly #upstreams = new Map<string, Upstream>();
  readonly #places = new Map<string, Place>();
  readonly #plans = new Map<string, ServicePlan>();
  readonly #ownRegion: string;
  readonly #drainMs: number;
  readonly #limits: ConcurrencyRules;
  readonly #part: Part;
  #world: LaneWorld | null = null;
  #only: ServicePlan | null = null;

  /** `drainMs`: how long what is under way may take in a region that is drained, or at an upstream that is left out. */
  constructor(
    ownRegion: string,
    metrics: Metrics,
    drainMs: number,
    limits: ConcurrencyRules = concurrencyRules,
    part: Part = whole,
  ) {
    this.#ownRegion = ownRegion;
    this.#metrics = metrics;
    this.#drainMs = drainMs;
    this.#limits = { ...limits, least: partOf(limits.least, part), most: partOf(limits.most, part) };
    this.#part = part;
  }

  get all(): Iterable<ServicePlan> {
    return this.#plans.values();
  }

  get upstreams(): Iterable<Upstream> {
    return this.#upstreams.values();
  }

  get hasTable(): boolean {
    return this.#world !== null;
  }

  /** null: no such service. */
  find(host: string, path: string): ServicePlan | null {
    if (this.#only) return this.#only;
    if (!this.#world) return null;
    const name = serviceFor(this.#world.table, host, path);
    return name === null ? null : (this.#plans.get(name) ?? null);
  }

  /**
   * Plans live on from table to table, so that what is under way is counted on. Of a service whose route is the same object
   * as before nothing is looked at: the price is that of what changed.
   */
  follow(table: RoutingTable): void {
    const regionsBefore = this.#world?.table.regions;
    this.#world ??= { ownRegion: this.#ownRegion, upstreams: this.#upstreams, table, era: 0 };
    this.#world.table = table;
    if (regionsBefore && canonicalJson(regionsBefore) !== canonicalJson(table.regions)) {
      this.#world.era++;
      this.#turnRegions(regionsBefore, table.regions);
    }
    const touched = new Set<string>();
    for (const [name, route] of Object.entries(table.services)) {
      const plan = this.#plans.get(name);
      if (plan?.route === route) continue;
      this.#reroute(plan ?? this.#add(name, route, this.#world), plan?.route ?? null, route, touched);
    }
    for (const [name, plan] of this.#plans) {
      if (Object.hasOwn(table.services, name)) continue;
      this.#plans.delete(name);
      for (const target of plan.route.targets) this.#leave(keyOf(target), plan, touched);
    }
    this.#only = this.#plans.size === 1 ? ([...this.#plans.values()][0] as ServicePlan) : null;
    for (const key of touched) this.#settle(key, table);
  }

  /** Slow start for what serves again, a hard end for what is drained. */
  #turnRegions(before: RoutingTable["regions"], after: RoutingTable["regions"]): void {
    for (const upstream of this.#upstreams.values()) {
      const [was, is] = [mayServe(before[upstream.region]), mayServe(after[upstream.region])];
      if (!was && is) upstream.returned();
      else if (was && !is) upstream.drain(this.#drainMs);
    }
  }

  #add(name: string, route: ServiceRoute, world: LaneWorld): ServicePlan {
    const plan = new ServicePlan(name, route, world);
    this.#plans.set(name, plan);
    return plan;
  }

  #reroute(plan: ServicePlan, before: ServiceRoute | null, route: ServiceRoute, touched: Set<string>): void {
    plan.follow(route);
    if (before?.targets === route.targets) {
      if (before.traffic !== route.traffic) for (const target of route.targets) touched.add(keyOf(target));
      return;
    }
    for (const target of before?.targets ?? []) this.#leave(keyOf(target), plan, touched);
    for (const target of route.targets) {
      const key = keyOf(target);
      const known = this.#places.get(key);
      const place = known ?? this.#open(key, target);
      // The service was served without it: what comes to it now comes back.
      if (!known && before) place.upstream.returned();
      place.plans.add(plan);
      touched.add(key);
    }
  }

  #leave(key: string, plan: ServicePlan, touched: Set<string>): void {
    this.#places.get(key)?.plans.delete(plan);
    touched.add(key);
  }

  /** Once for each upstream, however many services stand on it. */
  #settle(key: string, table: RoutingTable): void {
    const place = this.#places.get(key);
    if (!place) return;
    if (place.plans.size > 0) {
      const rules = mergeRules([...place.plans].map((each) => each.route.traffic));
      place.upstream.follow(partOfRules(rules, this.#part));
      return;
    }
    this.#places.delete(key);
    this.#upstreams.delete(key);
    const state = table.regions[place.upstream.region];
    // What is under way there must not go on (S14); what is safe to repeat is, by the order that stands now.
    if (state === "fenced" || state === "forbidden") place.upstream.destroy();
    else place.upstream.retire(this.#drainMs);
  }

  close(): void {
    for (const upstream of this.#upstreams.values()) upstream.destroy();
  }

  #open(key: string, target: Target): Place {
    const plans = new Set<ServicePlan>();
    const upstream = new Upstream(target, this.#limits, () => {
      for (const plan of plans) plan.rearrange();
    });
    const place = { upstream, plans };
    this.#upstreams.set(key, upstream);
    this.#places.set(key, place);
    this.#metrics.gauge("holdfast_edge_breaker_open", { region: target.region, url: target.url }, () =>
      this.#upstreams.get(key)?.isEjected ? 1 : 0,
    );
    return place;
  }
}

function partOfRules(rules: UpstreamRules, part: Part): UpstreamRules {
  if (part.of === 1) return rules;
  const { connections, pending, requests } = rules.bulkhead;
  const bulkhead = {
    connections: partOf(connections, part),
    pending: partOf(pending, part),
    requests: partOf(requests, part),
  };
  return { ...rules, bulkhead };
}
