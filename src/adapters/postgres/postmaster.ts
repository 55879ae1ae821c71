/** Starts one PostgreSQL server that outlives its agent, and tells what became of it. */
import { type ChildProcess, spawn } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  fchownSync,
  fstatSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Account } from "./account.ts";
import type { Binaries } from "./binaries.ts";
import { DatabaseError } from "./database-error.ts";
import { findNamedPostmaster, findTree, type TreePlace, type TreeProcess } from "./process-tree.ts";

/** The log stays below this; what was in it before is kept beside it. */
const logMaxBytes = 8 * 1024 * 1024;

export interface Launch {
  readonly binaries: Binaries;
  readonly account: Account;
  readonly dataDir: string;
  readonly logFile: string;
}

export function treePlace(dataDir: string): TreePlace {
  return { dataDir, pidFile: join(dataDir, "postmaster.pid") };
}

/** The environment of PostgreSQL's programs: ours may hold secrets, and PG* variables that mislead them. */
export function cleanEnvironment(binaries: Binaries): NodeJS.ProcessEnv {
  return { PATH: `${binaries.binDir}:/usr/bin:/bin`, LC_ALL: "C", LANG: "C", TZ: process.env.TZ ?? "UTC" };
}

/** In a session of its own, so that neither the agent's death nor its terminal ends it. Nothing of the folder runs. */
export function launch(request: Launch): ChildProcess {
  const { account, dataDir } = request;
  // The tree is empty (the caller has looked): what the file names can only be a stranger with the same pid, for whom
  // PostgreSQL would refuse to start.
  rmSync(join(dataDir, "postmaster.pid"), { force: true });
  const log = openLog(request.logFile, account);
  try {
    const child = spawn(request.binaries.postgres, ["-D", dataDir], {
      cwd: dataDir,
      detached: true,
      stdio: ["ignore", log, log],
      env: cleanEnvironment(request.binaries),
      ...(account.switches ? { uid: account.uid, gid: account.gid } : {}),
    });
    child.on("error", () => undefined);
    child.unref();
    return child;
  } finally {
    closeSync(log);
  }
}

function openLog(path: string, account: Account): number {
  boundLog(path);
  const log = openSync(path, "a", 0o600);
  if (account.switches) fchownSync(log, account.uid, account.gid);
  return log;
}

/**
 * A sealed standby says fifty times a second that it waits for WAL (4 kB/s, PostgreSQL 15 and later). The server goes
 * on writing to the same file, at its new end, since it was opened for appending.
 */
export function boundLog(path: string): void {
  try {
    if (statSync(path).size <= logMaxBytes) return;
    copyFileSync(path, `${path}.1`);
    truncateSync(path);
  } catch {
    // There is none yet.
  }
}

/** Last lines of the log that tell why it failed. */
export function readLogTail(path: string, bytesMax = 4096): string {
  const lines = readLog(path, (size) => Math.max(0, size - bytesMax))
    .split("\n")
    .filter((line) => /(FATAL|PANIC|ERROR|could not|HINT|DETAIL):?/.test(line));
  return lines
    .slice(-3)
    .map((line) => line.replace(/^.*?\] /, "").trim())
    .join("; ");
}

/** What the log says from the byte on that `from` names, given its size; empty where there is no log. */
export function readLog(path: string, from: (size: number) => number): string {
  let log: number | undefined;
  try {
    log = openSync(path, "r");
    const { size } = fstatSync(log);
    const begin = Math.min(from(size), size);
    const buffer = Buffer.alloc(size - begin);
    readSync(log, buffer, 0, buffer.length, begin);
    return buffer.toString("utf8");
  } catch {
    return "";
  } finally {
    if (log !== undefined) closeSync(log);
  }
}

/** The living postmaster of the folder; null when there is none. */
export function findPostmaster(dataDir: string): TreeProcess | null {
  return (
    findNamedPostmaster(treePlace(dataDir)) ??
    findTree(treePlace(dataDir)).find((each) => each.isPostmaster) ??
    null
  );
}

/** Runs one of PostgreSQL's programs to its end; rejects with what it said. */
export async function runTool(request: {
  readonly binaries: Binaries;
  readonly account: Account;
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly environment?: NodeJS.ProcessEnv;
  readonly onLine?: (line: string) => void;
  readonly signal: AbortSignal;
}): Promise<string> {
  request.signal.throwIfAborted();
  const { account } = request;
  const child = spawn(request.program, [...request.args], {
    cwd: request.cwd,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...cleanEnvironment(request.binaries), ...request.environment },
    signal: request.signal,
    killSignal: "SIGKILL",
    ...(account.switches ? { uid: account.uid, gid: account.gid } : {}),
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      said = (said + text).slice(-64 * 1024);
      for (const line of text.split("\n")) if (line !== "") request.onLine?.(line);
    });
  }
  const { code, error } = await new Promise<{ code: number | null; error: unknown }>((resolve) => {
    child.once("error", (cause) => resolve({ code: null, error: cause }));
    child.once("close", (status) => resolve({ code: status, error: null }));
  });
  request.signal.throwIfAborted();
  if (code === 0) return said;
  const name = request.program.slice(dirname(request.program).length + 1);
  const tail = said.trim().split("\n").slice(-4).join("; ");
  throw new DatabaseError(
    "HOLDFAST_PG_TOOL",
    `${name} failed (${error instanceof Error ? error.message : `exit ${code}`}): ${tail}`,
  );
}
