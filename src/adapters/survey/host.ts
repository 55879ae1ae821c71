/** What this host has to offer: how fast its disks take a write for good, and the parts that Holdfast leans on. */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  openSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { SpanMs } from "../../core/model/time.ts";

export interface DiskSight {
  readonly ms: readonly SpanMs[];
  /** Why it could not be measured to the end; empty: it was. */
  readonly because: string;
}

/** PostgreSQL's page: what a small commit writes. */
const block = Buffer.alloc(8192, 1);

/** The folder itself, or the nearest one above that is there; null: nothing of the path is on this host but the root. */
export function nearestFolder(path: string): string | null {
  let folder = path;
  while (!existsSync(folder) && folder !== dirname(folder)) folder = dirname(folder);
  return folder === dirname(folder) ? null : folder;
}

/** Writes and fsyncs 8 KiB again and again, in a file that is removed. */
export async function timeFsync(folder: string, id: string, forMs: SpanMs): Promise<DiskSight> {
  const file = join(folder, `.holdfast-doctor-${id}`);
  const ms: SpanMs[] = [];
  try {
    const open = openSync(file, "wx", 0o600);
    try {
      const until = performance.now() + forMs;
      do {
        const at = performance.now();
        writeSync(open, block, 0, block.length, 0);
        fsyncSync(open);
        ms.push(performance.now() - at);
        await pause(5);
      } while (performance.now() < until);
    } finally {
      closeSync(open);
    }
    return { ms, because: "" };
  } catch (error) {
    return { ms, because: (error as Error).message };
  } finally {
    rmSync(file, { force: true });
  }
}

export interface HostParts {
  readonly isRoot: boolean;
  /** Version 2, with `cgroup.kill` (Linux 5.14): a whole process tree is ended at once. */
  readonly cgroup: "writable" | "read-only" | "none";
  /** `/dev/watchdog` or null. */
  readonly watchdog: string | null;
}

export function lookAtParts(): HostParts {
  const root = "/sys/fs/cgroup";
  const can = (path: string) => {
    try {
      accessSync(path, constants.W_OK);
      return true;
    } catch {
      return false;
    }
  };
  return {
    isRoot: process.getuid?.() === 0,
    cgroup: !existsSync(join(root, "cgroup.controllers")) ? "none" : can(root) ? "writable" : "read-only",
    watchdog: ["/dev/watchdog", "/dev/watchdog0"].find((device) => existsSync(device)) ?? null,
  };
}
