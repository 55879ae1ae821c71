/**
 * A data store's TCP listener: splices clients to the gate of the current writer, and ends them when the writer changes.
 *
 * - S4, S5. A session to a writer that the table no longer names ends at once.
 * - A connection that finds no writer waits, bounded in time and number, and is tried again. Until the first byte comes
 *   back, what the client has said (its start-up) is kept, so that a gate that closes at once costs it nothing.
 */
import { createServer, type Server, type Socket } from "node:net";
import type { RoutingTable, StoreRoute } from "../core/model/routing.ts";
import type { Address } from "../core/model/topology.ts";
import { listen } from "./listen.ts";
import type { Metrics } from "./metrics.ts";
import { monotonicNow } from "./monotonic.ts";
import { isCancelRequest } from "./postgres-wire.ts";
import { reset } from "./reset.ts";
import { acceptWithSlab, connectWithSlab, kept, writeNow } from "./slab.ts";

/** 64 KB: six times PostgreSQL's longest start-up packet. */
const firstMaxBytes = 64 * 1024;
export const tcpSessionsMax = 10_000;
const connectTimeoutMs = 500;
/** A writer that is back is announced by a table, which ends the pause: this is for one that no table announces. */
const longestPauseMs = 200;

export interface TcpProxyConfig {
  readonly store: string;
  readonly listen: Address;
  /** How long a connection waits for a writer, at most. */
  readonly holdMaxMs: number;
  readonly sessionsMax: number;
}

export class TcpProxy {
  readonly config: TcpProxyConfig;
  readonly #server: Server;
  readonly #sessions = new Set<TcpSession>();
  #route: StoreRoute | null = null;

  constructor(config: TcpProxyConfig, metrics: Metrics) {
    this.config = config;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#admit(client));
    metrics.gauge("holdfast_edge_tcp_sessions", { store: config.store }, () => this.#sessions.size);
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  get route(): StoreRoute | null {
    return this.#route;
  }

  listen(): Promise<Address> {
    return listen(this.#server, this.config.listen, `data store ${this.config.store}`);
  }

  follow(table: RoutingTable): void {
    const before = this.#route;
    const next = table.stores[this.config.store] ?? null;
    this.#route = next;
    if (before && next && isSameWriter(before, next)) return;
    for (const session of this.#sessions) session.writerChanged();
  }

  leave(session: TcpSession): void {
    this.#sessions.delete(session);
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#server.listening) this.#server.close(() => resolve());
      else resolve();
      for (const session of this.#sessions) session.destroy();
    });
  }

  #admit(client: Socket): void {
    if (this.config.sessionsMax <= this.#sessions.size) {
      reset(client);
      return;
    }
    this.#sessions.add(new TcpSession(client, this));
  }
}

function isSameWriter(a: StoreRoute, b: StoreRoute): boolean {
  return (
    a.epoch === b.epoch &&
    a.writer?.member === b.writer?.member &&
    a.writer?.gate.host === b.writer?.gate.host &&
    a.writer?.gate.port === b.writer?.gate.port
  );
}

class TcpSession {
  readonly #client: Socket;
  readonly #proxy: TcpProxy;
  readonly #deadline: number;
  #upstream: Socket | null = null;
  /** What the client said before the first byte came back; null: the splice stands, nothing can be repeated. */
  #said: Buffer[] | null = [];
  #saidBytes = 0;
  #pauses = 0;
  #timer: NodeJS.Timeout | null = null;
  readonly #firstByteTimer: NodeJS.Timeout;
  #isOver = false;

  constructor(accepted: Socket, proxy: TcpProxy) {
    const client = acceptWithSlab(accepted, true, (bytes) => this.#fromClient(bytes));
    this.#client = client;
    this.#proxy = proxy;
    this.#deadline = monotonicNow() + proxy.config.holdMaxMs;
    client.setKeepAlive(true, 10_000);
    client
      .on("drain", () => this.#upstream?.resume())
      .on("end", () => (this.#said === null ? this.#upstream?.end() : this.destroy()))
      .on("error", () => this.destroy())
      .on("close", () => this.destroy());
    this.#firstByteTimer = setTimeout(() => this.destroy(), proxy.config.holdMaxMs);
    this.#connect();
  }

  writerChanged(): void {
    if (this.#said === null) {
      this.destroy();
      return;
    }
    this.#drop();
    this.#pauses = 0;
    this.#connect();
  }

  destroy(): void {
    if (this.#isOver) return;
    this.#end();
    reset(this.#client);
  }

  /** In order: what the client has not read yet still goes out to it. */
  #finish(): void {
    if (this.#isOver) return;
    this.#end();
    this.#client.destroySoon();
  }

  #end(): void {
    this.#isOver = true;
    clearTimeout(this.#firstByteTimer);
    this.#drop();
    this.#proxy.leave(this);
  }

  #drop(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const upstream = this.#upstream;
    this.#upstream = null;
    if (upstream !== null) reset(upstream);
  }

  #fromClient(chunk: Buffer): void {
    if (this.#said !== null) {
      this.#said.push(kept(chunk));
      this.#saidBytes += chunk.length;
      // Nobody says so much before the first answer: no more is read until one comes.
      if (firstMaxBytes < this.#saidBytes) this.#client.pause();
    }
    if (this.#upstream && !this.#upstream.connecting && !writeNow(this.#upstream, chunk))
      this.#client.pause();
  }

  #connect(): void {
    const writer = this.#proxy.route?.writer;
    if (!writer) {
      this.#retryLater();
      return;
    }
    const { host, port } = writer.gate;
    const upstream = connectWithSlab({ host, port, noDelay: true, allowHalfOpen: true }, (bytes) =>
      this.#fromUpstream(upstream, bytes),
    );
    this.#upstream = upstream;
    this.#timer = setTimeout(() => this.#lost(upstream), connectTimeoutMs);
    upstream
      .on("connect", () => {
        if (this.#timer) clearTimeout(this.#timer);
        this.#timer = null;
        upstream.setKeepAlive(true, 10_000);
        for (const chunk of this.#said ?? []) upstream.write(chunk);
      })
      .on("drain", () => this.#client.resume())
      .on("end", () => {
        if (upstream !== this.#upstream) return;
        // A cancel request is answered by closing, and must not be sent again.
        if (this.#said === null || isCancelRequest(this.#said)) this.#finish();
        else this.#lost(upstream);
      })
      .on("error", () => this.#lost(upstream))
      .on("close", () => this.#lost(upstream));
  }

  #fromUpstream(upstream: Socket, chunk: Buffer): void {
    if (upstream !== this.#upstream) return;
    if (this.#said !== null) {
      this.#said = null;
      clearTimeout(this.#firstByteTimer);
      this.#client.resume();
    }
    if (!writeNow(this.#client, chunk)) upstream.pause();
  }

  #lost(upstream: Socket): void {
    if (upstream !== this.#upstream || this.#isOver) return;
    if (this.#said === null) {
      this.destroy();
      return;
    }
    this.#drop();
    this.#retryLater();
  }

  #retryLater(): void {
    const leftMs = this.#deadline - monotonicNow();
    if (leftMs <= 0) {
      this.destroy();
      return;
    }
    const pauseMs = Math.min(longestPauseMs, 5 * 2 ** Math.min(this.#pauses++, 10), leftMs);
    this.#timer = setTimeout(() => this.#connect(), pauseMs);
  }
}
