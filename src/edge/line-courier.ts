/**
 * Lines of one process on their way to the one that writes them: gathered, sent in pieces, and thrown away when they are
 * not taken. One writes for all, so that lines stay whole wherever they go, pipes included.
 */
import type { LineTaker } from "./line-sink.ts";
import type { Counter } from "./metrics.ts";

const sendEveryMs = 250;
const sendFromChars = 64 * 1024;

/** Calls back when it is on its way. */
export type SendLines = (text: string, lines: number, sent: () => void) => void;

export class LineCourier implements LineTaker {
  readonly #send: SendLines;
  readonly #bufferMaxBytes: number;
  readonly #dropped: Counter;
  readonly #timer: NodeJS.Timeout;
  #waiting = "";
  #waitingLines = 0;
  #sendingChars = 0;
  #whenIdle: (() => void) | null = null;

  constructor(send: SendLines, bufferMaxBytes: number, dropped: Counter) {
    this.#send = send;
    this.#bufferMaxBytes = bufferMaxBytes;
    this.#dropped = dropped;
    this.#timer = setInterval(() => this.#flush(), sendEveryMs);
    this.#timer.unref();
  }

  push(text: string, lines = 1): void {
    if (this.#bufferMaxBytes < this.#waiting.length + this.#sendingChars + text.length) {
      this.#dropped.add(lines);
      return;
    }
    this.#waiting += text;
    this.#waitingLines += lines;
    if (sendFromChars <= this.#waiting.length) this.#flush();
  }

  /** Sends what waits, for `withinMs` at most. */
  async end(withinMs: number): Promise<void> {
    clearInterval(this.#timer);
    const deadline = new Promise<void>((resolve) => setTimeout(resolve, withinMs).unref());
    const sent = new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
      this.#flush();
      this.#tellIdle();
    });
    await Promise.race([deadline, sent]);
  }

  #flush(): void {
    if (this.#sendingChars > 0 || this.#waitingLines === 0) return;
    const [text, lines] = [this.#waiting, this.#waitingLines];
    this.#waiting = "";
    this.#waitingLines = 0;
    this.#sendingChars = text.length;
    this.#send(text, lines, () => {
      this.#sendingChars = 0;
      if (this.#whenIdle !== null) this.#flush();
      this.#tellIdle();
    });
  }

  #tellIdle(): void {
    if (this.#sendingChars === 0 && this.#waitingLines === 0) this.#whenIdle?.();
  }
}
