/**
 * The seam between clients and exchanges: whoever waits for one answer, over HTTP/1.1 or as a stream of HTTP/2.
 *
 * An exchange knows nothing of connections, and a connection nothing of services. So every rule (classes, holding,
 * repeating, breakers, stale answers) is the same whatever a client speaks.
 */

import type { Readable } from "node:stream";
import type { ClientPeer } from "./client-peer.ts";
import type { RequestHead } from "./request-head.ts";
import type { WebSocketEnd } from "./websocket.ts";

export interface Switched {
  readonly end: WebSocketEnd;
  readonly ahead: Buffer | null;
}

export interface Responder {
  readonly peer: ClientPeer;
  readonly protocol: "HTTP/1.1" | "HTTP/2";
  /** Told once if the client goes away before its answer is complete. */
  onGone: (() => void) | null;
  /** Told when the client has taken what `chunk` said false to. */
  onTaken: (() => void) | null;
  /** The whole answer. `headers` (names and values in turn) tell its length if it has one. */
  whole(status: number, headers: readonly string[], body: Buffer | string | null): void;
  /** Begins an answer that comes in pieces. */
  begin(status: number, headers: readonly string[], hasLength: boolean): void;
  /** False: wait for `onTaken`. */
  chunk(bytes: Buffer): boolean;
  end(): void;
  /** The answer broke in its middle: the client must see that it is incomplete. */
  destroy(): void;
  /** Answers 101 and gives the socket away, with what was sent `ahead`. null: nobody who could switch, or who went away. */
  switchProtocols(headers: readonly string[]): Switched | null;
}

export interface RequestHandler {
  /** `body` is null, whole, or a stream that is read once. */
  serve(head: RequestHead, body: Buffer | Readable | null, responder: Responder): void;
  /** Bytes that are no request, or none that is passed on. */
  refuse(status: number, because: string, responder: Responder): void;
}
