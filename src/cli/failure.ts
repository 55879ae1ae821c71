/** What went wrong, told to a person: the code, what was tried on what, and what to do next; a bug keeps its stack. */
import { type ErrorCode, errorCodes } from "../core/model/error-code.ts";
import { type ExitCode, exit } from "./exit.ts";

export interface Failure {
  /** Without a line feed at its end. */
  readonly text: string;
  readonly code: ExitCode;
}

const exitCodes: Partial<Record<ErrorCode, ExitCode>> = {
  HOLDFAST_AGENT_UNREACHABLE: exit.unreachable,
  HOLDFAST_BACKUP_NO_SOURCE: exit.unreachable,
  HOLDFAST_BACKUP_NOT_FOUND: exit.invalid,
  HOLDFAST_STORE_UNREACHABLE: exit.unreachable,
  HOLDFAST_STORE_TIMEOUT: exit.unreachable,
  HOLDFAST_STORE_MOVED: exit.refused,
  HOLDFAST_STORE_MOVE_UNKNOWN: exit.unknown,
  HOLDFAST_REQUEST_CONFLICT: exit.refused,
  HOLDFAST_REQUEST_FORBIDDEN: exit.refused,
  HOLDFAST_REQUEST_UNAUTHENTICATED: exit.refused,
  HOLDFAST_REQUEST_INVALID: exit.invalid,
};

/** What the system says of a file or a folder; by the name that Node gives it. */
const systemWords: Readonly<Record<string, readonly [is: string, help: string]>> = {
  EACCES: ["permission denied", "check the owner and the mode of it and of the folders above"],
  EPERM: ["not permitted", "check the owner and the mode of it and of the folders above"],
  EROFS: ["its file system is read-only", "see whether its disk was mounted read-only after a fault"],
  ENOSPC: ["no space left on its disk", "free space on it, or choose another folder"],
  EDQUOT: ["no space left within the quota", "free space in it, or choose another folder"],
  ENOENT: ["there is no such file or folder", "check the path"],
  ENOTDIR: ["a part of the path is no folder", "check the path"],
  EISDIR: ["it is a folder", "check the path"],
  EEXIST: ["something else is there", "check the path"],
};

/** null: nothing that is known to happen, so a bug. */
export function describeFailure(error: unknown): Failure | null {
  if (!(error instanceof Error) || !("code" in error)) return null;
  const code = String(error.code);
  if (Object.hasOwn(errorCodes, code)) {
    const known = code as ErrorCode;
    const { advice } = errorCodes[known];
    return { text: `${code}: ${error.message}\n  = help: ${advice}`, code: exitCodes[known] ?? exit.failed };
  }
  const words = systemWords[code];
  if (!words) return null;
  const { path, syscall } = error as NodeJS.ErrnoException;
  return {
    text: `cannot ${syscall ?? "use"} ${path ?? "a file"}: ${words[0]}\n  = help: ${words[1]}`,
    code: exit.failed,
  };
}
