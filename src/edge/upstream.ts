/** One instance of a service as an edge sees it: its connections, breaker, limit, and the checks that let it back in. */
import type { Target } from "../core/model/routing.ts";
import type { InstantMs } from "../core/model/time.ts";
import {
  afterFailure,
  afterProbeFailure,
  afterSuccess,
  type Breaker,
  closedBreaker,
  isOpen,
  mayProbe,
} from "../core/traffic/breaker.ts";
import { afterCheck, type Checked, unchecked } from "../core/traffic/check.ts";
import {
  afterAnswer,
  type ConcurrencyLimit,
  type ConcurrencyRules,
  firstLimit,
  mayEnter,
  type Priority,
} from "../core/traffic/concurrency.ts";
import { afterLatency, costOf, type Latency, unknownLatency } from "../core/traffic/latency.ts";
import { rampAt } from "../core/traffic/ramp.ts";
import { hashOf } from "../core/traffic/rendezvous.ts";
import { plainRules, type UpstreamRules } from "../core/traffic/upstream-rules.ts";
import type { AttemptTarget } from "./attempt.ts";
import { HealthCheck } from "./health-check.ts";
import { monotonicNow } from "./monotonic.ts";
import { UpstreamPool } from "./upstream-pool.ts";

const probeTimeoutMs = 1000;

export class Upstream implements AttemptTarget {
  readonly url: string;
  readonly region: string;
  readonly hash: number;
  readonly pool: UpstreamPool;
  readonly #healthPath: string;
  readonly #onTurned: () => void;
  readonly #check: HealthCheck;
  /** Tries under way. */
  inFlight = 0;
  #rules: UpstreamRules = plainRules;
  readonly #limits: ConcurrencyRules;
  #limit: ConcurrencyLimit;
  #breaker: Breaker = closedBreaker;
  #checked: Checked = unchecked;
  #latency: Latency = unknownLatency;
  /** null: it was never gone. */
  #returnedAt: InstantMs | null = null;
  #probing: NodeJS.Timeout | null = null;
  #hardEnd: NodeJS.Timeout | null = null;
  #retired = false;

  /** `onTurned` is called when it is ejected and when it is let back in. */
  constructor(target: Target, limits: ConcurrencyRules, onTurned: () => void) {
    this.url = target.url;
    this.#limits = limits;
    const limit = Math.max(limits.least, Math.min(limits.most, firstLimit.limit));
    this.#limit = { ...firstLimit, limit };
    this.region = target.region;
    this.hash = hashOf(`${target.region} ${target.url}`);
    this.#healthPath = target.healthPath;
    this.#onTurned = onTurned;
    this.pool = new UpstreamPool(target.url, plainRules.bulkhead);
    this.#check = new HealthCheck(target.url, target.region);
  }

