/**
 * One watch as its reader sees it: a bounded queue of events, ended by the reader's signal.
 *
 * The change log in the file is the buffer: a reader that falls behind is unsubscribed, reads what is queued, and
 * goes on from the last revision in its queue. So memory is bounded and nothing is missed or doubled.
 */
import type { Revision } from "../../core/model/id.ts";
import type { WatchEvent } from "../../ports/store.ts";

/** Events queued at once. An event holds 500 changes or 4 MiB at most. */
const QUEUE_MAX = 64;

export interface Feed {
  subscribe(subscription: Subscription, from: Revision): number;
  unsubscribe(id: number): void;
  /** It has ended. */
  forget(subscription: Subscription): void;
}

export class Subscription implements AsyncIterableIterator<WatchEvent, undefined> {
  readonly prefix: string;
  /** When the store last gave a sign of life to it. */
  heardAt: number;
  readonly #feed: Feed;
  readonly #signal: AbortSignal;
  readonly #queue: WatchEvent[] = [];
  readonly #readers: ((result: IteratorResult<WatchEvent, undefined>) => void)[] = [];
  /** Everything up to here is queued or read. */
  #cursor: Revision;
  /** Id at the thread; null: not subscribed, since the reader is behind or the watch has ended. */
  #id: number | null = null;
  #lost = false;
  #ended = false;
  readonly #onAbort = () => this.end();

  constructor(feed: Feed, prefix: string, from: Revision, signal: AbortSignal, now: number) {
    this.#feed = feed;
    this.prefix = prefix;
    this.#cursor = from;
    this.#signal = signal;
    this.heardAt = now;
    signal.addEventListener("abort", this.#onAbort, { once: true });
    if (signal.aborted) this.end();
    else this.subscribe(now);
  }

  /** Begins, or begins anew at another thread, behind the last event. */
  subscribe(now: number): void {
    if (this.#ended) return;
    this.heardAt = now;
    this.#id = this.#feed.subscribe(this, this.#cursor);
  }

  /** While the reader is behind nothing is asked of the store, so its silence says nothing. */
  get isListening(): boolean {
    return this.#id !== null;
  }

  /** An event with a revision: a sign of life. */
  hear(event: Exclude<WatchEvent, { kind: "lost" }>, now: number): void {
    if (this.#ended) return;
    this.heardAt = now;
    this.#lost = false;
    this.#cursor = event.revision;
    this.#push(event);
    if (this.#queue.length < QUEUE_MAX || this.#id === null) return;
    this.#feed.unsubscribe(this.#id);
    this.#id = null;
  }

  /** Says so once, until the store is heard again. */
  lose(because: string): void {
    if (this.#ended || this.#lost) return;
    this.#lost = true;
    this.#push({ kind: "lost", because });
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#signal.removeEventListener("abort", this.#onAbort);
    if (this.#id !== null) this.#feed.unsubscribe(this.#id);
    this.#id = null;
    this.#feed.forget(this);
    this.#queue.length = 0;
    for (const reader of this.#readers.splice(0)) reader({ done: true, value: undefined });
  }

  next(): Promise<IteratorResult<WatchEvent, undefined>> {
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    const value = this.#queue.shift();
    if (value === undefined) return new Promise((resolve) => this.#readers.push(resolve));
    if (this.#queue.length === 0 && this.#id === null) this.subscribe(performance.now());
    return Promise.resolve({ done: false, value });
  }

  return(): Promise<IteratorResult<WatchEvent, undefined>> {
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.end();
  }

  #push(event: WatchEvent): void {
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader({ done: false, value: event });
      return;
    }
    // A newer sign of life says all that an unread older one does.
    if (event.kind === "progress" && this.#queue.at(-1)?.kind === "progress") this.#queue.pop();
    this.#queue.push(event);
  }
}
