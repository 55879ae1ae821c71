/** One after another, across the processes that share a folder: a table must be judged against the one before it. */
import { readFile, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

export async function withLock<T>(folder: string, signal: AbortSignal, task: () => Promise<T>): Promise<T> {
  const path = join(folder, "router.lock");
  while (!(await take(path))) {
    signal.throwIfAborted();
    await breakIfStale(path);
    await pause(5, undefined, { signal });
  }
  try {
    return await task();
  } finally {
    await unlink(path);
  }
}

async function take(path: string): Promise<boolean> {
  try {
    await writeFile(path, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Its holder died: its process id is nobody's. */
async function breakIfStale(path: string): Promise<void> {
  const text = await readFile(path, "utf8").catch(() => "");
  const pid = Number(text);
  if (text === "" || !Number.isInteger(pid) || pid <= 0 || pid === process.pid) return;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") await unlink(path).catch(() => undefined);
  }
}
