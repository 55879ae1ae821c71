/** Clients' connections, plain and over TLS: taken in, bounded in number and time, and ended in order. */
import { createServer, type Server, type Socket } from "node:net";
import type { Readable } from "node:stream";
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from "node:tls";
import type { Address } from "../core/model/topology.ts";
import type { Certificates } from "./certificates.ts";
import { ClientConnection, type ClientLimits, type RequestOwner } from "./client-connection.ts";
import { type ClientPeer, type Scheme, TrustedNetworks } from "./client-peer.ts";
import { ClientSession, type Http2Limits, type SessionOwner } from "./client-session.ts";
import { listen } from "./listen.ts";
import type { Metrics } from "./metrics.ts";
import { monotonicNow } from "./monotonic.ts";
import type { RequestHead } from "./request-head.ts";
import { reset } from "./reset.ts";
import type { RequestHandler, Responder } from "./responder.ts";

/** Deadlines are of seconds: looking twice a second is exact enough, and costs nothing per request. */
const sweepEveryMs = 500;

export interface ListenerOptions {
  readonly limits: ClientLimits;
  readonly http2: Http2Limits & {
    /** Offered to clients over TLS (ALPN). */
    readonly tls: boolean;
    /** Spoken on the plain listener to clients that begin with it. */
    readonly cleartext: boolean;
  };
  readonly trustedProxies: readonly string[];
  /** Beyond it a connection is refused at once, which costs nothing. */
  readonly connectionsMax: number;
}

export class HttpListener implements RequestOwner, SessionOwner {
  readonly #servers: Server[] = [];
  readonly #handler: RequestHandler;
  readonly #connections = new Set<ClientConnection>();
  readonly #sessions = new Set<ClientSession>();
  readonly #sweeper: NodeJS.Timeout;
  readonly #options: ListenerOptions;
  #hardEnd: NodeJS.Timeout | null = null;
  readonly limits: ClientLimits;
  readonly takesPriorKnowledge: boolean;
  readonly networks: TrustedNetworks;
  roughNow = monotonicNow();
  isEnding = false;

  constructor(handler: RequestHandler, options: ListenerOptions) {
    this.#handler = handler;
    this.#options = options;
    this.limits = options.limits;
    this.takesPriorKnowledge = options.http2.cleartext;
    this.networks = new TrustedNetworks(options.trustedProxies);
    this.#sweeper = setInterval(() => this.#sweep(), sweepEveryMs);
    this.#sweeper.unref();
  }

  /** Idle ones too; a client of HTTP/2 is one, whatever it has under way. */
  get connections(): number {
    return this.#connections.size + this.#sessions.size;
  }

  get http2(): Http2Limits {
    return this.#options.http2;
  }

  listen(address: Address): Promise<Address> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      if (this.#mayTake(socket)) this.#takeHttp1(socket, "http");
    });
    this.#servers.push(server);
    return listen(server, address, "http");
  }

  listenTls(address: Address, certificates: Certificates, metrics: Metrics): Promise<Address> {
    const failed = metrics.counter("holdfast_edge_tls_failed_total");
    const server = createTlsServer(
      {
        ...certificates.first,
        SNICallback: (name, take) => take(null, certificates.contextFor(name)),
        ALPNProtocols: this.#options.http2.tls ? ["h2", "http/1.1"] : ["http/1.1"],
        handshakeTimeout: this.limits.headWithinMs,
        noDelay: true,
      },
      (socket: TLSSocket) => {
        if (!this.#mayTake(socket)) return;
        if (socket.alpnProtocol === "h2") this.takeHttp2(socket, this.#peer(socket, "https"));
        else this.#takeHttp1(socket, "https");
      },
    );
    // Handshakes that never end count too: this one bounds what has been accepted.
    server.maxConnections = this.#options.connectionsMax;
    server.on("tlsClientError", (_error: Error, socket: TLSSocket) => {
      failed.add();
      socket.destroy();
    });
    certificates.onChange = () => server.setSecureContext(certificates.first);
    this.#servers.push(server satisfies TlsServer);
    return listen(server, address, "https");
  }

  #mayTake(socket: Socket): boolean {
    if (this.connections < this.#options.connectionsMax) return !socket.destroyed;
    reset(socket);
    return false;
  }

  #peer(socket: Socket, scheme: Scheme): ClientPeer {
    return this.networks.peer(socket.remoteAddress, scheme);
  }

  #takeHttp1(socket: Socket, scheme: Scheme): void {
    this.#connections.add(new ClientConnection(socket, this.#peer(socket, scheme), this));
  }

  takeHttp2(socket: Socket, peer: ClientPeer): void {
    this.#sessions.add(new ClientSession(socket, peer, this));
  }

  /**
   * Clients should go elsewhere: each connection that is open now ends with its next answer, and at the hard end anyway.
   * Who still comes anew is served as ever, since names are kept for longer than they should be.
   */
  drain(hardEndMs: number): void {
    if (this.#hardEnd !== null) return;
    const leaving = [...this.#connections];
    const sessions = [...this.#sessions];
    for (const connection of leaving) connection.isLeaving = true;
    // GOAWAY cannot be taken back: who hears it opens another, and is served there.
    for (const session of sessions) session.end();
    this.#hardEnd = setTimeout(() => {
      for (const connection of leaving) if (connection.isLeaving) connection.destroy();
      for (const session of sessions) session.destroy();
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
    const closed = this.#servers
      .filter((server) => server.listening)
      .map((server) => new Promise((resolve) => server.close(resolve)));
    for (const connection of this.#connections) if (connection.isIdle) connection.destroy();
    for (const session of this.#sessions) session.end();
    const hardEnd = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy();
      for (const session of this.#sessions) session.destroy();
    }, graceMs);
    await Promise.all(closed);
    clearTimeout(hardEnd);
    clearInterval(this.#sweeper);
  }

  // --- what a connection tells ---

  serve(head: RequestHead, body: Buffer | Readable | null, responder: Responder): void {
    this.#handler.serve(head, body, responder);
  }

  refuse(status: number, because: string, responder: Responder): void {
    this.#handler.refuse(status, because, responder);
  }

  closed(client: ClientConnection | ClientSession): void {
    if (client instanceof ClientConnection) this.#connections.delete(client);
    else this.#sessions.delete(client);
  }

  #sweep(): void {
    this.roughNow = monotonicNow();
    for (const connection of this.#connections) if (connection.deadline < this.roughNow) connection.destroy();
    for (const session of this.#sessions) session.sweep(this.roughNow);
  }
}
