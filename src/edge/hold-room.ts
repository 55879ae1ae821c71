/** Where requests wait for better times: bounded in number by their service's rules, woken all at once by good news. */
import type { Metrics } from "./metrics.ts";

export interface Waiting {
  /** Leaves without being called. */
  leave(): void;
}

export class HoldRoom {
  readonly #waiting = new Map<object, { readonly timer: NodeJS.Timeout; readonly onward: () => void }>();

  constructor(metrics: Metrics) {
    metrics.gauge("holdfast_edge_held", {}, () => this.#waiting.size);
  }

  get held(): number {
    return this.#waiting.size;
  }

  /** Calls `onward` once: after `pauseMs`, or as soon as there is news. */
  wait(pauseMs: number, onward: () => void): Waiting {
    const key = {};
    const timer = setTimeout(() => {
      this.#waiting.delete(key);
      onward();
    }, pauseMs);
    this.#waiting.set(key, { timer, onward });
    return {
      leave: () => {
        clearTimeout(timer);
        this.#waiting.delete(key);
      },
    };
  }

  /** The `count` that have waited longest. */
  wakeSome(count: number): void {
    const longest = [];
    for (const entry of this.#waiting) {
      if (longest.length === count) break;
      longest.push(entry);
    }
    for (const [key, { timer, onward }] of longest) {
      clearTimeout(timer);
      this.#waiting.delete(key);
      onward();
    }
  }

  /** A new table, or a writer that takes writes again. */
  wakeAll(): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { timer, onward } of waiting) {
      clearTimeout(timer);
      onward();
    }
  }
}
