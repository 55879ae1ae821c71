/** An agent's journal: append-only JSON lines in files that are turned over, so that it never grows without bound. */
import { mkdirSync, renameSync, statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Journal } from "../../ports/journal.ts";

export interface JournalOptions {
  readonly path: string;
  /** A file is turned over when it is larger. Longer: more history in one place. Default 16 MiB. */
  readonly fileBytesMax?: number;
  /** Files kept: `path`, `path.1`, `path.2`, ... Default 8, so 128 MiB. */
  readonly filesMax?: number;
  /** Lines given within this many milliseconds go out in one write; what a SIGKILL then costs. Default 20. */
  readonly gatherMs?: number;
  /** Lines that may wait for the disk; more are dropped and counted. Default 10,000. */
  readonly waitingMax?: number;
}

/**
 * Never rejects (SCENARIOS 71: a full disk leaves the control loop alone): lines that could not be written are counted,
 * and as soon as writing works again a line `{"kind":"journal-gap","dropped":n}` stands where they are missing.
 * One write is under way at a time; what arrives meanwhile goes with the next, in order.
 */
export class FileJournal implements Journal {
  readonly #path: string;
  readonly #fileBytesMax: number;
  readonly #filesMax: number;
  readonly #waitingMax: number;
  readonly #gatherMs: number;
  #file: FileHandle | null = null;
  #bytes = 0;
  #waiting: { readonly line: string; readonly done: () => void }[] = [];
  #working: Promise<void> | null = null;
  #closed = false;
  readonly #closing = new AbortController();
  /** A write ended in the middle of a line: the next one begins with a line break. */
  #torn = false;
  /** Not yet said in the journal itself. */
  #gap = 0;
  /** Lines lost since the start. */
  dropped = 0;
  /** Why the last write failed; empty when it went well. */
  problem = "";

  constructor(options: JournalOptions) {
    this.#path = options.path;
    this.#fileBytesMax = options.fileBytesMax ?? 16 * 2 ** 20;
    this.#filesMax = options.filesMax ?? 8;
    this.#waitingMax = options.waitingMax ?? 10_000;
    this.#gatherMs = options.gatherMs ?? 20;
  }

  append(line: string): Promise<void> {
    if (this.#closed || this.#waitingMax <= this.#waiting.length) {
      this.#drop(1);
      return Promise.resolve();
    }
    return new Promise((done) => {
      this.#waiting.push({ line, done });
      this.#working ??= this.#work();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#closing.abort();
    await this.#working;
    await this.#file?.close();
    this.#file = null;
  }

  async #work(): Promise<void> {
    while (0 < this.#waiting.length) {
      // 40 events a second come in bursts: a write for each took a twelfth of an idle agent.
      await sleep(this.#gatherMs, undefined, { signal: this.#closing.signal }).catch(() => {});
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#write(batch.map((each) => each.line));
        this.problem = "";
      } catch (error) {
        this.problem = (error as Error).message;
        this.#drop(batch.length);
        // Opened anew next time: the folder may have been replaced, the disk mounted again.
        await this.#file?.close().catch(() => {});
        this.#file = null;
      }
      for (const each of batch) each.done();
    }
    this.#working = null;
  }

  async #write(lines: readonly string[]): Promise<void> {
    if (this.#file !== null && this.#fileBytesMax <= this.#bytes) await this.#turnOver();
    this.#file ??= await this.#open();
    const gap = this.#gap;
    const notice = gap === 0 ? "" : `${JSON.stringify({ kind: "journal-gap", dropped: gap })}\n`;
    const text = Buffer.from(`${this.#torn ? "\n" : ""}${notice}${lines.join("\n")}\n`);
    for (let at = 0; at < text.length; ) {
      this.#torn = true;
      const { bytesWritten } = await this.#file.write(text, at);
      at += bytesWritten;
      this.#bytes += bytesWritten;
    }
    this.#torn = false;
    this.#gap -= gap;
  }

  async #open(): Promise<FileHandle> {
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    const file = await open(this.#path, "a+", 0o600);
    this.#bytes = (await file.stat()).size;
    if (0 < this.#bytes) {
      // The life before may have ended in the middle of a line.
      const last = Buffer.alloc(1);
      await file.read(last, 0, 1, this.#bytes - 1);
      this.#torn = last.toString() !== "\n";
    }
    return file;
  }

  async #turnOver(): Promise<void> {
    await this.#file?.close();
    this.#file = null;
    for (let n = this.#filesMax - 2; 0 <= n; n -= 1) {
      const from = n === 0 ? this.#path : `${this.#path}.${n}`;
      if (statSync(from, { throwIfNoEntry: false })) renameSync(from, `${this.#path}.${n + 1}`);
    }
    this.#torn = false;
  }

  #drop(lines: number): void {
    this.dropped += lines;
    this.#gap += lines;
  }
}
