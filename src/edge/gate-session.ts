/**
 * One client's session at the gate: spliced to PostgreSQL, each write towards the client judged at the last moment.
 *
 * - T1. The clock is read synchronously before every write towards the client. A process that was stopped and woken past
 *   its deadline finds the old bytes in its hands and must not pass them on (S2, S6).
 * - T2. Nothing more is handed to the client's socket while the kernel has not taken what came before: at most one chunk
 *   that was judged in time can still go out later.
 * - T3. Held bytes are kept in order, and reading pauses: what is held is bounded by one chunk and the kernel's buffers.
 * - T4. The client hears nothing, not even a refusal of TLS, before PostgreSQL itself has taken the connection: an answer
 *   means that a writer is there.
 */
import { connect, type Socket } from "node:net";
import type { Address } from "../core/model/topology.ts";
import type { GateVerdict } from "../core/traffic/gate.ts";
import { readFirstPacket, SessionFollower } from "./postgres-wire.ts";
import { reset } from "./reset.ts";

/** A client that says nothing for so long is no client. PostgreSQL's authentication_timeout is 60 s. */
const firstPacketMs = 10_000;
const refusedEncryption = Buffer.from("N");

export interface SessionOwner {
  /** By the gate's rules and its clock, at this very moment. */
  verdict(): GateVerdict;
  /** A session has nothing under way any more. */
  changed(): void;
  ended(session: GateSession): void;
}

export class GateSession {
  readonly #client: Socket;
  readonly #target: Address;
  readonly #owner: SessionOwner;
  readonly #follower = new SessionFollower();
  readonly #firstTimer: NodeJS.Timeout;
  /** null: not asked for yet. A client that is held costs PostgreSQL nothing, however often it comes back. */
  #server: Socket | null = null;
  #isConnected = false;
  /** The start-up packet went through: from here on the client speaks in messages. */
  #isStarted = false;
  #first: Buffer = Buffer.alloc(0);
  readonly #keptForServer: Buffer[] = [];
  readonly #keptForClient: Buffer[] = [];
  #isClientBlocked = false;
  #hasClientEnded = false;
  #hasServerEnded = false;
  #isOver = false;

  constructor(client: Socket, target: Address, owner: SessionOwner) {
    this.#client = client;
    this.#target = target;
    this.#owner = owner;
    this.#firstTimer = setTimeout(() => this.destroy(), firstPacketMs);
    client.setKeepAlive(true, 10_000);
    client
      .on("data", (chunk: Buffer) => this.#fromClient(chunk))
      .on("end", () => {
        this.#hasClientEnded = true;
        this.#flushToServer();
      })
      .on("error", () => this.destroy())
      .on("close", () => this.destroy());
  }

  get isBusy(): boolean {
    return !this.#isOver && this.#follower.isBusy;
  }

  /** At once, with a reset: what lies in a buffer of ours or of the kernel does not go out any more (S4). */
  destroy(): void {
    if (this.#isOver) return;
    this.#end();
    reset(this.#client);
    if (this.#server !== null) reset(this.#server);
  }

  /** The verdict may have become milder: passes what was kept, as far as it goes. */
  release(): void {
    if (this.#isOver) return;
    this.#flushToServer();
    this.#flushToClient();
  }

  #end(): void {
    this.#isOver = true;
    clearTimeout(this.#firstTimer);
    this.#owner.ended(this);
  }

  #mayPass(): boolean {
    const verdict = this.#owner.verdict();
    if (verdict === "cut") this.destroy();
    return verdict === "pass" || (verdict === "finish" && this.#follower.isBusy);
  }

  #fromClient(chunk: Buffer): void {
    if (this.#isStarted) this.#keptForServer.push(chunk);
    else this.#first = this.#first.length === 0 ? chunk : Buffer.concat([this.#first, chunk]);
    this.#flushToServer();
  }

  #flushToServer(): void {
    if (this.#isOver) return;
    const isReady = this.#isConnected && !this.#server?.writableNeedDrain;
    if (!this.#mayPass() || !isReady) {
      if (this.#isOver) return;
      this.#client.pause();
      if (this.#server === null && this.#owner.verdict() === "pass") this.#server = this.#connect();
      return;
    }
    if (!this.#isStarted && !this.#readFirst()) return;
    while (this.#keptForServer.length > 0) {
      const chunk = this.#keptForServer.shift() as Buffer;
      this.#follower.fromClient(chunk);
      if (this.#server?.write(chunk)) continue;
      this.#client.pause();
      return;
    }
    if (this.#hasClientEnded) this.#server?.end();
    else this.#client.resume();
  }

  #connect(): Socket {
    const server = connect({ ...this.#target, noDelay: true, allowHalfOpen: true });
    return server
      .on("connect", () => {
        this.#isConnected = true;
        this.#flushToServer();
      })
      .on("data", (chunk: Buffer) => {
        this.#keptForClient.push(chunk);
        this.#flushToClient();
      })
      .on("drain", () => this.#flushToServer())
      .on("end", () => {
        this.#hasServerEnded = true;
        this.#flushToClient();
      })
      .on("error", () => this.destroy())
      .on("close", () => {
        if (!this.#hasServerEnded) this.destroy();
      });
  }

  /** Reads what a client says first; true once the start-up packet went through. */
  #readFirst(): boolean {
    const packet = readFirstPacket(this.#first);
    switch (packet.kind) {
      case "incomplete":
        if (this.#hasClientEnded) this.destroy();
        else this.#client.resume();
        return false;
      case "nonsense":
        this.destroy();
        return false;
      case "encryption":
        // The gate must read ReadyForQuery. Between gate and edge runs the operator's own network, or a tunnel.
        this.#first = this.#first.subarray(packet.bytes);
        this.#client.write(refusedEncryption);
        return this.#readFirst();
      case "start": {
        clearTimeout(this.#firstTimer);
        this.#isStarted = true;
        this.#server?.write(this.#first.subarray(0, packet.bytes));
        const rest = this.#first.subarray(packet.bytes);
        if (rest.length > 0) this.#keptForServer.push(rest);
        this.#first = Buffer.alloc(0);
        return true;
      }
      default:
        return packet satisfies never;
    }
  }

  #flushToClient(): void {
    while (!this.#isOver && this.#keptForClient.length > 0) {
      const chunk = this.#keptForClient[0] as Buffer;
      // T1: no statement may come between this question and the write.
      if (this.#isClientBlocked || !this.#mayPass()) {
        this.#server?.pause();
        return;
      }
      this.#client.write(chunk, this.#onTaken);
      this.#keptForClient.shift();
      const wasBusy = this.#follower.isBusy;
      this.#follower.fromServer(chunk);
      if (wasBusy && !this.#follower.isBusy) this.#owner.changed();
      this.#isClientBlocked = this.#client.writableLength > 0;
    }
    if (this.#isOver || this.#isClientBlocked) return;
    if (this.#hasServerEnded) this.#finish();
    else this.#server?.resume();
  }

  /** T2. Called once a write is done, which is in the same turn unless the kernel's buffer is full. */
  readonly #onTaken = (): void => {
    if (!this.#isClientBlocked || this.#client.writableLength > 0) return;
    this.#isClientBlocked = false;
    this.#flushToClient();
  };

  /** PostgreSQL has said its last word, and it was passed on. */
  #finish(): void {
    this.#end();
    this.#client.destroySoon();
    this.#server?.destroy();
  }
}
