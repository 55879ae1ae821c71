/** Begins traces (W3C Trace Context) for requests that came without one. */
import { randomFillSync } from "node:crypto";

/** 24 bytes an id, 128 ids a draw: asking the kernel for each would cost more than the request's own parsing. */
const idBytes = 24;

export class TraceStart {
  readonly #pool = Buffer.alloc(128 * idBytes);
  #at = this.#pool.length;

  /** Sampled: services that go by their parent record nothing of a trace that says otherwise. */
  next(): string {
    if (this.#at === this.#pool.length) {
      randomFillSync(this.#pool);
      this.#at = 0;
    }
    const id = this.#pool.toString("hex", this.#at, this.#at + idBytes);
    this.#at += idBytes;
    return `00-${id.slice(0, 32)}-${id.slice(32)}-01`;
  }
}
