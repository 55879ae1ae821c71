/** What serves people, as the rest of an edge sees it: this process itself, or several others (`workers.ts`). */
import type { RoutingTable } from "../core/model/routing.ts";
import type { Metrics } from "./metrics.ts";
import type { Serving, ServingAddresses } from "./serving.ts";
import type { ServingState } from "./serving-state.ts";

export interface Front {
  /** Process ids. */
  readonly serving: readonly number[];
  /** The table that all of it goes by. */
  readonly served: RoutingTable | null;
  listen(): Promise<ServingAddresses>;
  /** Judged and on disk. `bytes`: the signed table as it came. */
  follow(table: RoutingTable, bytes: Uint8Array): void;
  /** Resolves with what does not go by the newest table, as far as is known; empty: nothing. */
  whatLags(): Promise<string>;
  state(): Promise<ServingState>;
  /** Prometheus text. */
  metrics(): Promise<string>;
  reload(): Promise<void>;
  close(): Promise<void>;
}

export class FrontHere implements Front {
  readonly #serving: Serving;
  readonly #metrics: Metrics;
  readonly serving = [process.pid];
  served: RoutingTable | null = null;

  constructor(serving: Serving, metrics: Metrics) {
    this.#serving = serving;
    this.#metrics = metrics;
  }

  listen(): Promise<ServingAddresses> {
    return this.#serving.listen();
  }

  follow(table: RoutingTable): void {
    this.served = table;
    this.#serving.follow(table);
  }

  whatLags(): Promise<string> {
    return Promise.resolve("");
  }

  state(): Promise<ServingState> {
    return Promise.resolve(this.#serving.state);
  }

  metrics(): Promise<string> {
    return Promise.resolve(this.#metrics.text());
  }

  reload(): Promise<void> {
    return this.#serving.reload();
  }

  close(): Promise<void> {
    return this.#serving.close();
  }
}
