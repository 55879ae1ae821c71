/**
 * Lines to a file or to standard output: gathered, written in the background, and thrown away when nobody takes them.
 *
 * - Never waits: a disk that is full or slow costs lines, which are counted, and no request anything.
 * - One write at a time, so that lines stay whole and in order.
 */
import { close, constants, fstatSync, open, openSync, write } from "node:fs";
import type { Counter } from "./metrics.ts";

const flushEveryMs = 250;
/** Enough for one write to be worth its trouble: some 150 lines. */
const flushFromChars = 64 * 1024;
const mode = 0o640;
/** A write to a pipe that nobody reads must come back: a thread that waits for it would keep the process from ending. */
const { O_APPEND, O_CREAT, O_NONBLOCK, O_WRONLY } = constants;
const flags = O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK;
const stdout = 1;

export interface LineSinkOptions {
  /** `-`: standard output. */
  readonly file: string;
  /** What may wait to be written. More: a longer stall loses nothing; fewer: less memory. */
  readonly bufferMaxBytes: number;
}

/** Who takes lines, and never makes anybody wait. */
export interface LineTaker {
  /** `text` is one or more whole lines. */
  push(text: string, lines?: number): void;
}

export class LineSink implements LineTaker {
  readonly #options: LineSinkOptions;
  readonly #dropped: Counter;
  readonly #flusher: NodeJS.Timeout;
  #fd: number;
  #waiting = "";
  #waitingLines = 0;
  /** Being written: lines that are counted as lost if it fails. */
  #writing: { readonly bytes: Buffer; readonly lines: number } | null = null;
  #isFailing = false;
  #whenIdle: (() => void) | null = null;

  /** Throws when the file cannot be opened. */
  constructor(options: LineSinkOptions, dropped: Counter) {
    this.#options = options;
    this.#dropped = dropped;
    this.#fd = options.file === "-" ? openStdout() : openSync(options.file, flags, mode);
    this.#flusher = setInterval(() => this.#flush(), flushEveryMs);
    this.#flusher.unref();
  }

  push(text: string, lines = 1): void {
    const taken = this.#waiting.length + (this.#writing?.bytes.length ?? 0);
    if (this.#options.bufferMaxBytes < taken + text.length) {
      this.#dropped.add(lines);
      return;
    }
    this.#waiting += text;
    this.#waitingLines += lines;
    if (flushFromChars <= this.#waiting.length) this.#flush();
  }

  /** After a log rotation: what comes next goes to the file that has the name now. */
  reopen(): Promise<void> {
    if (this.#options.file === "-") return Promise.resolve();
    return new Promise((resolve) => {
      open(this.#options.file, flags, mode, (error, fd) => {
        if (error)
          console.error(`cannot open ${this.#options.file} anew, lines go on as before: ${error.message}`);
        else this.#afterWrite(() => this.#replace(fd));
        resolve();
      });
    });
  }

  /** Writes what waits, for `withinMs` at most. */
  async end(withinMs: number): Promise<void> {
    clearInterval(this.#flusher);
    const deadline = new Promise<void>((resolve) => setTimeout(resolve, withinMs).unref());
    const written = new Promise<void>((resolve) => this.#writeAll(resolve));
    await Promise.race([deadline, written]);
    if (this.#fd !== stdout) close(this.#fd, () => undefined);
  }

  #writeAll(done: () => void): void {
    this.#flush();
    if (this.#writing === null) done();
    else this.#afterWrite(() => this.#writeAll(done));
  }

  #afterWrite(then: () => void): void {
    if (this.#writing === null) {
      then();
      return;
    }
    const before = this.#whenIdle;
    this.#whenIdle = () => {
      before?.();
      then();
    };
  }

  #replace(fd: number): void {
    close(this.#fd, () => undefined);
    this.#fd = fd;
  }

  #flush(): void {
    if (this.#writing !== null || this.#waitingLines === 0) return;
    this.#writing = { bytes: Buffer.from(this.#waiting, "latin1"), lines: this.#waitingLines };
    this.#waiting = "";
    this.#waitingLines = 0;
    this.#write(this.#writing.bytes, this.#writing.lines);
  }

  #write(bytes: Buffer, lines: number): void {
    write(this.#fd, bytes, (error, written) => {
      if (error?.code === "EAGAIN") {
        setTimeout(() => this.#write(bytes, lines), flushEveryMs).unref();
        return;
      }
      if (error) this.#failed(error, lines);
      else if (written < bytes.length) {
        this.#write(bytes.subarray(written), lines);
        return;
      } else this.#isFailing = false;
      this.#writing = null;
      const then = this.#whenIdle;
      this.#whenIdle = null;
      then?.();
    });
  }

  #failed(error: Error, lines: number): void {
    this.#dropped.add(lines);
    if (!this.#isFailing)
      console.error(`cannot write to ${this.#options.file}, lines are lost and counted: ${error.message}`);
    this.#isFailing = true;
  }
}

/** As a description of its own where it is a pipe: others write to ours, and expect it to wait. */
function openStdout(): number {
  return fstatSync(stdout).isFIFO() ? openSync(`/dev/fd/${stdout}`, O_WRONLY | O_NONBLOCK) : stdout;
}
