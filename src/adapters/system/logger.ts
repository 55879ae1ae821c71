/** An agent's log: JSON lines on stderr for machines, plain lines for a person at a terminal. */
import { write } from "node:fs";

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface Logger {
  log(level: LogLevel, text: string, details?: Readonly<Record<string, unknown>>): void;
  /** The same, with `details` in every line. */
  with(details: Readonly<Record<string, unknown>>): Logger;
  /** Waits until what was said is written, at most `timeoutMs`. */
  flush(timeoutMs: number): Promise<void>;
}

export interface LoggerOptions {
  readonly level: LogLevel;
  /** Plain lines with colours rather than JSON. */
  readonly pretty: boolean;
  /** Takes one chunk and calls back, whatever became of it. Default: stderr. */
  readonly write?: (chunk: string, done: () => void) => void;
}

const ranks: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };
const colours: Readonly<Record<LogLevel, string>> = { debug: "90", info: "36", warn: "33", error: "31" };
/** Lines in waiting; more are dropped and counted. */
const waitingMax = 1_000;

/**
 * `process.stderr.write` to a pipe is synchronous: a reader that stands still would stop the control loop with it.
 * So lines go out through a thread, one chunk at a time.
 */
export function createLogger(options: LoggerOptions): Logger {
  const send = options.write ?? ((chunk: string, done: () => void) => write(2, chunk, () => done()));
  let waiting: string[] = [];
  let writing = false;
  let dropped = 0;
  let idle: (() => void)[] = [];
  const next = () => {
    if (waiting.length === 0) {
      writing = false;
      for (const each of idle) each();
      idle = [];
      return;
    }
    writing = true;
    const chunk = waiting.join("");
    waiting = [];
    send(chunk, next);
  };
  const say = (level: LogLevel, text: string, details: Readonly<Record<string, unknown>>) => {
    if (ranks[level] < ranks[options.level]) return;
    if (waitingMax <= waiting.length) {
      dropped += 1;
      return;
    }
    const all = dropped === 0 ? details : { ...details, dropped };
    dropped = 0;
    waiting.push(options.pretty ? prettyLine(level, text, all) : jsonLine(level, text, all));
    if (!writing) next();
  };
  const make = (given: Readonly<Record<string, unknown>>): Logger => ({
    log: (level, text, details = {}) => say(level, text, { ...given, ...details }),
    with: (details) => make({ ...given, ...details }),
    flush(timeoutMs) {
      if (!writing) return Promise.resolve();
      return new Promise((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        idle.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    },
  });
  return make({});
}

function jsonLine(level: LogLevel, text: string, details: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify({ at: new Date().toISOString(), level, text, ...details }, plain)}\n`;
}

function prettyLine(level: LogLevel, text: string, details: Readonly<Record<string, unknown>>): string {
  const rest = Object.entries(details)
    .map(([name, value]) => ` ${name}=${typeof value === "string" ? value : JSON.stringify(value, plain)}`)
    .join("");
  const time = new Date().toISOString().slice(11, 23);
  return `\u001b[90m${time}\u001b[0m \u001b[${colours[level]}m${level.padEnd(5)}\u001b[0m ${text}\u001b[90m${rest}\u001b[0m\n`;
}

/** Errors have no fields of their own in JSON. */
function plain(_name: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const code = (value as { code?: unknown }).code;
  return { message: value.message, ...(code === undefined ? {} : { code }), cause: value.cause };
}
