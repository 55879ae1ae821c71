/**
 * Disks of their own for members: a file with ext4 on it, mounted where the member's folder will be, to be filled or hung.
 *
 * - D1. A disk that hangs lets go by itself: a process that outlives the lab thaws it.
 * - D2. What is mounted below a lab's folder is that lab's: whoever removes the folder finds it there, and nobody remembers it.
 */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { join, sep } from "node:path";
import type { SpanMs } from "../../core/model/time.ts";
import { runTool, tryTool } from "./tool.ts";

const ballast = "ballast";
/** What PostgreSQL and a journal of ext4 need to be at ease, and little enough to be filled in a moment. */
const diskMb = 768;

export function makeDisk(mountPoint: string, image: string): void {
  mkdirSync(mountPoint, { recursive: true });
  runTool("truncate", ["-s", `${diskMb}M`, image]);
  runTool("mkfs.ext4", ["-q", "-F", "-m", "0", image]);
  // Detached by the kernel when it is unmounted.
  runTool("mount", ["-o", "loop", image, mountPoint]);
}

/** Not a byte more fits until `empty`. Nobody else has to end it: the space goes with the lab. */
export function fill(mountPoint: string): void {
  const file = join(mountPoint, ballast);
  const { bavail, bsize } = statfsSync(mountPoint);
  const told = tryTool("fallocate", ["-l", String(bavail * bsize), file]);
  // Its own bookkeeping needs a block, too: then it fails, and has taken all there was.
  if (told.kind === "failed" && 0 < statfsSync(mountPoint).bavail) throw new Error(told.because);
}

export function empty(mountPoint: string): void {
  rmSync(join(mountPoint, ballast), { force: true });
}

/** Whoever writes to it waits, and cannot be killed while it does; until `thaw`, or `forMs` at the latest (D1). */
export function hang(mountPoint: string, forMs: SpanMs): void {
  spawn("sh", ["-c", 'sleep "$1"; fsfreeze -u "$2"', "sh", (forMs / 1000).toFixed(3), mountPoint], {
    stdio: "ignore",
    detached: true,
  }).unref();
  runTool("fsfreeze", ["-f", mountPoint]);
}

export function thaw(mountPoint: string): void {
  tryTool("fsfreeze", ["-u", mountPoint]);
}

/** Let go and unmounted (D2). */
export function removeDisksBelow(folder: string): void {
  for (const mountPoint of mountedBelow(folder)) {
    thaw(mountPoint);
    const told = tryTool("umount", [mountPoint]);
    // Somebody may still be dying in it: out of sight now, gone with the last of them.
    if (told.kind === "failed") runTool("umount", ["-l", mountPoint]);
  }
}

function mountedBelow(folder: string): string[] {
  let mounts: string;
  try {
    mounts = readFileSync("/proc/mounts", "utf8");
  } catch {
    return [];
  }
  return mounts
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((path) => path.startsWith(folder + sep))
    .toReversed();
}
