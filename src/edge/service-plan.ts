/** What the routing table means for each service right now: its upstreams in the order to try them, kept ready. */
import type { Priority } from "../core/model/degradation.ts";
import type { RoutingTable, ServiceRoute, Target } from "../core/model/routing.ts";
import { canonicalJson } from "../core/traffic/canonical.ts";
import { orderTargets, pickByWeight } from "../core/traffic/choose.ts";
import { type Returning, unlimited } from "../core/traffic/return.ts";
import { serviceFor } from "../core/traffic/service.ts";
import type { Metrics } from "./metrics.ts";
import { Upstream } from "./upstream.ts";

/** What every plan of an edge goes by. */
interface PlanWorld {
  readonly ownRegion: string;
  readonly upstreams: ReadonlyMap<string, Upstream>;
  table: RoutingTable;
  /** Goes up when what a plan is arranged by changed for all of them: the states of regions. */
  era: number;
}

export class ServicePlan {
  readonly name: string;
  route: ServiceRoute;
  readonly #world: PlanWorld;
  /** Of the arrangement; -1: it must be made anew. */
  #era = -1;
  #ordered: readonly Upstream[] = [];
  /** For tests: how often it was arranged. */
  arranged = 0;
  /** Requests of this service under way, held ones too; and repeats among their tries (for the budget). */
  active = 0;
  repeating = 0;
  /** Unsafe tries under way, and how many there may be while a writer comes back. */
  writing = 0;
  returning: Returning = unlimited;
  #peers: readonly Target[] = [];

  constructor(name: string, route: ServiceRoute, world: PlanWorld) {
    this.name = name;
    this.route = route;
    this.#world = world;
  }

  get table(): RoutingTable {
    return this.#world.table;
  }

  /** In the order to try them. Arranged when it is first asked for: a table that moves a thousand services moves them at once. */
  get ordered(): readonly Upstream[] {
    if (this.#era !== this.#world.era) this.#arrange();
    return this.#ordered;
  }

  /** Its route, or whether one of its upstreams is ejected, changed. */
  rearrange(): void {
    this.#era = -1;
  }

  #arrange(): void {
    const { table, ownRegion, upstreams, era } = this.#world;
    const targets = orderTargets({
      table,
      targets: this.route.targets,
      allow: this.route.allow,
      ownRegion,
      isEjected: (target) => upstreams.get(keyOf(target))?.isEjected ?? false,
    });
    this.#era = era;
    this.arranged++;
    this.#ordered = targets.map((target) => upstreams.get(keyOf(target)) as Upstream);
    const isBad = this.#ordered[0]?.isEjected ?? false;
    this.#peers = targets.filter(
      (target) => target.region === targets[0]?.region && (isBad || !upstreams.get(keyOf(target))?.isEjected),
    );
  }

  /** The next upstream that is not in `tried`, or null. Instances of the first region share by weight. */
  choose(tried: readonly Upstream[]): Upstream | null {
    const { ordered } = this;
    if (tried.length === 0) {
      if (this.#peers.length <= 1) return ordered[0] ?? null;
      const target = pickByWeight(this.#peers, Math.random());
      return (target && this.#world.upstreams.get(keyOf(target))) ?? null;
    }
    return ordered.find((upstream) => !tried.includes(upstream)) ?? null;
  }

  /** As `choose`, but only what has room: the spill when the first is full. */
  chooseWithRoom(tried: readonly Upstream[], priority: Priority): Upstream | null {
    const fits = (upstream: Upstream) => !tried.includes(upstream) && upstream.hasRoom(priority);
    return this.ordered.find(fits) ?? null;
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
  #world: PlanWorld | null = null;
  #only: ServicePlan | null = null;

  constructor(ownRegion: string, metrics: Metrics) {
    this.#ownRegion = ownRegion;
    this.#metrics = metrics;
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
    if (regionsBefore && canonicalJson(regionsBefore) !== canonicalJson(table.regions)) this.#world.era++;
    const left = new Set<string>();
    for (const [name, route] of Object.entries(table.services)) {
      const plan = this.#plans.get(name);
      if (plan?.route === route) continue;
      this.#reroute(plan ?? this.#add(name, route, this.#world), plan?.route ?? null, route, left);
    }
    for (const [name, plan] of this.#plans) {
      if (Object.hasOwn(table.services, name)) continue;
      this.#plans.delete(name);
      for (const target of plan.route.targets) this.#leave(keyOf(target), plan, left);
    }
    this.#only = this.#plans.size === 1 ? ([...this.#plans.values()][0] as ServicePlan) : null;
    for (const key of left) this.#closeIfUnused(key, table);
  }

  #add(name: string, route: ServiceRoute, world: PlanWorld): ServicePlan {
    const plan = new ServicePlan(name, route, world);
    this.#plans.set(name, plan);
    return plan;
  }

  #reroute(plan: ServicePlan, before: ServiceRoute | null, route: ServiceRoute, left: Set<string>): void {
    plan.route = route;
    plan.rearrange();
    for (const target of before?.targets ?? []) this.#leave(keyOf(target), plan, left);
    for (const target of route.targets) {
      const key = keyOf(target);
      const place = this.#places.get(key) ?? this.#open(key, target);
      place.plans.add(plan);
    }
  }

  #leave(key: string, plan: ServicePlan, left: Set<string>): void {
    this.#places.get(key)?.plans.delete(plan);
    left.add(key);
  }

  #closeIfUnused(key: string, table: RoutingTable): void {
    const place = this.#places.get(key);
    if (!place || place.plans.size > 0) return;
    this.#places.delete(key);
    this.#upstreams.delete(key);
    const state = table.regions[place.upstream.region];
    // What is under way there must not go on (S14); what is safe to repeat is, by the order that stands now.
    if (state === "fenced" || state === "forbidden") place.upstream.destroy();
    else place.upstream.retire();
  }

  close(): void {
    for (const upstream of this.#upstreams.values()) upstream.destroy();
  }

  #open(key: string, target: Target): Place {
    const plans = new Set<ServicePlan>();
    const upstream = new Upstream(target, () => {
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

/** One instance may stand for two regions, such as a balancer between them: its breaker and its name are each's own. */
function keyOf({ region, url }: Target): string {
  return `${region} ${url}`;
}
