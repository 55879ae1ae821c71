/** The connections to one upstream: the last used first, a bound on their number, and a bounded queue behind it. */
import { monotonicNow } from "./monotonic.ts";
import { type ConnectionOwner, type ResponseReceiver, UpstreamConnection } from "./upstream-connection.ts";

/** Node's servers close after 5 s of idleness unless they say otherwise. */
const keepAliveMs = 4000;
const sweepEveryMs = 1000;

/** The bulkhead: a slow upstream ties up this much at most, and leaves the others their share. */
export interface PoolBounds {
  readonly connections: number;
  /** Waiting for one; what comes then is told at once that it was not sent. */
  readonly pending: number;
}

export class UpstreamPool implements ConnectionOwner {
  readonly #url: URL;
  readonly #all = new Set<UpstreamConnection>();
  readonly #idle: UpstreamConnection[] = [];
  readonly #queue = new Set<ResponseReceiver>();
  readonly #sweeper: NodeJS.Timeout;
  #isClosed = false;
  /** Changed while it runs: what is more than that ends when it falls idle. */
  bounds: PoolBounds;

  constructor(url: string, bounds: PoolBounds) {
    this.#url = new URL(url);
    this.bounds = bounds;
    this.#sweeper = setInterval(() => this.#sweep(), sweepEveryMs);
    this.#sweeper.unref();
  }

  send(receiver: ResponseReceiver): void {
    if (this.#isClosed) {
      receiver.failed();
      return;
    }
    const now = monotonicNow();
    for (let idle = this.#idle.pop(); idle; idle = this.#idle.pop()) {
      if (now - idle.idleSince < idle.keepAliveMs) {
        idle.take(receiver);
        return;
      }
      idle.destroy();
    }
    if (this.#all.size < this.bounds.connections) this.#open(receiver);
    else if (this.#queue.size < this.bounds.pending) this.#queue.add(receiver);
    else receiver.failed();
  }

  /** Takes back what has not been sent. A connection that is being made for it goes to the next. */
  withdraw(receiver: ResponseReceiver): void {
    this.#queue.delete(receiver);
  }

  /** What is under way may finish. */
  retire(): void {
    this.#isClosed = true;
    clearInterval(this.#sweeper);
    for (const connection of this.#idle.splice(0)) connection.destroy();
    for (const receiver of this.#queue) receiver.failed();
    this.#queue.clear();
  }

  destroy(): void {
    this.retire();
    this.cut();
  }

  /** Ends every connection, with whatever is under way there. */
  cut(): void {
    for (const connection of this.#all) connection.destroy();
  }

  // --- what a connection tells ---

  idle(connection: UpstreamConnection): void {
    if (this.#isClosed || this.bounds.connections < this.#all.size) {
      connection.destroy();
      return;
    }
    const next = this.#takeQueued();
    if (next) {
      connection.take(next);
      return;
    }
    connection.idleSince = monotonicNow();
    this.#idle.push(connection);
  }

  closed(connection: UpstreamConnection): void {
    this.#all.delete(connection);
    const at = this.#idle.indexOf(connection);
    if (0 <= at) this.#idle.splice(at, 1);
    if (this.#isClosed) return;
    const next = this.#takeQueued();
    if (next) this.#open(next);
  }

  #open(receiver: ResponseReceiver): void {
    this.#all.add(new UpstreamConnection(this.#url, keepAliveMs, this, receiver));
  }

  #takeQueued(): ResponseReceiver | null {
    for (const receiver of this.#queue) {
      this.#queue.delete(receiver);
      return receiver;
    }
    return null;
  }

  #sweep(): void {
    const now = monotonicNow();
    for (const connection of this.#idle.filter(
      ({ idleSince, keepAliveMs: lastsMs }) => lastsMs <= now - idleSince,
    ))
      connection.destroy();
  }
}
