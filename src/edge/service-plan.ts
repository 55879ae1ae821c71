/** What the routing table means for each service right now: its upstreams in the order to try them, kept ready. */
import type { RoutingTable, ServiceRoute, Target } from "../core/model/routing.ts";
import { orderTargets, pickByWeight } from "../core/traffic/choose.ts";
import type { Priority } from "../core/traffic/concurrency.ts";
import { type Returning, unlimited } from "../core/traffic/return.ts";
import { serviceFor } from "../core/traffic/service.ts";
import type { Metrics } from "./metrics.ts";
import { Upstream } from "./upstream.ts";

export class ServicePlan {
  readonly name: string;
  table: RoutingTable;
  route: ServiceRoute;
  ordered: readonly Upstream[] = [];
  /** Requests of this service under way, held ones too; and repeats among their tries (for the budget). */
  active = 0;
  repeating = 0;
  /** Unsafe tries under way, and how many there may be while a writer comes back. */
  writing = 0;
  returning: Returning = unlimited;
  #peers: readonly Target[] = [];
  #byKey: ReadonlyMap<string, Upstream> = new Map();

  constructor(name: string, table: RoutingTable, route: ServiceRoute) {
    this.name = name;
    this.table = table;
    this.route = route;
  }

  arrange(ownRegion: string, upstreams: ReadonlyMap<string, Upstream>): void {
    const targets = orderTargets({
      table: this.table,
      targets: this.route.targets,
      allow: this.route.allow,
      ownRegion,
      isEjected: (target) => upstreams.get(keyOf(target))?.isEjected ?? false,
    });
    this.#byKey = upstreams;
    this.ordered = targets.map((target) => upstreams.get(keyOf(target)) as Upstream);
    const isBad = this.ordered[0]?.isEjected ?? false;
    this.#peers = targets.filter(
      (target) => target.region === targets[0]?.region && (isBad || !upstreams.get(keyOf(target))?.isEjected),
    );
  }

  /** The next upstream that is not in `tried`, or null. Instances of the first region share by weight. */
  choose(tried: readonly Upstream[]): Upstream | null {
    if (tried.length === 0) {
      if (this.#peers.length <= 1) return this.ordered[0] ?? null;
      const target = pickByWeight(this.#peers, Math.random());
      return (target && this.#byKey.get(keyOf(target))) ?? null;
    }
    return this.ordered.find((upstream) => !tried.includes(upstream)) ?? null;
  }

  /** As `choose`, but only what has room: the spill when the first is full. */
  chooseWithRoom(tried: readonly Upstream[], priority: Priority): Upstream | null {
    const fits = (upstream: Upstream) => !tried.includes(upstream) && upstream.hasRoom(priority);
    return this.ordered.find(fits) ?? null;
  }
}

export class ServicePlans {
  readonly #ownRegion: string;
  readonly #metrics: Metrics;
  readonly #upstreams = new Map<string, Upstream>();
  #plans = new Map<string, ServicePlan>();
  #only: ServicePlan | null = null;
  #table: RoutingTable | null = null;

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
    return this.#table !== null;
  }

  /** null: no such service. */
  find(host: string, path: string): ServicePlan | null {
    if (this.#only) return this.#only;
    if (!this.#table) return null;
    const name = serviceFor(this.#table, host, path);
    return name === null ? null : (this.#plans.get(name) ?? null);
  }

  /** Plans live on from table to table, so that what is under way is counted on. */
  follow(table: RoutingTable): void {
    this.#table = table;
    const plans = new Map<string, ServicePlan>();
    const wanted = new Set<string>();
    for (const [name, route] of Object.entries(table.services)) {
      const plan = this.#plans.get(name) ?? new ServicePlan(name, table, route);
      plan.table = table;
      plan.route = route;
      plans.set(name, plan);
      for (const target of route.targets) {
        const key = keyOf(target);
        wanted.add(key);
        if (!this.#upstreams.has(key)) this.#upstreams.set(key, this.#open(target));
      }
    }
    const leaving = [...this.#upstreams].filter(([key]) => !wanted.has(key));
    for (const [key] of leaving) this.#upstreams.delete(key);
    this.#plans = plans;
    this.#only = plans.size === 1 ? ([...plans.values()][0] as ServicePlan) : null;
    this.#arrange();
    for (const [, upstream] of leaving) {
      const state = table.regions[upstream.region];
      // What is under way there must not go on (S14); what is safe to repeat is, by the order that stands now.
      if (state === "fenced" || state === "forbidden") upstream.destroy();
      else upstream.retire();
    }
  }

  close(): void {
    for (const upstream of this.#upstreams.values()) upstream.destroy();
  }

  #open(target: Target): Upstream {
    const upstream = new Upstream(target, () => this.#arrange());
    this.#metrics.gauge("holdfast_edge_breaker_open", { region: target.region, url: target.url }, () =>
      this.#upstreams.get(keyOf(target))?.isEjected ? 1 : 0,
    );
    return upstream;
  }

  #arrange(): void {
    for (const plan of this.#plans.values()) plan.arrange(this.#ownRegion, this.#upstreams);
  }
}

/** One instance may stand for two regions, such as a balancer between them: its breaker and its name are each's own. */
function keyOf({ region, url }: Target): string {
  return `${region} ${url}`;
}
