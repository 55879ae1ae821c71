/**
 * What a run of tests has started and not ended, made and not removed.
 *
 * B1. Every child inherits the mark in its environment, however it was started, and keeps it when its parent is gone.
 * B2. PostgreSQL gets an environment without it: it is known by where it works, which is below the run's own folder.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Environment variable whose value is the run's folder. */
export const runMark = "HOLDFAST_TEST_RUN";

export interface LeftBehind {
  readonly pid: number;
  readonly command: string;
}

/** Made by Node's own cache and the lab's, for whoever comes next. */
const keptByDesign = /^(node-compile-cache|holdfast-compile-cache.*)$/;

/** SIGKILL to all of them, until none is left or two seconds are over; resolves with those that there were. */
export async function endLeftBehind(folder: string): Promise<readonly LeftBehind[]> {
  const seen = new Map<number, LeftBehind>();
  for (let round = 0; round < 40; round++) {
    const left = findLeftBehind(folder);
    if (left.length === 0) break;
    for (const one of left) {
      seen.set(one.pid, one);
      try {
        process.kill(one.pid, "SIGKILL");
      } catch {
        // Gone in between.
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return [...seen.values()];
}

export function filesLeftBehind(folder: string): readonly string[] {
  return readdirSync(folder).filter((name) => !keptByDesign.test(name));
}

/** Living processes but this one. Without /proc (not on Linux) there is nobody to ask, and nobody is found. */
function findLeftBehind(folder: string): readonly LeftBehind[] {
  let entries: readonly string[];
  try {
    entries = readdirSync("/proc").filter((entry) => /^\d+$/.test(entry));
  } catch {
    return [];
  }
  return entries
    .map(Number)
    .filter((pid) => pid !== process.pid && (isMarked(pid, folder) || worksBelow(pid, folder)))
    .map((pid) => ({ pid, command: read(pid, "cmdline").replaceAll("\0", " ").trim() || "(ending)" }));
}

function isMarked(pid: number, folder: string): boolean {
  // Empty for a zombie: it has ended, and waits for its parent only.
  return read(pid, "environ").split("\0").includes(`${runMark}=${folder}`);
}

function worksBelow(pid: number, folder: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`).startsWith(`${folder}/`);
  } catch {
    return false;
  }
}

function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return "";
  }
}
