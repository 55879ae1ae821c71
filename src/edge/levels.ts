/** The level of each service as this edge goes by it: what the table orders, and what it takes by itself. */
import { type Automatic, nextAutomatic, unraised } from "../core/traffic/automatic.ts";
import { type Stand, standAt } from "../core/traffic/degrade.ts";
import { entitledRps } from "../core/traffic/share.ts";
import type { Metrics } from "./metrics.ts";
import { monotonicNow } from "./monotonic.ts";
import type { ServicePlan } from "./service-plan.ts";

/** One look. Shorter: bursts are taken for load; longer: a lost region is felt longer. */
const lookEveryMs = 1000;
/** Weight of the newest look in the mean of what is offered: half of it is forgotten after two looks. */
const newest = 0.3;

/** What requests go by, and what they leave behind. Kept while its service is in the table. */
export class ServiceLevel {
  readonly plan: ServicePlan;
  #route: ServicePlan["route"] | null = null;
  #stand: Stand | null = null;
  #automatic: Automatic = unraised;
  /** Since the last look. */
  #requests = 0;
  #turnedAway = 0;
  /** A mean over some three seconds. */
  offeredRps = 0;

  constructor(plan: ServicePlan) {
    this.plan = plan;
  }

  get stand(): Stand {
    const { route } = this.plan;
    if (this.#stand === null || this.#route !== route) {
      this.#route = route;
      this.#stand = standAt(route, this.#automatic.level);
    }
    return this.#stand;
  }

  get automatic(): number {
    return this.#automatic.level;
  }

  /** Without levels nobody looks: what came until then is not the load of the first second with them. */
  came(): void {
    if (this.plan.route.levels !== undefined) this.#requests++;
  }

  foundNoRoom(): void {
    if (this.plan.route.levels !== undefined) this.#turnedAway++;
  }

  /** `beside`: what other processes of the edge are offered, per second. True: another level than before. */
  look(now: number, tookMs: number, beside = 0): boolean {
    const { route, lane } = this.plan;
    const rps = (this.#requests * 1000) / tookMs;
    this.offeredRps += newest * (rps - this.offeredRps);
    const sight = {
      // A burst of one look is not load, and what has just ended is none any more.
      offeredRps: this.offeredRps + beside,
      entitledRps: entitledRps(
        route.capacity,
        new Set(lane.ordered.filter((upstream) => !upstream.isEjected).map(({ region }) => region)),
      ),
      requests: this.#requests,
      turnedAway: this.#turnedAway,
    };
    this.#requests = this.#turnedAway = 0;
    const before = this.stand.level;
    this.#automatic = nextAutomatic(this.#automatic, route.levels, sight, now);
    this.#stand = null;
    return this.stand.level !== before;
  }
}

export class EdgeLevels {
  readonly #levels = new WeakMap<ServicePlan, ServiceLevel>();
  /** Those of services with levels, for who reads metrics. */
  readonly #shown = new Map<string, ServiceLevel>();
  readonly #metrics: Metrics;
  readonly #onChanged: () => void;
  readonly #plans: () => Iterable<ServicePlan>;
  readonly #timer: NodeJS.Timeout;
  #lookedAt = monotonicNow();
  /** What the edge's other processes are offered of each service, per second. */
  beside: Readonly<Record<string, number>> = {};

  /** `onChanged` is called when a service's level is another by this edge's own doing. */
  constructor(plans: () => Iterable<ServicePlan>, metrics: Metrics, onChanged: () => void) {
    this.#plans = plans;
    this.#metrics = metrics;
    this.#onChanged = onChanged;
    this.#timer = setInterval(() => this.#look(), lookEveryMs);
    this.#timer.unref();
  }

  of(plan: ServicePlan): ServiceLevel {
    const known = this.#levels.get(plan);
    if (known) return known;
    const made = new ServiceLevel(plan);
    this.#levels.set(plan, made);
    return made;
  }

  /** Of services with levels, per second. */
  get offered(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#shown].map(([service, { offeredRps }]) => [service, offeredRps]));
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = monotonicNow();
    const tookMs = Math.max(1, now - this.#lookedAt);
    this.#lookedAt = now;
    let isAnother = false;
    for (const plan of this.#plans()) {
      if (plan.route.levels === undefined) continue;
      const level = this.of(plan);
      const { name: service } = plan;
      this.#show(service, level);
      const before = level.stand.level;
      if (!level.look(now, tookMs, this.beside[service] ?? 0)) continue;
      isAnother = true;
      const to = level.stand.level;
      this.#metrics.count("holdfast_edge_level_changes_total", { service, to: before < to ? "up" : "down" });
    }
    if (isAnother) this.#onChanged();
  }

  #show(service: string, level: ServiceLevel): void {
    const isNew = !this.#shown.has(service);
    this.#shown.set(service, level);
    if (!isNew) return;
    const shown = () => this.#shown.get(service);
    this.#metrics.gauge("holdfast_edge_level", { service }, () => shown()?.stand.level ?? 0);
    this.#metrics.gauge("holdfast_edge_level_automatic", { service }, () => shown()?.automatic ?? 0);
    this.#metrics.gauge("holdfast_edge_offered_per_second", { service }, () => shown()?.offeredRps ?? 0);
  }
}
