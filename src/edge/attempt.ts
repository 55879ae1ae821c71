/**
 * One try of a request at one upstream, from choosing the connection to the head of the response.
 *
 * - It ends exactly once: with the head of a response, as not sent, or without an answer.
 * - "Not sent" is certain: undici says so before it writes the first byte.
 * - Small responses count as arrived only when they are whole, so that a region that dies in mid-body costs latency.
 */
import type { Dispatcher } from "undici";
import type { RetryHint, TryEnd } from "../core/traffic/repeat.ts";
import { fieldOf, readResponseHeaders } from "./headers.ts";
import type { Upstream } from "./upstream.ts";

/** Held back until whole. Longer: more memory and latency a response; shorter: more of them can break in mid-body. */
const wholeUpToBytes = 64 * 1024;
/** A refused answer is read to its end up to this size, to keep the connection. */
const discardUpToBytes = 64 * 1024;

export interface ResponseHead {
  readonly status: number;
  readonly headers: string[];
}

/** What an attempt tells. After `ended` nothing more is told; after `head` come chunks, then `finished` or `broken`. */
export interface AttemptListener {
  /** True: the answer is refused (it will be repeated), nothing of it is wanted. */
  refuses(status: number, hint: RetryHint): boolean;
  /** The request itself cannot be sent, to anyone. */
  unfit(attempt: Attempt, because: string): void;
  /** Without a head: nothing sent, or no answer. */
  ended(attempt: Attempt, end: TryEnd): void;
  /** The whole response at once. */
  whole(attempt: Attempt, head: ResponseHead, body: Buffer | null): void;
  head(attempt: Attempt, head: ResponseHead): void;
  /** False: the client is slow, pause until `resume`. */
  chunk(attempt: Attempt, chunk: Buffer): boolean;
  finished(attempt: Attempt): void;
  /** The upstream went away in mid-body. */
  broken(attempt: Attempt): void;
}

export class Attempt implements Dispatcher.DispatchHandler {
  readonly upstream: Upstream;
  readonly #listener: AttemptListener;
  readonly #timer: NodeJS.Timeout;
  #phase: "connecting" | "sent" | "gathering" | "streaming" | "discarding" | "over" = "connecting";
  #abort: ((error?: Error) => void) | null = null;
  #resume: (() => void) | null = null;
  #head: ResponseHead | null = null;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(upstream: Upstream, timeoutMs: number, listener: AttemptListener) {
    this.upstream = upstream;
    this.#listener = listener;
    this.#timer = setTimeout(timedOut, timeoutMs, this);
  }

  get isSent(): boolean {
    return this.#phase !== "connecting";
  }

  /** The client went away, or a better table came: nothing more is wanted, nothing more is told. */
  abandon(): void {
    this.#over();
    this.#abort?.();
  }

  resume(): void {
    this.#resume?.();
  }

  giveUp(): void {
    if (this.#phase === "over" || this.#phase === "streaming" || this.#phase === "discarding") return;
    const sent = this.#phase !== "connecting";
    this.abandon();
    this.#listener.ended(this, { kind: sent ? "no-answer" : "not-sent" });
  }

  onConnect(abort: (error?: Error) => void): void {
    // Given up while it waited for a connection: not one byte is sent.
    if (this.#phase === "over") {
      abort();
      return;
    }
    this.#abort = abort;
    this.#phase = "sent";
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void): boolean {
    if (status < 200 || this.#phase !== "sent") return true;
    if (500 < status && status < 505) {
      const hint = hintOf(raw);
      if (this.#listener.refuses(status, hint)) {
        clearTimeout(this.#timer);
        this.#phase = "discarding";
        this.#listener.ended(this, { kind: "answered", status, hint });
        return true;
      }
    }
    const { headers, contentLength } = readResponseHeaders(raw);
    this.#resume = resume;
    const head = { status, headers };
    if (contentLength !== null && contentLength <= wholeUpToBytes) {
      this.#phase = "gathering";
      this.#head = head;
      return true;
    }
    clearTimeout(this.#timer);
    this.#phase = "streaming";
    this.#listener.head(this, head);
    return true;
  }

  onData(chunk: Buffer): boolean {
    switch (this.#phase) {
      case "gathering":
        this.#chunks.push(chunk);
        return true;
      case "streaming":
        return this.#listener.chunk(this, chunk);
      case "discarding":
        this.#bytes += chunk.length;
        if (discardUpToBytes < this.#bytes) this.#abort?.();
        return true;
      default:
        return true;
    }
  }

  onComplete(): void {
    const phase = this.#phase;
    this.#over();
    if (phase === "gathering") {
      const body =
        this.#chunks.length === 0
          ? null
          : this.#chunks.length === 1
            ? this.#chunks[0]!
            : Buffer.concat(this.#chunks);
      this.#listener.whole(this, this.#head as ResponseHead, body);
    } else if (phase === "streaming") this.#listener.finished(this);
  }

  onError(error: Error): void {
    const phase = this.#phase;
    this.#over();
    if (phase === "connecting" && isUnfit(error)) this.#listener.unfit(this, error.message);
    else if (phase === "connecting") this.#listener.ended(this, { kind: "not-sent" });
    else if (phase === "sent" || phase === "gathering") this.#listener.ended(this, { kind: "no-answer" });
    else if (phase === "streaming") this.#listener.broken(this);
  }

  #over(): void {
    clearTimeout(this.#timer);
    this.#phase = "over";
  }
}

/** undici will not send it anywhere: the fault is in the request. */
function isUnfit(error: Error): boolean {
  const { code } = error as { readonly code?: string };
  return code === "UND_ERR_INVALID_ARG" || code === "UND_ERR_NOT_SUPPORTED";
}

function timedOut(attempt: Attempt): void {
  attempt.giveUp();
}

function hintOf(raw: readonly Buffer[]): RetryHint {
  const said = fieldOf(raw, "x-holdfast-retry");
  if (said === "writer-changing" || said === "nothing-done") return said;
  return fieldOf(raw, "retry-after") === null ? "none" : "retry-after";
}
