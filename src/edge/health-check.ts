/** Asks one upstream whether it is well: over a connection of its own, so that a full bulkhead is no illness. */
import type { CheckRules } from "../core/model/traffic.ts";
import { nextCheckIn } from "../core/traffic/check.ts";
import { Attempt, type AttemptListener } from "./attempt.ts";
import { UpstreamPool } from "./upstream-pool.ts";

/** Checks under way in this process: what does not fit is asked at its next turn. */
const atOnceMax = 64;
let atOnce = 0;

export class HealthCheck {
  readonly #url: string;
  readonly #region: string;
  #pool: UpstreamPool | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(url: string, region: string) {
    this.#url = url;
    this.#region = region;
  }

  /** Every so often from now on, until it is told otherwise. null: no more. */
  repeat(rules: CheckRules | null, healthPath: string, tell: (passed: boolean) => void): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    if (rules === null || this.#isClosed) return;
    const timer = setTimeout(
      () => void this.#turn(rules, healthPath, tell, timer),
      nextCheckIn(rules, Math.random()),
    );
    timer.unref();
    this.#timer = timer;
  }

  async ask(path: string, timeoutMs: number): Promise<boolean> {
    if (this.#isClosed) return false;
    // One for the rhythm, one for the breaker's own question.
    this.#pool ??= new UpstreamPool(this.#url, { connections: 2, pending: 0 });
    const pool = this.#pool;
    const target = { region: this.#region, pool, succeeded: () => undefined, failed: () => undefined };
    const headers = ["host", new URL(this.#url).host];
    const request = { method: "GET", path, headers, body: null, bodyLength: null };
    return new Promise((resolve) => {
      new Attempt(target, request, timeoutMs, listenerOf(resolve)).start();
    });
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer) clearTimeout(this.#timer);
    this.#pool?.destroy();
  }

  async #turn(
    rules: CheckRules,
    healthPath: string,
    tell: (passed: boolean) => void,
    timer: NodeJS.Timeout,
  ): Promise<void> {
    if (atOnce < atOnceMax) {
      atOnce++;
      const passed = await this.ask(rules.path ?? healthPath, rules.timeoutMs);
      atOnce--;
      // Asked for another rhythm, or ended, in the meantime: this answer is nobody's.
      if (this.#timer !== timer || this.#isClosed) return;
      tell(passed);
    }
    if (this.#timer === timer) this.repeat(rules, healthPath, tell);
  }
}

function listenerOf(tell: (isHealthy: boolean) => void): AttemptListener {
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
    broken: () => tell(false),
  };
}
