/** What the contract suite asks of a store adapter's test: a place with a store in it, and ways to trouble it. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import type { Store } from "../../src/ports/store.ts";

export interface StorePlace {
  /** One more client of the same store. */
  open(): Promise<Store>;
  /** How a process of its own opens it: file URL of a module that exports `openStore(spec)`, and the spec (JSON). */
  readonly module: string;
  readonly spec: unknown;
  /** From when it resolves the store answers nobody, for that long; `over` resolves when it could answer again. */
  lose(forMs: number): Promise<{ readonly over: Promise<void> }>;
  /** Forgets all history up to now. */
  compact(): Promise<void>;
  remove(): Promise<void>;
}

export type ClientJob =
  /** Adds 1 to the counter at `key`, `times` times, with its own share under `name`; a line for each acknowledgement. */
  | { readonly kind: "count"; readonly key: string; readonly name: string; readonly times: number }
  /** Writes, rewrites and deletes records under `prefix`; a line `{ change }` for each acknowledged one. */
  | { readonly kind: "write"; readonly prefix: string; readonly name: string; readonly times: number }
  /** Opens, reads, watches, closes, and is to end by itself. */
  | { readonly kind: "open-and-close" };

export interface Client extends AsyncDisposable {
  /** JSON lines that it has printed. */
  readonly lines: readonly unknown[];
  /** Exit code, or null when a signal ended it. */
  readonly exit: Promise<number | null>;
  kill(): void;
}

/** A process that works on the store of `place`; ends when its standard input does. */
export function startClient(place: StorePlace, job: ClientJob): Client {
  const script = new URL("./store-client.ts", import.meta.url).pathname;
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn(
    process.execPath,
    [script, place.module, JSON.stringify(place.spec), JSON.stringify(job)],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  const lines: unknown[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on("line", (line) => lines.push(JSON.parse(line)));
  const exit = Promise.all([once(child, "exit"), once(reader, "close")]).then(
    ([[code]]) => code as number | null,
  );
  return {
    lines,
    exit,
    kill: () => child.kill("SIGKILL"),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exit;
    },
  };
}

/** Polls until `condition` holds; rejects with `what` when it does not in time. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  withinMs = 30_000,
): Promise<void> {
  const endsAt = performance.now() + withinMs;
  while (!(await condition())) {
    if (endsAt < performance.now()) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
