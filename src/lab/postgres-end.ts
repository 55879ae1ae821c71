/** Ends the PostgreSQL of a lab for good: in order where it can, by force where it must, with nothing left in shared memory. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { endTree, findTree, type TreePlace } from "../adapters/postgres/process-tree.ts";

/** A shutdown without clients takes some 50 ms. */
const orderlyMs = 3000;

export async function endForGood(dataDir: string): Promise<void> {
  const place = placeOf(dataDir);
  for (const { pid, isPostmaster } of findTree(place)) {
    signalTo(pid, "SIGCONT");
    if (isPostmaster) signalTo(pid, "SIGINT");
  }
  const until = performance.now() + orderlyMs;
  while (findTree(place).length > 0 && performance.now() < until) await sleep(20);
  await endTree(place, AbortSignal.timeout(10_000));
  dropSharedMemory(place.pidFile);
}

export function placeOf(dataDir: string): TreePlace {
  return { dataDir, pidFile: `${dataDir}/postmaster.pid` };
}

/**
 * A killed server leaves its System V segment to its next start, which a lab will not make. Its id stands in line 7 of the
 * pid file, which an orderly end removes.
 */
function dropSharedMemory(pidFile: string): void {
  let segment: string | undefined;
  try {
    segment = /^\s*\d+\s+(\d+)/.exec(readFileSync(pidFile, "utf8").split("\n")[6] ?? "")?.[1];
  } catch {
    return;
  }
  // Where there is no ipcrm, the 56 bytes stay until the next boot.
  if (segment) spawnSync("ipcrm", ["-m", segment], { stdio: "ignore" });
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone already.
  }
}
