/** Clients' HTTP connections: taken in, bounded in number and time, and ended in order. */
import { createServer, type Server } from "node:net";
import type { Readable } from "node:stream";
import type { Address } from "../core/model/topology.ts";
import { ClientConnection, type ClientLimits, type RequestOwner } from "./client-connection.ts";
import { listen } from "./listen.ts";
import { monotonicNow } from "./monotonic.ts";
import type { RequestHead } from "./request-head.ts";

/** Some 10 KB each when idle: 200 MB. Beyond, a connection is refused at once, which costs nothing. */
const connectionsMax = 20_000;
/** Deadlines are of seconds: looking twice a second is exact enough, and costs nothing per request. */
const sweepEveryMs = 500;

export interface RequestHandler {
  serve(head: RequestHead, body: Buffer | Readable | null, responder: ClientConnection): void;
  refuse(status: number, because: string, responder: ClientConnection): void;
}

export class HttpListener implements RequestOwner {
  readonly #server: Server;
  readonly #handler: RequestHandler;
  readonly #connections = new Set<ClientConnection>();
  readonly #sweeper: NodeJS.Timeout;
  #hardEnd: NodeJS.Timeout | null = null;
  readonly limits: ClientLimits;
  roughNow = monotonicNow();
  isEnding = false;

  constructor(handler: RequestHandler, limits: ClientLimits) {
    this.#handler = handler;
    this.limits = limits;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      if (connectionsMax <= this.#connections.size) socket.resetAndDestroy();
      else this.#connections.add(new ClientConnection(socket, this));
    });
    this.#sweeper = setInterval(() => this.#sweep(), sweepEveryMs);
    this.#sweeper.unref();
  }

  get connections(): number {
    return this.#connections.size;
  }

  listen(address: Address): Promise<Address> {
    return listen(this.#server, address, "http");
  }

  /**
   * Clients should go elsewhere: each connection that is open now ends with its next answer, and at the hard end anyway.
   * Who still comes anew is served as ever, since names are kept for longer than they should be.
   */
  drain(hardEndMs: number): void {
    if (this.#hardEnd !== null) return;
    const leaving = [...this.#connections];
    for (const connection of leaving) connection.isLeaving = true;
    this.#hardEnd = setTimeout(() => {
      for (const connection of leaving) if (connection.isLeaving) connection.destroy();
    }, hardEndMs).unref();
  }

  /** They may stay after all. */
  stay(): void {
    if (this.#hardEnd === null) return;
    clearTimeout(this.#hardEnd);
    this.#hardEnd = null;
    for (const connection of this.#connections) connection.isLeaving = false;
  }

  /** Takes no more, lets what is under way finish, and ends the rest after `graceMs`. */
  async close(graceMs: number): Promise<void> {
    this.isEnding = true;
    if (!this.#server.listening) {
      clearInterval(this.#sweeper);
      return;
    }
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const connection of this.#connections) if (connection.isIdle) connection.destroy();
    const hardEnd = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy();
    }, graceMs);
    await closed;
    clearTimeout(hardEnd);
    clearInterval(this.#sweeper);
  }

  // --- what a connection tells ---

  serve(head: RequestHead, body: Buffer | Readable | null, responder: ClientConnection): void {
    this.#handler.serve(head, body, responder);
  }

  refuse(status: number, because: string, responder: ClientConnection): void {
    this.#handler.refuse(status, because, responder);
  }

  closed(connection: ClientConnection): void {
    this.#connections.delete(connection);
  }

  #sweep(): void {
    this.roughNow = monotonicNow();
    for (const connection of this.#connections) if (connection.deadline < this.roughNow) connection.destroy();
  }
}
