/** One instance of a service as an edge sees it: its connections, its breaker, and the probe that lets it back in. */
import { Pool } from "undici";
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
import { monotonicNow } from "./monotonic.ts";

/** The bulkhead: a slow upstream ties up this many connections at most, and leaves the others their share. */
const connectionsMax = 512;
const probeTimeoutMs = 1000;

export class Upstream {
  readonly url: string;
  readonly region: string;
  readonly pool: Pool;
  readonly #healthPath: string;
  readonly #onTurned: () => void;
  #breaker: Breaker = closedBreaker;
  #probing: NodeJS.Timeout | null = null;
  #retired = false;

  /** `onTurned` is called when it is ejected and when it is let back in. */
  constructor(target: Target, onTurned: () => void) {
    this.url = target.url;
    this.region = target.region;
    this.#healthPath = target.healthPath;
    this.#onTurned = onTurned;
    this.pool = new Pool(new URL(target.url).origin, {
      connections: connectionsMax,
      pipelining: 1,
      // Ours is the timer of each try, which also covers connecting; this one only cleans up after it.
      connectTimeout: 5000,
      headersTimeout: 0,
      keepAliveTimeout: 4000,
    });
  }

  get isEjected(): boolean {
    return isOpen(this.#breaker);
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
    this.pool.close().catch(() => undefined);
  }

  destroy(): Promise<void> {
    this.#retired = true;
    if (this.#probing) clearTimeout(this.#probing);
    return this.pool.destroy();
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

  async #isHealthy(): Promise<boolean> {
    try {
      const answer = await this.pool.request({
        method: "GET",
        path: this.#healthPath,
        signal: AbortSignal.timeout(probeTimeoutMs),
      });
      await answer.body.dump();
      return 200 <= answer.statusCode && answer.statusCode <= 299;
    } catch {
      // Whatever went wrong: it is not healthy, and the next probe will tell more.
      return false;
    }
  }
}
