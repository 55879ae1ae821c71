/**
 * Which data stores' writers this edge has seen failing, and since when they take sessions again.
 *
 * What was reported failing stays failing until the writer's own gate lets a client through again: the watch asks it for
 * TLS, as any PostgreSQL client may, and only an open gate answers.
 */
import { connect, type Socket } from "node:net";
import type { RoutingTable } from "../core/model/routing.ts";
import type { Address } from "../core/model/topology.ts";

/** 50 looks a second at one address, only while something is wrong: what is held waits 10 ms longer on average. */
const lookEveryMs = 20;
const lookTimeoutMs = 250;
/** PostgreSQL protocol, SSLRequest: length 8, code 80877103. */
const sslRequest = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

export class WriterWatch {
  readonly #failing = new Map<string, NodeJS.Timeout>();
  readonly #tableOf: () => RoutingTable | null;
  readonly #onRecovered: () => void;
  #closed = false;

  constructor(tableOf: () => RoutingTable | null, onRecovered: () => void) {
    this.#tableOf = tableOf;
    this.#onRecovered = onRecovered;
  }

  isFailing(stores: readonly string[]): boolean {
    if (this.#failing.size === 0) return false;
    return stores.some((name) => this.#failing.has(name));
  }

  get failing(): readonly string[] {
    return [...this.#failing.keys()];
  }

  reportFailing(stores: readonly string[]): void {
    if (this.#closed) return;
    for (const name of stores) if (!this.#failing.has(name)) this.#lookLater(name);
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#failing.values()) clearTimeout(timer);
    this.#failing.clear();
  }

  #lookLater(name: string): void {
    this.#failing.set(
      name,
      setTimeout(() => void this.#look(name), lookEveryMs),
    );
  }

  async #look(name: string): Promise<void> {
    const store = this.#tableOf()?.stores[name];
    const isGone = this.#tableOf() !== null && store === undefined;
    const recovered = isGone || (store?.writer != null && (await answers(store.writer.gate)));
    if (this.#closed) return;
    if (!recovered) return this.#lookLater(name);
    this.#failing.delete(name);
    if (this.#failing.size === 0) this.#onRecovered();
  }
}

function answers(address: Address): Promise<boolean> {
  return new Promise((resolve) => {
    const socket: Socket = connect({ host: address.host, port: address.port });
    const settle = (answered: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answered);
    };
    const timer = setTimeout(settle, lookTimeoutMs, false);
    socket
      .on("connect", () => socket.write(sslRequest))
      .on("data", () => settle(true))
      .on("error", () => settle(false))
      .on("close", () => settle(false));
  });
}
