/**
 * Wall clocks that are wrong on purpose: what runs in a region, PostgreSQL too, is told another time of day by libfaketime.
 *
 * - W1. Only the time of day: the monotonic clock, by which leases are timed, stays the machine's.
 * - W2. Nobody has to set it right: the file that tells the difference goes with the lab.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SpanMs } from "../../core/model/time.ts";

const libraryRoots = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];
const sharedMemory = "/dev/shm";

/** null: it is not installed. */
export function findFaketime(): string | null {
  for (const root of libraryRoots.filter((each) => existsSync(each)))
    for (const folder of [root, ...readdirSync(root).map((name) => join(root, name))]) {
      const library = join(folder, "faketime", "libfaketime.so.1");
      if (existsSync(library)) return library;
    }
  return null;
}

/** Of everything that goes by `file`: within a second it is `byMs` off, ahead when positive. */
export function setClock(file: string, byMs: SpanMs): void {
  writeFileSync(file, `${byMs < 0 ? "-" : "+"}${Math.abs(byMs) / 1000}\n`);
}

/** Put before a command, which then goes by `file`. */
export function clockPrefix(library: string, file: string): readonly string[] {
  return [
    "env",
    `LD_PRELOAD=${library}`,
    `FAKETIME_TIMESTAMP_FILE=${file}`,
    "FAKETIME_CACHE_DURATION=1",
    "FAKETIME_DONT_FAKE_MONOTONIC=1",
  ];
}

/** A folder of PostgreSQL's programs whose server goes by what `prefix` says: an agent gives it an environment of its own. */
export function wrapPostgres(folder: string, binDir: string, prefix: readonly string[]): string {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  for (const name of ["initdb", "pg_rewind"])
    if (existsSync(join(binDir, name))) symlinkSync(join(binDir, name), join(folder, name));
  const server = join(folder, "postgres");
  const words = [...prefix, join(binDir, "postgres")].map((word) => `'${word}'`).join(" ");
  writeFileSync(server, `#!/bin/sh\nexec ${words} "$@"\n`);
  chmodSync(server, 0o755);
  return folder;
}

/** What libfaketime keeps for a process, and leaves behind when it is killed. Other people's stays. */
export function dropClocksOfTheDead(): void {
  for (const name of existsSync(sharedMemory) ? readdirSync(sharedMemory) : []) {
    const pid = /^(?:sem\.faketime_sem|faketime_shm)_(\d+)$/.exec(name)?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    try {
      rmSync(join(sharedMemory, name), { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EPERM") throw error;
    }
  }
}
