/** One request of an HTTP/2 client, as the exchange sees it: K3 of `client-connection.ts` for it alone. */
import type { ServerHttp2Stream } from "node:http2";
import { PassThrough } from "node:stream";
import { bodyWholeUpToBytes, type ClientLimits } from "./client-connection.ts";
import type { ClientPeer } from "./client-peer.ts";
import { fieldsOf, headTextOf } from "./http2-head.ts";
import { parseRequestHead, type RequestHead } from "./request-head.ts";
import type { RequestHandler, Responder } from "./responder.ts";

/** RST_STREAM, RFC 9113 section 7. */
const noError = 0;

export interface StreamOwner extends RequestHandler {
  readonly limits: ClientLimits;
  readonly roughNow: number;
  /** Whether more of bodies may be kept whole for this client: it may have a hundred streams. */
  readonly mayKeep: boolean;
  keeps(bytes: number): void;
  closed(stream: ClientStream): void;
}

export class ClientStream implements Responder {
  onGone: (() => void) | null = null;
  onTaken: (() => void) | null = null;
  deadline = Number.POSITIVE_INFINITY;
  readonly peer: ClientPeer;
  readonly protocol = "HTTP/2";
  readonly #stream: ServerHttp2Stream;
  readonly #owner: StreamOwner;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #body: PassThrough | null = null;
  #isAnswering = false;

  constructor(stream: ServerHttp2Stream, peer: ClientPeer, owner: StreamOwner) {
    this.#stream = stream;
    this.peer = peer;
    this.#owner = owner;
    stream.on("drain", () => this.#drained()).on("close", () => this.#closed());
  }

  /** `fields`: names and values in turn, pseudo-header fields among them. */
  read(fields: readonly string[], hasBody: boolean): void {
    const text = headTextOf(fields);
    const head = typeof text === "string" ? parseRequestHead(text, this.peer) : text;
    if ("status" in head) {
      this.#isAnswering = true;
      this.#owner.refuse(head.status, head.because, this);
    } else if (!hasBody) this.#serve(head, null);
    else this.#readBody(head);
  }

  /** By an error: `close` would end what was answered so far as if it were all, and reset it then. */
  destroy(): void {
    this.#stream.destroy(new Error("not brought to its end"));
  }

  #readBody(head: RequestHead): void {
    this.deadline = this.#owner.roughNow + this.#owner.limits.bodyWithinMs;
    const gather = (bytes: Buffer): void => {
      this.#bytes += bytes.length;
      this.#owner.keeps(bytes.length);
      this.#chunks.push(bytes);
      if (bodyWholeUpToBytes < this.#bytes || !this.#owner.mayKeep) {
        this.#stream.off("data", gather).off("end", whole);
        this.#startStream(head);
      }
    };
    const whole = (): void => {
      if (this.#isCut) return;
      const body = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
      this.#chunks = [];
      this.#serve(head, body.length === 0 ? null : body);
    };
    if (head.expectsContinue) this.#stream.additionalHeaders({ ":status": 100 });
    if (bodyWholeUpToBytes < (head.contentLength ?? 0)) this.#startStream(head);
    else this.#stream.on("data", gather).on("end", whole);
  }

  /** Reset before its body was whole: node:http2 tells of an end then too. */
  get #isCut(): boolean {
    return this.#stream.closed || this.#stream.aborted;
  }

  #startStream(head: RequestHead): void {
    const body = new PassThrough();
    this.#body = body;
    for (const chunk of this.#chunks) body.write(chunk);
    this.#chunks = [];
    this.#keepsNothing();
    this.#stream.on("end", () => (this.#isCut ? body.destroy() : body.end())).pipe(body, { end: false });
    this.#isAnswering = true;
    this.#owner.serve(head, body, this);
  }

  #serve(head: RequestHead, body: Buffer | null): void {
    this.#isAnswering = true;
    this.deadline = Number.POSITIVE_INFINITY;
    this.#owner.serve(head, body, this);
  }

  // --- the answer ---

  whole(status: number, headers: readonly string[], body: Buffer | string | null): void {
    if (!this.#respond(status, headers)) return;
    if (body !== null && this.#stream.writable) this.#stream.write(body);
    this.end();
  }

  begin(status: number, headers: readonly string[]): void {
    if (this.#respond(status, headers)) this.#quiet();
  }

  chunk(bytes: Buffer): boolean {
    if (!this.#isAnswering || !this.#stream.writable) return true;
    const flows = this.#stream.write(bytes);
    this.#quiet();
    if (!flows) this.deadline = this.#owner.roughNow + this.#owner.limits.takenWithinMs;
    return flows;
  }

  end(): void {
    if (!this.#isAnswering) return;
    this.#isAnswering = false;
    this.onGone = this.onTaken = null;
    this.#keepsNothing();
    this.deadline = this.#owner.roughNow + this.#owner.limits.takenWithinMs;
    const stream = this.#stream;
    // What it still sends of its request is not wanted any more (RFC 9113 section 8.1).
    if (!stream.readableEnded) stream.once("finish", () => stream.close(noError));
    if (stream.writable) stream.end();
  }

  /** Extended CONNECT (RFC 8441) is not offered. */
  switchProtocols(): null {
    return null;
  }

  #respond(status: number, headers: readonly string[]): boolean {
    if (!this.#isAnswering || this.#stream.destroyed || this.#stream.closed) return false;
    try {
      this.#stream.respond({ ":status": status, ...fieldsOf(headers) });
      return true;
    } catch {
      // What a service may say in HTTP/1.1 and nobody in HTTP/2, such as status 999.
      this.destroy();
      return false;
    }
  }

  #quiet(): void {
    this.deadline = this.#owner.roughNow + this.#owner.limits.quietForMs;
  }

  #drained(): void {
    if (!this.#isAnswering) return;
    this.#quiet();
    this.onTaken?.();
  }

  #keepsNothing(): void {
    this.#owner.keeps(-this.#bytes);
    this.#bytes = 0;
  }

  #closed(): void {
    this.#keepsNothing();
    this.#body?.destroy();
    this.#isAnswering = false;
    this.#owner.closed(this);
    const gone = this.onGone;
    this.onGone = this.onTaken = null;
    gone?.();
  }
}
