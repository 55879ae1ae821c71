/** A watch that is read all the time, and checked event by event. */
import assert from "node:assert/strict";
import type { Store, WatchEvent } from "../../src/ports/store.ts";
import { StoreModel } from "./store-model.ts";
import { eventually } from "./store-place.ts";

export class Reader implements Disposable {
  readonly model = new StoreModel();
  readonly events: WatchEvent[] = [];
  readonly times: number[] = [];
  readonly #stop = new AbortController();
  #problem: string | null = null;

  constructor(store: Store, prefix: string, from: number) {
    this.model.revision = from;
    void this.#read(store.watch(prefix, from, this.#stop.signal));
  }

  async #read(watch: AsyncIterable<WatchEvent>): Promise<void> {
    try {
      for await (const event of watch) {
        const before = this.model.revision;
        if (!this.model.follow(event))
          this.#problem = `${JSON.stringify(event).slice(0, 500)} after revision ${before}`;
        this.events.push(event);
        this.times.push(performance.now());
      }
    } catch (error) {
      this.#problem = `a watch never rejects, and yet: ${error}`;
    }
  }

  async reaches(revision: number): Promise<void> {
    await eventually(
      `the watch reaches revision ${revision}`,
      () => this.#problem !== null || revision <= this.model.revision,
    );
    assert.equal(this.#problem, null);
  }

  async sees(kind: WatchEvent["kind"], times: number): Promise<void> {
    await eventually(
      `the watch sees ${kind} ${times} times`,
      () => this.#problem !== null || times <= this.events.filter((event) => event.kind === kind).length,
    );
    assert.equal(this.#problem, null);
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }
}
