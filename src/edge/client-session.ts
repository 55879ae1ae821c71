/**
 * One client's HTTP/2 connection. The frames are node:http2's (nghttp2); what is done with a request is ours.
 *
 * What a client could do without end, and what ends it:
 * - heads: `maxHeaderListPairs` and `maxHeaderListSize`, 16 KiB as with HTTP/1.1;
 * - CONTINUATION frames (CVE-2024-27316): nghttp2 takes eight a head (`NGHTTP2_DEFAULT_MAX_CONTINUATIONS`), and Node ends
 *   the session when a head outgrows `maxHeaderListPairs` or the session's memory (CVE-2024-27983);
 * - streams opened and reset (CVE-2023-44487): `streamResetBurst` and `streamResetRate`, beyond which nghttp2 says GOAWAY;
 * - SETTINGS: 32 entries a frame (`maxSettings`), and acknowledgements that nobody reads (1000, nghttp2's outbound queue);
 * - PING: the same queue; frames that make no sense: `maxSessionInvalidFrames`;
 * - memory: `maxSessionMemory`, beyond which new streams are refused, and the budget for bodies below;
 * - time: K3 of `client-connection.ts`, for the session and for each stream.
 */
import {
  constants,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import { type ClientLimits, headMaxBytes } from "./client-connection.ts";
import type { ClientPeer } from "./client-peer.ts";
import { ClientStream, type StreamOwner } from "./client-stream.ts";
import type { RequestHead } from "./request-head.ts";
import type { RequestHandler, Responder } from "./responder.ts";

export interface Http2Limits {
  /** More: a client gets more done on one connection; fewer: it can tie up less. */
  readonly streamsMax: number;
  /** Streams that a client may reset at once, and each second from then on. Browsers that leave a page reset dozens. */
  readonly resetBurst: number;
  readonly resetsPerSecond: number;
}

export interface SessionOwner extends RequestHandler {
  readonly limits: ClientLimits;
  readonly http2: Http2Limits;
  readonly roughNow: number;
  closed(session: ClientSession): void;
}

/** As with HTTP/1.1, and the pseudo-header fields. */
const fieldsMax = 104;
/** Of bodies that are kept whole to be sent again; beyond it they are streamed, and sent once. */
const bodiesMaxBytes = 4 * 1024 * 1024;
/** What one client may have under way to us unread, over all its streams. Less: slow uploads over long links. */
const windowBytes = 1024 * 1024;

export class ClientSession implements StreamOwner {
  readonly #session: ServerHttp2Session;
  readonly #owner: SessionOwner;
  readonly #streams = new Set<ClientStream>();
  #keptBytes = 0;
  #idleUntil: number;

  constructor(socket: Socket, peer: ClientPeer, owner: SessionOwner) {
    this.#owner = owner;
    this.#idleUntil = owner.roughNow + owner.limits.headWithinMs;
    const { streamsMax, resetBurst, resetsPerSecond } = owner.http2;
    this.#session = performServerHandshake(socket, {
      settings: { maxConcurrentStreams: streamsMax, maxHeaderListSize: headMaxBytes, enablePush: false },
      maxHeaderListPairs: fieldsMax,
      maxSessionInvalidFrames: 100,
      maxSessionRejectedStreams: 100,
      streamResetBurst: resetBurst,
      streamResetRate: resetsPerSecond,
    });
    this.#session
      .on("stream", (stream: ServerHttp2Stream, _headers: unknown, flags: number, fields: string[]) => {
        stream.on("error", () => undefined);
        // Taken back before it was looked at: most streams of a client that opens and resets them without end.
        if (stream.closed || stream.destroyed) return;
        const one = new ClientStream(stream, peer, this);
        this.#streams.add(one);
        one.read(fields, (flags & constants.NGHTTP2_FLAG_END_STREAM) === 0);
      })
      .on("error", () => this.destroy())
      .on("close", () => {
        // Of a client that only half-closed nothing is left to tell.
        socket.destroy();
        owner.closed(this);
      });
    this.#session.setLocalWindowSize(windowBytes);
  }

  get isIdle(): boolean {
    return this.#streams.size === 0;
  }

  /** Says GOAWAY: what is under way may finish. */
  end(): void {
    if (!this.#session.closed) this.#session.close();
  }

  destroy(): void {
    if (!this.#session.destroyed) this.#session.destroy();
  }

  sweep(now: number): void {
    if (this.isIdle && this.#idleUntil < now) this.destroy();
    for (const stream of this.#streams) if (stream.deadline < now) stream.destroy();
  }

  // --- what a stream tells ---

  get limits(): ClientLimits {
    return this.#owner.limits;
  }

  get roughNow(): number {
    return this.#owner.roughNow;
  }

  get mayKeep(): boolean {
    return this.#keptBytes < bodiesMaxBytes;
  }

  keeps(bytes: number): void {
    this.#keptBytes += bytes;
  }

  closed(stream: ClientStream): void {
    this.#streams.delete(stream);
    this.#idleUntil = this.#owner.roughNow + this.#owner.limits.idleForMs;
  }

  serve(head: RequestHead, body: Buffer | Readable | null, responder: Responder): void {
    this.#owner.serve(head, body, responder);
  }

  refuse(status: number, because: string, responder: Responder): void {
    this.#owner.refuse(status, because, responder);
  }
}