  /** What the services that stand on it ask for now. */
  follow(rules: UpstreamRules): void {
    const before = this.#rules;
    if (before === rules) return;
    this.#rules = rules;
    this.pool.bounds = rules.bulkhead;
    if (JSON.stringify(before.checks) === JSON.stringify(rules.checks)) return;
    if (rules.checks === null) this.#turnChecked(unchecked);
    this.#check.repeat(rules.checks, this.#healthPath, (passed) => {
      if (this.#rules.checks) this.#turnChecked(afterCheck(this.#checked, passed, this.#rules.checks));
    });
  }

  get isEjected(): boolean {
    return isOpen(this.#breaker) || !this.#checked.isHealthy;
  }

  /** Since when failures keep it out; null: they do not. What its own check says is no matter of shares. */
  get ejectedSince(): InstantMs | null {
    return isOpen(this.#breaker) && this.#checked.isHealthy ? this.#breaker.turnedAt : null;
  }

  get isUnhealthy(): boolean {
    return !this.#checked.isHealthy;
  }

  get limit(): number {
    return Math.min(Math.floor(this.#limit.limit), this.#rules.bulkhead.requests);
  }

  hasRoom(priority: Priority): boolean {
    return (
      this.inFlight < this.#rules.bulkhead.requests && mayEnter(this.#limit.limit, this.inFlight, priority)
    );
  }

  /** See `rampAt`. */
  rampAt(now: InstantMs): number {
    return rampAt(this.#returnedAt, this.#rules.slowStartMs, now);
  }

  /** It serves again after it did not: its region came back, or it did. */
  returned(): void {
    if (this.#hardEnd) clearTimeout(this.#hardEnd);
    this.#hardEnd = null;
    this.#returnedAt = monotonicNow();
  }

  /** Its region is drained: what is under way may finish until the hard end. */
  drain(hardEndMs: number): void {
    this.#hardEnd ??= setTimeout(() => this.pool.cut(), hardEndMs).unref();
  }

  costAt(now: InstantMs): number {
    return costOf(this.#latency, this.inFlight, now);
  }

  /** `inFlight`: when the try began, it counted. `dropped`: it was refused, or no answer came. */
  learn(tookMs: number, inFlight: number, dropped: boolean): void {
    if (this.#rules.learnsLatency) this.#latency = afterLatency(this.#latency, tookMs, monotonicNow());
    // That nobody answers says nothing about how many would be answered: it is the breaker's affair.
    if (this.isEjected) return;
    const answered = { now: monotonicNow(), tookMs, inFlight, dropped };
    this.#limit = afterAnswer(this.#limit, answered, this.#limits);
  }

  /** An answer that was passed on, whatever it says. */
  answered(status: number): void {
    const isGateway = status === 502 || status === 504;
    const { counts } = this.#rules;
    if (counts !== null && (isGateway || (counts === "all-5xx" && 500 <= status))) this.failed();
    else if (!isGateway) this.succeeded();
  }

  succeeded(): void {
    if (this.#breaker.failuresInRow === 0 || isOpen(this.#breaker)) return;
    this.#breaker = afterSuccess(this.#breaker, monotonicNow());
  }

  failed(): void {
    this.#turn(afterFailure(this.#breaker, monotonicNow(), this.#rules.breaker));
  }

  /** It stands in no table any more: ends the checks, and the connections when they are idle, or at the hard end. */
  retire(hardEndMs: number): void {
    this.#stopAsking();
    this.pool.retire();
    this.drain(hardEndMs);
  }

  destroy(): void {
    this.#stopAsking();
    if (this.#hardEnd) clearTimeout(this.#hardEnd);
    this.pool.destroy();
  }

  #stopAsking(): void {
    this.#retired = true;
    if (this.#probing) clearTimeout(this.#probing);
    this.#check.close();
  }

  #turn(next: Breaker): void {
    const was = this.isEjected;
    this.#breaker = next;
    if (isOpen(next) && !this.#probing && !this.#retired) this.#probeLater();
    this.#tellTurned(was);
  }

  #turnChecked(next: Checked): void {
    const was = this.isEjected;
    this.#checked = next;
    this.#tellTurned(was);
  }

  #tellTurned(was: boolean): void {
    if (was === this.isEjected) return;
    if (was) this.returned();
    this.#onTurned();
  }

  #probeLater(): void {
    const waitMs = Math.max(10, (this.#breaker.openUntil ?? 0) - monotonicNow());
    this.#probing = setTimeout(() => {
      this.#probing = null;
      void this.#probe();
    }, waitMs);
    this.#probing.unref();
  }

  /** Half-open: a probe of our own and not somebody's request finds out whether it is back. */
  async #probe(): Promise<void> {
    if (this.#retired) return;
    if (!mayProbe(this.#breaker, monotonicNow())) return this.#probeLater();
    const healthy = await this.#check.ask(this.#rules.checks?.path ?? this.#healthPath, probeTimeoutMs);
    if (this.#retired) return;
    const now = monotonicNow();
    if (healthy) return this.#turn(afterSuccess(this.#breaker, now));
    this.#turn(afterProbeFailure(this.#breaker, now, this.#rules.breaker));
  }
}
