/** A process tree that looks like a PostgreSQL member: named postgres, at work in its data folder, with children. */
import { spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findTree } from "../../src/adapters/postgres/process-tree.ts";

export interface FakeMember {
  readonly folder: string;
  readonly place: { readonly dataDir: string; readonly pidFile: string };
  /** Starts postmaster and two children in sessions of their own; resolves when all are there. */
  start(): Promise<void>;
  /** Starts them and waits for nothing. */
  launch(): void;
  /** How many of its processes live. */
  count(): number;
  remove(): void;
}

export function createFakeMember(): FakeMember {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-fencer-"));
  const dataDir = join(folder, "data");
  mkdirSync(dataDir);
  const place = { dataDir, pidFile: join(dataDir, "postmaster.pid") };
  const program = join(folder, "postgres");
  copyFileSync("/bin/sh", program);
  // The child ignores SIGTERM and hangs on to its folder: only SIGKILL ends it. What it had begun ends by itself soon.
  const child = `trap "" TERM; while :; do sleep 1; done`;
  const script = `echo $$ > postmaster.pid; setsid ${program} -c '${child}' & ${program} -c '${child}' & wait`;
  writeFileSync(join(folder, "member.sh"), script);
  const count = () => findTree(place).length;
  const launch = () =>
    spawn(program, [join(folder, "member.sh")], { cwd: dataDir, detached: true, stdio: "ignore" }).unref();
  return {
    folder,
    place,
    count,
    launch,
    async start() {
      launch();
      // Postmaster, two children, and the sleeps of both: orphans must be found too.
      await until(() => existsSync(place.pidFile) && 5 <= count(), 5_000, "the fake member started");
    },
    remove() {
      // Again until none is left: a shell whose sleep is killed before it starts another.
      for (let tree = findTree(place); tree.length > 0; tree = findTree(place))
        for (const { pid } of tree) end(pid);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

export async function until(
  holds: () => boolean | Promise<boolean>,
  withinMs: number,
  what: string,
): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await holds())) {
    if (end < performance.now()) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((wake) => setTimeout(wake, 2));
  }
}
