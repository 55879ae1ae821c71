/** The fencer's configuration: a JSON file, checked by hand, since a schema library would double the fencer's memory. */
import { readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { HoldfastError } from "../core/model/error-code.ts";
import type { MemberName } from "../core/model/id.ts";
import type { SpanMs } from "../core/model/time.ts";

export interface FencerConfig {
  readonly member: MemberName;
  /** Absolute path of the member's data folder. */
  readonly dataDir: string;
  /** Default: `postmaster.pid` in the data folder. */
  readonly pidFile: string;
  /** Unix socket that it listens on; at most 103 bytes (macOS; Linux takes 107). Its folder is made for this user alone. */
  readonly socket: string;
  /** File in which it keeps what it must know after being killed. */
  readonly stateFile: string;
  /**
   * How long the member may live when the fencer starts on a state file that nobody can read, unless it is petted.
   * Longer: an agent has more time to come back. Shorter: a primary without a lease ends sooner. Default and upper limit: one lease.
   */
  readonly graceMs: SpanMs;
  /** No deadline lies further ahead than this: the lease of the longest profile, 15 s, unless told otherwise. */
  readonly aheadMaxMs: SpanMs;
  /** Linux watchdog device, such as `/dev/watchdog`; null: none. */
  readonly watchdog: string | null;
}

export function readFencerConfig(path: string): FencerConfig {
  let given: Record<string, unknown>;
  try {
    given = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  } catch (error) {
    throw invalid(`cannot read the fencer's configuration ${path}: ${(error as Error).message}`);
  }
  const dataDir = absolute(given, "dataDir");
  return {
    member: text(given, "member"),
    dataDir,
    pidFile: given.pidFile === undefined ? join(dataDir, "postmaster.pid") : absolute(given, "pidFile"),
    socket: socketPath(given),
    stateFile: absolute(given, "stateFile"),
    graceMs: span(given, "graceMs", 5_000),
    aheadMaxMs: span(given, "aheadMaxMs", 15_000),
    watchdog: given.watchdog === undefined || given.watchdog === null ? null : absolute(given, "watchdog"),
  };
}

function text(given: Record<string, unknown>, name: string): string {
  const value = given[name];
  if (typeof value !== "string" || value === "")
    throw invalid(`"${name}" must be a text, and is ${JSON.stringify(value)}`);
  return value;
}

function absolute(given: Record<string, unknown>, name: string): string {
  const value = text(given, name);
  if (!isAbsolute(value)) throw invalid(`"${name}" must be an absolute path, and is ${value}`);
  return value;
}

function socketPath(given: Record<string, unknown>): string {
  const value = absolute(given, "socket");
  const bytes = Buffer.byteLength(value);
  if (103 < bytes) throw invalid(`"socket" may have at most 103 bytes, and has ${bytes}: ${value}`);
  return value;
}

function span(given: Record<string, unknown>, name: string, otherwise: SpanMs): SpanMs {
  const value = given[name] ?? otherwise;
  if (typeof value !== "number" || !(0 < value && value <= 600_000))
    throw invalid(`"${name}" must be more than 0 and at most 600000 ms, and is ${JSON.stringify(value)}`);
  return value;
}

function invalid(message: string): HoldfastError {
  return new HoldfastError("HOLDFAST_FENCER_CONFIG_INVALID", message);
}
