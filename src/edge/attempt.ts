/**
 * One try of a request at one upstream, from choosing the connection to the head of the response.
 *
 * - It ends exactly once: with the head of a response, as not sent, or without an answer.
 * - Small responses count as arrived only when they are whole, so that a region that dies in mid-body costs latency.
 */
import type { RetryHint, TryEnd } from "../core/traffic/repeat.ts";
import type { ParsedHead } from "./response-head.ts";
import type { ResponseReceiver, UpstreamConnection, UpstreamRequest } from "./upstream-connection.ts";
import type { UpstreamPool } from "./upstream-pool.ts";
import type { WebSocketEnd } from "./websocket.ts";

/** Held back until whole. Longer: more memory and latency a response; shorter: more of them can break in mid-body. */
const wholeUpToBytes = 64 * 1024;
/** A refused answer is read to its end up to this size, to keep the connection. */
const discardUpToBytes = 64 * 1024;

/** Where it is tried, and who is told how that went. */
export interface AttemptTarget {
  readonly region: string;
  readonly pool: UpstreamPool;
  succeeded(): void;
  failed(): void;
}

/** What an attempt tells. After `ended` nothing more is told; after `head` come chunks, then `finished` or `broken`. */
export interface AttemptListener {
  /** True: the answer is refused (it will be repeated), nothing of it is wanted. */
  refuses(status: number, hint: RetryHint): boolean;
  /** Without a head that is wanted. */
  ended(attempt: Attempt, end: TryEnd): void;
  /** The whole response at once. */
  whole(attempt: Attempt, head: ParsedHead, body: Buffer | null): void;
  head(attempt: Attempt, head: ParsedHead): void;
  /** False: the client is slow, pause until `resume`. */
  chunk(attempt: Attempt, chunk: Buffer): boolean;
  finished(attempt: Attempt): void;
  /** Instead of an answer: the upstream's socket speaks WebSocket now. */
  switched?(attempt: Attempt, head: ParsedHead, end: WebSocketEnd, first: Buffer | null): void;
  /** The upstream went away in mid-body. */
  broken(attempt: Attempt): void;
}

type Phase = "connecting" | "sent" | "gathering" | "streaming" | "discarding" | "over";

export class Attempt implements ResponseReceiver {
  readonly upstream: AttemptTarget;
  readonly request: UpstreamRequest;
  readonly #listener: AttemptListener;
  readonly #timer: NodeJS.Timeout;
  #phase: Phase = "connecting";
  #connection: UpstreamConnection | null = null;
  #head: ParsedHead | null = null;
  #first: Buffer | null = null;
  #more: Buffer[] | null = null;
  #bytes = 0;

  constructor(
    upstream: AttemptTarget,
    request: UpstreamRequest,
    timeoutMs: number,
    listener: AttemptListener,
  ) {
    this.upstream = upstream;
    this.request = request;
    this.#listener = listener;
    this.#timer = setTimeout(giveUp, timeoutMs, this);
  }

  start(): void {
    this.upstream.pool.send(this);
  }

  /** The client went away: nothing more is wanted, nothing more is told. */
  abandon(): void {
    if (this.#phase === "over") return;
    if (this.#phase === "connecting") this.upstream.pool.withdraw(this);
    this.#over();
    this.#connection?.abandon();
  }

  resume(): void {
    this.#connection?.resume();
  }

  /** Whether a byte of the request left. */
  get wasSent(): boolean {
    return this.#connection !== null;
  }

  /** In time there was no whole answer and no head of a long one. */
  giveUp(): void {
    if (this.#phase === "over" || this.#phase === "streaming" || this.#phase === "discarding") return;
    const wasSent = this.#phase !== "connecting";
    this.abandon();
    this.#listener.ended(this, { kind: wasSent ? "no-answer" : "not-sent" });
  }

  // --- what the connection tells ---

  sent(connection: UpstreamConnection): void {
    // Given up while the connection was being made: not one byte is sent.
    if (this.#phase === "over") {
      connection.abandon();
      return;
    }
    this.#connection = connection;
    this.#phase = "sent";
  }

  head(head: ParsedHead): void {
    const { status, hint, contentLength } = head;
    if (500 < status && status < 505 && this.#listener.refuses(status, hint)) {
      clearTimeout(this.#timer);
      this.#phase = "discarding";
      this.#listener.ended(this, { kind: "answered", status, hint });
    } else if (this.#isWithoutBody(status) || (contentLength !== null && contentLength <= wholeUpToBytes)) {
      this.#phase = "gathering";
      this.#head = head;
    } else {
      clearTimeout(this.#timer);
      this.#phase = "streaming";
      this.#listener.head(this, head);
    }
  }

  chunk(bytes: Buffer): boolean {
    switch (this.#phase) {
      case "gathering":
        if (this.#first === null) this.#first = bytes;
        else if (this.#more === null) this.#more = [this.#first, bytes];
        else this.#more.push(bytes);
        return true;
      case "streaming":
        return this.#listener.chunk(this, bytes);
      case "discarding":
        this.#bytes += bytes.length;
        if (discardUpToBytes < this.#bytes) this.abandon();
        return true;
      default:
        return true;
    }
  }

  end(): void {
    const phase = this.#phase;
    this.#over();
    if (phase === "gathering") {
      const body = this.#more === null ? this.#first : Buffer.concat(this.#more);
      this.#listener.whole(this, this.#head as ParsedHead, body);
    } else if (phase === "streaming") this.#listener.finished(this);
  }

  switched(head: ParsedHead, end: WebSocketEnd, first: Buffer | null): void {
    this.#over();
    if (this.#listener.switched) this.#listener.switched(this, head, end, first);
    else end.socket.destroy();
  }

  failed(): void {
    const phase = this.#phase;
    this.#over();
    if (phase === "connecting") this.#listener.ended(this, { kind: "not-sent" });
    else if (phase === "sent" || phase === "gathering") this.#listener.ended(this, { kind: "no-answer" });
    else if (phase === "streaming") this.#listener.broken(this);
  }

  #isWithoutBody(status: number): boolean {
    return this.request.method === "HEAD" || status === 204 || status === 304;
  }

  #over(): void {
    clearTimeout(this.#timer);
    this.#phase = "over";
  }
}

function giveUp(attempt: Attempt): void {
  attempt.giveUp();
}
