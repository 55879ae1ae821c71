/** One instance of a service as an edge sees it: its connections, breaker, limit, and the probe that lets it back in. */
import type { Target } from "../core/model/routing.ts";
import {
  afterFailure,
  afterProbeFailure,
  afterSuccess,
  type Breaker,
  breakerLimits,
  closedBreaker,
  isOpen,
  mayProbe,
} from "../core/traffic/breaker.ts";
import {
  afterAnswer,
  concurrencyRules,
  firstLimit,
  mayEnter,
  type Priority,
} from "../core/traffic/concurrency.ts";
import { Attempt, type AttemptListener, type AttemptTarget } from "./attempt.ts";
import { monotonicNow } from "./monotonic.ts";
import { UpstreamPool } from "./upstream-pool.ts";

const probeTimeoutMs = 1000;

export class Upstream implements AttemptTarget {
  readonly url: string;
  readonly region: string;
  readonly pool: UpstreamPool;
  readonly #healthPath: string;
  readonly #onTurned: () => void;
  /** Tries under way. */
  inFlight = 0;
  #limit = firstLimit;
  #breaker: Breaker = closedBreaker;
  #probing: NodeJS.Timeout | null = null;
  #retired = false;

  /** `onTurned` is called when it is ejected and when it is let back in. */
  constructor(target: Target, onTurned: () => void) {
    this.url = target.url;
    this.region = target.region;
    this.#healthPath = target.healthPath;
    this.#onTurned = onTurned;
    this.pool = new UpstreamPool(target.url);
  }

  get isEjected(): boolean {
    return isOpen(this.#breaker);
  }

  get limit(): number {
    return Math.floor(this.#limit.limit);
  }

  hasRoom(priority: Priority): boolean {
    return mayEnter(this.#limit.limit, this.inFlight, priority);
  }

  /** `inFlight`: when the try began, it counted. `dropped`: it was refused, or no answer came. */
  learn(tookMs: number, inFlight: number, dropped: boolean): void {
    // That nobody answers says nothing about how many would be answered: it is the breaker's affair.
    if (this.isEjected) return;
    this.#limit = afterAnswer(this.#limit, { tookMs, inFlight, dropped }, concurrencyRules);
  }

  succeeded(): void {
    if (this.#breaker === closedBreaker || isOpen(this.#breaker)) return;
    this.#breaker = afterSuccess(this.#breaker);
  }

  failed(): void {
    this.#turn(afterFailure(this.#breaker, monotonicNow(), breakerLimits));
  }

  /** Ends the probing and, when nothing is under way any more, the connections. */
  retire(): void {
    this.#retired = true;
    if (this.#probing) clearTimeout(this.#probing);
    this.pool.retire();
  }

  destroy(): void {
    this.#retired = true;
    if (this.#probing) clearTimeout(this.#probing);
    this.pool.destroy();
  }

  #turn(next: Breaker): void {
    const was = isOpen(this.#breaker);
    this.#breaker = next;
    if (isOpen(next) && !this.#probing && !this.#retired) this.#probeLater();
    if (was !== isOpen(next)) this.#onTurned();
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
    const healthy = await this.#isHealthy();
    if (this.#retired) return;
    if (healthy) return this.#turn(afterSuccess(this.#breaker));
    this.#turn(afterProbeFailure(this.#breaker, monotonicNow(), breakerLimits));
  }

  #isHealthy(): Promise<boolean> {
    return new Promise((resolve) => {
      const { host } = new URL(this.url);
      const request = {
        method: "GET",
        path: this.#healthPath,
        headers: ["host", host],
        body: null,
        bodyLength: null,
        webSocketKey: null,
      };
      new Attempt(this, request, probeTimeoutMs, probeListener(resolve)).start();
    });
  }
}

function probeListener(tell: (isHealthy: boolean) => void): AttemptListener {
  const judge = (status: number): void => tell(200 <= status && status <= 299);
  return {
    refuses: () => false,
    ended: () => tell(false),
    whole: (_attempt, { status }) => judge(status),
    head: (attempt, { status }) => {
      attempt.abandon();
      judge(status);
    },
    chunk: () => true,
    finished: () => undefined,
    switched: (_attempt, _head, socket) => socket.destroy(),
    broken: () => tell(false),
  };
}
