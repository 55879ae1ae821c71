/** A SQLite control store in a folder of its own, for the contract suite. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqliteStore, type SqliteStoreOptions } from "../../../src/adapters/sqlite/sqlite.ts";
import type { Store } from "../../../src/ports/store.ts";
import type { StorePlace } from "../../contract/store-place.ts";

/** For `store-client.ts`, which imports it by name. @public */
export function openStore(spec: unknown): Promise<Store> {
  return openSqliteStore(spec as SqliteStoreOptions);
}

export async function newSqlitePlace(): Promise<StorePlace & { readonly path: string }> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-store-"));
  const path = join(folder, "control.db");
  const spec: SqliteStoreOptions = { path, topology: "test" };
  return {
    path,
    module: import.meta.url,
    spec,
    open: () => openSqliteStore(spec),
    lose: (forMs) => holdLocked(path, forMs),
    async compact() {
      const store = await openSqliteStore({ ...spec, keepRevisions: 1 });
      const signal = AbortSignal.timeout(5000);
      const outcome = await store.compareAndSwap("compaction", 0, "1", signal);
      if (outcome.kind !== "succeeded") throw new Error(JSON.stringify(outcome));
      await store.close();
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** The fault `store-loss`, by a process of its own. */
export async function holdLocked(path: string, forMs: number): Promise<{ readonly over: Promise<void> }> {
  const script = new URL("../../../src/adapters/sqlite/lock.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [script, path, String(forMs)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exit = once(child, "exit");
  await Promise.race([
    once(child.stdout, "data"),
    exit.then(([code]) => Promise.reject(new Error(`lock.ts ended with ${code} before it held the lock`))),
  ]);
  return { over: exit.then(() => {}) };
}
