/** Starts a child process of our own, waits until it says that it is ready, and ends it for certain. */
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { HoldfastError } from "../../core/model/error-code.ts";
import type { SpanMs } from "../../core/model/time.ts";

export interface ProcessRequest {
  /** For messages, such as `fencer of pg-west`. */
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
  /** Its stdout and stderr are appended here, so that it outlives us and no pipe can fill. */
  readonly logFile: string;
  /** A text that it prints when it is ready; null: it is ready when it runs. */
  readonly readyText: string | null;
  readonly readyWithinMs: SpanMs;
}

export interface OwnProcess {
  readonly pid: number;
  /** Resolves when it has ended, with its exit code or the name of the signal. */
  readonly exited: Promise<number | string>;
  isRunning(): boolean;
  /** SIGTERM, and SIGKILL when it has not ended after `graceMs`. Resolves when it is gone. Idempotent. */
  end(graceMs: SpanMs): Promise<number | string>;
}

/** Rejects with HOLDFAST_PROCESS_NOT_STARTED, and then nothing of it is left running. */
export async function startProcess(request: ProcessRequest): Promise<OwnProcess> {
  const { logFile } = request;
  mkdirSync(dirname(logFile), { recursive: true, mode: 0o700 });
  const log = openSync(logFile, "a", 0o600);
  const saidBefore = statSync(logFile).size;
  const child = spawn(request.program, request.args, {
    detached: true, // A session of its own: Ctrl-C at our terminal is ours to handle.
    stdio: ["ignore", log, log],
    ...(request.env === undefined ? {} : { env: { ...process.env, ...request.env } }),
    ...(request.cwd === undefined ? {} : { cwd: request.cwd }),
    ...(request.uid === undefined ? {} : { uid: request.uid }),
    ...(request.gid === undefined ? {} : { gid: request.gid }),
  });
  closeSync(log);
  let ending: number | string | null = null;
  const exited = new Promise<number | string>((resolve) => {
    const settle = (how: number | string) => {
      ending ??= how;
      resolve(ending);
    };
    child.once("exit", (code, signal) => settle(code ?? signal ?? "unknown"));
    child.once("error", (error) => settle(error.message));
  });
  const own: OwnProcess = {
    pid: child.pid ?? 0,
    exited,
    isRunning: () => ending === null,
    async end(graceMs) {
      if (ending !== null) return ending;
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
      try {
        return await exited;
      } finally {
        clearTimeout(timer);
      }
    },
  };
  await untilReady(request, own, saidBefore);
  // Who starts it may end before it.
  child.unref();
  return own;
}

async function untilReady(request: ProcessRequest, own: OwnProcess, saidBefore: number): Promise<void> {
  const end = performance.now() + request.readyWithinMs;
  const program = basename(request.program);
  for (;;) {
    const said = () => readFrom(request.logFile, saidBefore);
    if (request.readyText !== null && said().includes(request.readyText)) return;
    // One turn of the loop tells of a program that is not there.
    await new Promise((wake) => setTimeout(wake, 5));
    if (!own.isRunning()) {
      throw notStarted(`${program} ended (${await own.exited}) before it was ready`, request, said());
    }
    if (request.readyText === null && own.pid !== 0) return;
    if (end < performance.now()) {
      await own.end(0);
      throw notStarted(
        `${program} was not ready within ${request.readyWithinMs} ms and was ended`,
        request,
        said(),
      );
    }
  }
}

function notStarted(what: string, request: ProcessRequest, said: string): HoldfastError {
  const last = said.trim().split("\n").slice(-5).join("\n  ");
  return new HoldfastError(
    "HOLDFAST_PROCESS_NOT_STARTED",
    `cannot start ${request.name}: ${what}; its log is ${request.logFile}${last ? `, and ends with:\n  ${last}` : ""}`,
  );
}

/** What was added to the log since, the first 256 KiB of it. */
function readFrom(path: string, from: number): string {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(256 * 1024);
    return bytes.toString("utf8", 0, readSync(file, bytes, 0, bytes.length, from));
  } finally {
    closeSync(file);
  }
}
