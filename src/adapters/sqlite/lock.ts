/**
 * The fault `store-loss`: holds the file locked, so that no process can read or write it, for a time that ends by itself.
 *
 * In a process of its own: `node lock.ts PATH FOR_MS` prints `locked` when it holds the lock and `released` when it
 * has let go. The kernel drops the lock if that process dies, so the fault ends in any case (S15).
 */
import { DatabaseSync } from "node:sqlite";

/** Waits for the lock at most this long: commits take a millisecond. */
const ACQUIRE_TIMEOUT_MS = 5000;

export interface LockOptions {
  /** At most an hour. */
  readonly forMs: number;
  readonly onLocked?: () => void;
}

/** Resolves when it has let go. Do not call it in a process that is to go on using the store. */
export async function lockStore(path: string, { forMs, onLocked }: LockOptions): Promise<void> {
  if (!(0 < forMs && forMs <= 3_600_000))
    throw new RangeError(`cannot lock ${path} for ${forMs} ms: at least 1 ms and at most an hour`);
  const database = new DatabaseSync(path, { timeout: ACQUIRE_TIMEOUT_MS });
  try {
    database.exec("BEGIN EXCLUSIVE");
    onLocked?.();
    await new Promise((resolve) => setTimeout(resolve, forMs));
    database.exec("ROLLBACK");
  } finally {
    database.close();
  }
}

if (import.meta.main) {
  const [path, forMs] = process.argv.slice(2);
  if (path === undefined || forMs === undefined) {
    console.error("usage: node lock.ts PATH FOR_MS");
    process.exit(2);
  }
  await lockStore(path, { forMs: Number(forMs), onLocked: () => console.log("locked") });
  console.log("released");
}
