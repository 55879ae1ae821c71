/** Runs the system's own tools (ip, nft, mount, ...), with a deadline and an error that says what was tried. */
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";

/** Each of them takes some 5 ms; on a machine with a load of 30, half a second. */
const withinMs = 10_000;

/** Debian keeps these in folders that a user's PATH lacks, and `sudo` may not add them. */
const folders = [
  ...(process.env.PATH ?? "").split(":").filter((folder) => folder !== ""),
  "/usr/sbin",
  "/sbin",
  "/usr/bin",
  "/bin",
];

/** As PATH, for those that other tools start. */
export const pathOfTools = folders.join(":");

/** Nothing else of this process goes on meanwhile: for ends that must be whole before it is gone. */
export function waitHere(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** null: it is not installed. */
export function findTool(name: string): string | null {
  for (const folder of folders) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Perhaps in the next folder.
    }
  }
  return null;
}

export interface ToolRun {
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** What it printed; throws when it did not succeed. */
export function runTool(name: string, args: readonly string[], run: ToolRun = {}): string {
  const told = tryTool(name, args, run);
  if (told.kind === "failed") throw new Error(told.because);
  return told.output;
}

export type ToolOutcome =
  | { readonly kind: "done"; readonly output: string }
  /** `because`: what was tried, and `why` it failed. */
  | { readonly kind: "failed"; readonly because: string; readonly why: string };

export function tryTool(name: string, args: readonly string[], run: ToolRun = {}): ToolOutcome {
  const path = findTool(name);
  const failed = (why: string): ToolOutcome => ({
    kind: "failed",
    because: `${[name, ...args].join(" ")}: ${why}`,
    why,
  });
  if (path === null) return failed(`${name} is not installed`);
  const { status, signal, stdout, stderr, error } = spawnSync(path, args, {
    encoding: "utf8",
    timeout: withinMs,
    killSignal: "SIGKILL",
    ...run,
  });
  if (status === 0) return { kind: "done", output: stdout };
  return failed(error?.message ?? (stderr.trim() || `ended with ${status ?? signal}`));
}
