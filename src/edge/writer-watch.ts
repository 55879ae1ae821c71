/**
 * Which data stores' writers this edge has seen failing, and since when they take sessions again.
 *
 * What was reported failing stays failing until the writer's own gate lets a client through again: the watch asks it for
 * TLS, as any PostgreSQL client may, and only an open gate answers.
 */
import { connect, type Socket } from "node:net";
import type { RoutingTable } from "../core/model/routing.ts";
import type { SpanMs } from "../core/model/time.ts";
import type { Address } from "../core/model/topology.ts";

/** 50 looks a second at one address, only while something is wrong: what is held waits 10 ms longer on average. */
const lookEveryMs = 20;
/** PostgreSQL protocol, SSLRequest: length 8, code 80877103. */
const sslRequest = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

export class WriterWatch {
  readonly #failing = new Map<string, NodeJS.Timeout>();
  /** Gates that are being asked, and what ends the waiting for their answers. */
  readonly #asked = new Map<string, { readonly gate: Address; readonly giveUp: () => void }>();
  readonly #tableOf: () => RoutingTable | null;
  readonly #onRecovered: () => void;
  readonly #withinMs: SpanMs;
  #closed = false;

  /** `withinMs`: a gate that has not answered by then is asked anew. */
  constructor(tableOf: () => RoutingTable | null, onRecovered: () => void, withinMs: SpanMs = 250) {
    this.#tableOf = tableOf;
    this.#onRecovered = onRecovered;
    this.#withinMs = withinMs;
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

  /** Whoever is asked and is no writer any more may never answer: the new one is asked at once. */
  tableChanged(): void {
    for (const [name, { gate, giveUp }] of this.#asked) {
      const now = this.#tableOf()?.stores[name]?.writer?.gate;
      if (now?.host !== gate.host || now.port !== gate.port) giveUp();
    }
  }

  close(): void {
    this.#closed = true;
    for (const { giveUp } of this.#asked.values()) giveUp();
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
    const gate = store?.writer?.gate;
    const told = isGone ? "open" : gate === undefined ? "shut" : await this.#ask(name, gate);
    if (this.#closed) return;
    if (told === "given up") return this.#look(name);
    if (told === "shut") return this.#lookLater(name);
    this.#failing.delete(name);
    if (this.#failing.size === 0) this.#onRecovered();
  }

  #ask(name: string, gate: Address): Promise<"open" | "shut" | "given up"> {
    return new Promise((resolve) => {
      const socket: Socket = connect({ host: gate.host, port: gate.port });
      let isSettled = false;
      const settle = (told: "open" | "shut" | "given up"): void => {
        // Its own end is heard after it was given up, when another is asked.
        if (isSettled) return;
        isSettled = true;
        clearTimeout(timer);
        socket.destroy();
        this.#asked.delete(name);
        resolve(told);
      };
      const timer = setTimeout(settle, this.#withinMs, "shut");
      this.#asked.set(name, { gate, giveUp: () => settle("given up") });
      socket
        .on("connect", () => socket.write(sslRequest))
        .on("data", () => settle("open"))
        .on("error", () => settle("shut"))
        .on("close", () => settle("shut"));
    });
  }
}
