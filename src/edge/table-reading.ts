/**
 * Reads tables for who serves people meanwhile: a small one here, a big one in a thread, so that neither its looks at a
 * thousand services nor the garbage of them stands in the way of a request.
 *
 * Nobody waits for a thread that starts: it is started with the first big table that is gone by, for those that come after.
 * It tells of services only those that changed since the table that was adopted last; the rest keep their objects
 * here. What both sides mean by "adopted" is one and the same table: it changes by `adopt` alone, in the order of the channel.
 */
import { Worker } from "node:worker_threads";
import type { RoutingTable, ServiceRoute, SignedTable } from "../core/model/routing.ts";
import { type PublicKeys, sha256, verifyTable } from "./signature.ts";
import { type Misfit, TableReader } from "./table-reader.ts";

export interface Reading {
  readonly kind: "fits";
  readonly signed: SignedTable;
  /** Why the signature does not hold; empty: it does, or nobody asked. */
  readonly invalid: string;
  /** Of its content, as it is and not as it says. */
  readonly digest: string;
  /** It is gone by: the next one is compared with it. */
  adopt(): void;
}

type Services = RoutingTable["services"];

export interface ThreadOptions {
  readonly keys: PublicKeys | null;
  /** The text of the table that counts as adopted. */
  readonly base: string;
}

export type ToThread = { readonly kind: "read"; readonly text: string } | { readonly kind: "adopt" };

export type FromThread = { readonly kind: "ready" } | Told;

type Told =
  | Misfit
  | {
      readonly kind: "fits";
      readonly head: Omit<RoutingTable, "services">;
      readonly keyId: string;
      readonly signature: string;
      readonly names: readonly string[];
      readonly changed: readonly (readonly [name: string, route: ServiceRoute])[];
      readonly invalid: string;
      readonly digest: string;
    };

interface ReadingThread {
  readonly worker: Worker;
  isReady: boolean;
  /** Of the table that the thread counts as adopted. */
  services: Services;
  /** At most one is under way: tables are applied one after the other. */
  waiting: ((told: Told | null) => void) | null;
}

/** Some hundred services. Below it a table is read in a few milliseconds, and a thread would cost 10 MB for nothing. */
const threadFromChars = 65_536;

export class TableReading {
  readonly #keys: PublicKeys | null;
  readonly #reader = new TableReader();
  #thread: ReadingThread | null = null;

  /** `keys`: null where somebody else has verified what comes. */
  constructor(keys: PublicKeys | null) {
    this.#keys = keys;
  }

  /** One that is ready. */
  get hasThread(): boolean {
    return this.#thread?.isReady ?? false;
  }

  /** One after the other. */
  async read(text: string): Promise<Reading | Misfit> {
    const thread = this.#thread;
    if (text.length < threadFromChars || !thread?.isReady) return this.readHere(text);
    return (await this.#readThere(thread, text)) ?? this.readHere(text);
  }

  async readHere(text: string): Promise<Reading | Misfit> {
    const read = await this.#reader.read(text);
    if (read.kind === "misfit") return read;
    const { signed, canonical, undigested } = read;
    return {
      kind: "fits",
      signed,
      invalid: this.#keys === null ? "" : verifyTable(signed, this.#keys, canonical),
      digest: sha256(undigested),
      adopt: () => {
        this.#reader.adopt(read);
        if (text.length >= threadFromChars) this.#thread ??= this.#start(text, signed.table.services);
      },
    };
  }

  /** What is under way is read here; so is what comes. */
  async close(): Promise<void> {
    await this.#thread?.worker.terminate();
  }

  /** null: the thread has ended. */
  async #readThere(thread: ReadingThread, text: string): Promise<Reading | Misfit | null> {
    const { worker } = thread;
    worker.ref();
    const told = await new Promise<Told | null>((resolve) => {
      thread.waiting = resolve;
      worker.postMessage({ kind: "read", text } satisfies ToThread);
    });
    worker.unref();
    if (told?.kind !== "fits") return told;
    const changed = new Map(told.changed);
    const services = Object.fromEntries(
      told.names.map((name) => [name, changed.get(name) ?? (thread.services[name] as ServiceRoute)]),
    );
    const { head, keyId, signature, invalid, digest } = told;
    return {
      kind: "fits",
      signed: { table: { ...head, services } as RoutingTable, keyId, signature },
      invalid,
      digest,
      adopt: () => {
        thread.services = services;
        worker.postMessage({ kind: "adopt" } satisfies ToThread);
      },
    };
  }

  #start(base: string, services: Services): ReadingThread {
    const options: ThreadOptions = { keys: this.#keys, base };
    const worker = new Worker(new URL("./reading-thread.ts", import.meta.url), {
      name: "holdfast-tables",
      workerData: options,
      execArgv: [],
    });
    worker.unref();
    const thread: ReadingThread = { worker, isReady: false, services, waiting: null };
    const take = (told: Told | null): void => {
      const { waiting } = thread;
      thread.waiting = null;
      waiting?.(told);
    };
    worker.on("message", (message: FromThread) => {
      if (message.kind === "ready") thread.isReady = true;
      else take(message);
    });
    worker.on("error", (error) =>
      console.error(`HOLDFAST_EDGE_READING: ${error.message}; tables are read without it`),
    );
    worker.on("exit", () => {
      if (this.#thread === thread) this.#thread = null;
      take(null);
    });
    return thread;
  }
}
