/** A history on disk: written line by line while it happens, read back whole. */
import { createWriteStream, readFileSync } from "node:fs";
import { finished } from "node:stream/promises";
import {
  BadHistory,
  EventReader,
  eventLine,
  type HistoryEvent,
  type HistoryHead,
  headLine,
  parseHistory,
} from "./history-text.ts";
import type { History } from "./operation.ts";

/** Throws an error that names the file, and of what is wrong in it the line. */
export function readHistoryFile(path: string): History {
  const text = readFileSync(path, "utf8");
  try {
    return parseHistory(text);
  } catch (error) {
    if (error instanceof BadHistory) throw new Error(`${path}, ${error.message}`, { cause: error });
    throw error;
  }
}

/** Takes events as they happen; keeps them, and writes them to `path` unless that is null. */
export class HistoryRecorder {
  readonly #head: HistoryHead;
  readonly #reader = new EventReader();
  readonly #file: ReturnType<typeof createWriteStream> | null;
  #events = 0;
  #failure: Error | null = null;

  constructor(path: string | null, head: HistoryHead) {
    this.#head = head;
    this.#file = path === null ? null : createWriteStream(path, { mode: 0o600 });
    this.#file?.on("error", (error) => {
      this.#failure = error;
    });
    this.#file?.write(headLine(head));
  }

  take(event: HistoryEvent): void {
    this.#events++;
    this.#reader.take(event, this.#events + 1);
    this.#file?.write(eventLine(event));
  }

  /** Rejects when it could not be written. */
  async end(): Promise<History> {
    if (this.#file !== null && this.#failure === null) {
      this.#file.end();
      await finished(this.#file);
    }
    if (this.#failure !== null) throw this.#failure;
    return { ...this.#head, operations: this.#reader.operations() };
  }
}
