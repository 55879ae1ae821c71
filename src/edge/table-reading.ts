/**
 * Reads tables for who serves people meanwhile: a small one here, a big one in a thread, so that neither its looks at a
 * thousand services nor the garbage of them stands in the way of a request.
 *
 * Nobody waits for a thread that starts: it is started with the first big table that is gone by, for those that come after.
 * It tells of services only what changed since the table that was adopted last, a few at a time, since taking that in is work
 * of this thread; the rest keep their objects here. What both sides mean by "adopted" is one and the same table: it changes
 * by `adopt` alone, in the order of the channel. A big table is bytes to this thread, in memory that both see: its text would
 * be large garbage, and with it the heap would be collected whole every few tables.
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
  /** The table that counts as adopted. */
  readonly base: Uint8Array;
}

export type ToThread =
  | { readonly kind: "read"; readonly bytes: Uint8Array }
  /** The services that changed, from this one on. */
  | { readonly kind: "tell"; readonly from: number }
  | { readonly kind: "adopt" };

export type FromThread = { readonly kind: "ready" } | Answer;

type Answer = Misfit | Fits | Changed;

interface Changed {
  readonly kind: "changed";
  readonly services: readonly ChangedService[];
}

export interface ChangedService {
  readonly name: string;
  /** All of it, or what differs from the route that was adopted. */
  readonly fields: Partial<ServiceRoute>;
  /** Fields that the adopted one had; null: `fields` is all of it. */
  readonly gone: readonly string[] | null;
}

interface Fits {
  readonly kind: "fits";
  readonly head: Omit<RoutingTable, "services">;
  readonly keyId: string;
  readonly signature: string;
  /** Of its services, in order; null: those of the table that was adopted. */
  readonly names: readonly string[] | null;
  /** How many services changed. */
  readonly changed: number;
  readonly invalid: string;
  readonly digest: string;
}

interface ReadingThread {
  readonly worker: Worker;
  isReady: boolean;
  /** Of the table that the thread counts as adopted. */
  services: Services;
  /** At most one is under way: tables are applied one after the other. */
  waiting: ((answer: Answer | null) => void) | null;
}

/** Some hundred services. Below it a table is read in a few milliseconds, and a thread would cost 10 MB for nothing. */
const threadFromBytes = 65_536;

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

  /** UTF-8. One after the other. Bytes in shared memory spare this thread a copy. */
  async read(bytes: Uint8Array): Promise<Reading | Misfit> {
    const thread = this.#thread;
    if (bytes.length < threadFromBytes || !thread?.isReady) return this.readHere(bytes);
    return (await this.#readThere(thread, bytes)) ?? this.readHere(bytes);
  }

  async readHere(bytes: Uint8Array): Promise<Reading | Misfit> {
    const read = await this.#reader.read(textOf(bytes));
    if (read.kind === "misfit") return read;
    const { signed, canonical, undigested } = read;
    return {
      kind: "fits",
      signed,
      invalid: this.#keys === null ? "" : verifyTable(signed, this.#keys, canonical),
      digest: sha256(undigested),
      adopt: () => {
        this.#reader.adopt(read);
        if (bytes.length >= threadFromBytes) this.#thread ??= this.#start(bytes, signed.table.services);
      },
    };
  }

  /** What is under way is read here; so is what comes. */
  async close(): Promise<void> {
    await this.#thread?.worker.terminate();
  }

  /** null: the thread has ended. */
  async #readThere(thread: ReadingThread, bytes: Uint8Array): Promise<Reading | Misfit | null> {
    const { worker } = thread;
    worker.ref();
    try {
      const told = await ask(thread, { kind: "read", bytes });
      if (told?.kind === "misfit") return told;
      if (told?.kind !== "fits") return null;
      const changed = new Map<string, ServiceRoute>();
      while (changed.size < told.changed) {
        const more = await ask(thread, { kind: "tell", from: changed.size });
        if (more?.kind !== "changed" || more.services.length === 0) return null;
        for (const service of more.services)
          changed.set(service.name, routeOf(thread.services[service.name], service));
      }
      return wholeOf(thread, told, changed);
    } finally {
      worker.unref();
    }
  }

  #start(base: Uint8Array, services: Services): ReadingThread {
    const options: ThreadOptions = { keys: this.#keys, base };
    const worker = new Worker(new URL("./reading-thread.ts", import.meta.url), {
      name: "holdfast-tables",
      workerData: options,
      execArgv: [],
    });
    worker.unref();
    const thread: ReadingThread = { worker, isReady: false, services, waiting: null };
    const take = (answer: Answer | null): void => {
      const { waiting } = thread;
      thread.waiting = null;
      waiting?.(answer);
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

/** null: the thread has ended. */
function ask(thread: ReadingThread, question: ToThread): Promise<Answer | null> {
  return new Promise((resolve) => {
    thread.waiting = resolve;
    thread.worker.postMessage(question);
  });
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}

function routeOf(before: ServiceRoute | undefined, { fields, gone }: ChangedService): ServiceRoute {
  if (gone === null) return fields as ServiceRoute;
  const route = { ...(before as ServiceRoute), ...fields };
  for (const field of gone) delete (route as Partial<Record<string, unknown>>)[field];
  return route;
}

function wholeOf(thread: ReadingThread, told: Fits, changed: ReadonlyMap<string, ServiceRoute>): Reading {
  const { head, names, keyId, signature, invalid, digest } = told;
  const services = Object.fromEntries(
    (names ?? Object.keys(thread.services)).map((name) => [
      name,
      changed.get(name) ?? (thread.services[name] as ServiceRoute),
    ]),
  );
  return {
    kind: "fits",
    signed: { table: { ...head, services } as RoutingTable, keyId, signature },
    invalid,
    digest,
    adopt: () => {
      thread.services = services;
      thread.worker.postMessage({ kind: "adopt" } satisfies ToThread);
    },
  };
}
