/** What SQLite says, as a failure that people can act on. */
import { InvariantViolation } from "../../core/model/invariant.ts";
import type { StoreErrorCode } from "../../ports/store.ts";
import type { Failure } from "./protocol.ts";

const RESTORE = "stop all agents, keep the file for examination, and restore the last good copy";

/** Thrown within the thread that holds the database; never leaves it. */
export class FileFailure extends Error {
  readonly failure: Failure;

  constructor(code: StoreErrorCode, retryable: boolean, problem: string, advice: string) {
    super(`${problem}; ${advice}`);
    this.failure = { code, retryable, problem, advice };
  }
}

/** "no such table": the file was emptied under the connection. All other causes would be bugs of ours. */
const ERROR = 1;
// Primary result codes, https://www.sqlite.org/rescode.html; extended codes have them in the low byte.
const BUSY = 5;
const LOCKED = 6;
const READONLY = 8;
const IOERR = 10;
const CORRUPT = 11;
const FULL = 13;
const CANTOPEN = 14;
const PROTOCOL = 15;
const NOTADB = 26;
/** The file was renamed or removed under the connection. */
const READONLY_DBMOVED = READONLY | (4 << 8);

function resultCode(error: unknown): number | null {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") return null;
  return error.errcode;
}

/** Another process holds a lock that is in the way: the same call may pass in a moment. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  if (code === null) return false;
  const primary = code & 0xff;
  return primary === BUSY || primary === LOCKED || primary === PROTOCOL;
}

/** After these the connection is opened anew before the next attempt. */
export function endsConnection(failure: Failure): boolean {
  return failure.code !== "HOLDFAST_STORE_FULL" && failure.code !== "HOLDFAST_STORE_TIMEOUT";
}

export function moved(): FileFailure {
  return new FileFailure(
    "HOLDFAST_STORE_UNREACHABLE",
    true,
    "the file was moved, removed or replaced while it was open",
    "put it back: agents go on by themselves, and never make a new one in its place",
  );
}

export function emptied(): FileFailure {
  return new FileFailure("HOLDFAST_STORE_CORRUPT", false, "the file was emptied", RESTORE);
}

export function toFailure(error: unknown): Failure {
  if (error instanceof FileFailure) return error.failure;
  if (error instanceof InvariantViolation) throw error;
  const code = resultCode(error);
  const text = error instanceof Error ? error.message : String(error);
  if (code === null) return failed(text, false, "this is a bug: report it with what the agent logged");
  if (code === READONLY_DBMOVED) return moved().failure;
  switch (code & 0xff) {
    case ERROR:
      if (!text.startsWith("no such table")) break;
      return emptied().failure;
    case BUSY:
    case LOCKED:
    case PROTOCOL:
      return {
        code: "HOLDFAST_STORE_TIMEOUT",
        retryable: true,
        problem: "another process holds the file locked",
        advice: "see who has it open (fuser PATH); a stopped or frozen process may hold the lock",
      };
    case READONLY:
      return {
        code: "HOLDFAST_STORE_READ_ONLY",
        retryable: false,
        problem: `the file or its folder cannot be written (${text})`,
        advice: "let the agent's user write to both, and see that the file system is mounted read-write",
      };
    case CANTOPEN:
      return {
        code: "HOLDFAST_STORE_UNREACHABLE",
        retryable: false,
        problem: `the file cannot be opened or made (${text})`,
        advice: "see that its folder exists and that the agent's user may write there",
      };
    case FULL:
      return {
        code: "HOLDFAST_STORE_FULL",
        retryable: true,
        problem: "the disk is full",
        advice: "free space on its file system: writes go on by themselves, reads never stopped",
      };
    case CORRUPT:
    case NOTADB:
      return {
        code: "HOLDFAST_STORE_CORRUPT",
        retryable: false,
        problem: `the file is damaged or no database (${text})`,
        advice: RESTORE,
      };
    case IOERR:
      return failed(`the disk failed (${text})`, true, "look at the kernel's log (dmesg) for its disk");
  }
  return failed(`SQLite says ${code}: ${text}`, false, "report it with what the agent logged");
}

function failed(problem: string, retryable: boolean, advice: string): Failure {
  return { code: "HOLDFAST_STORE_FAILED", retryable, problem, advice };
}
