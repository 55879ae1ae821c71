/**
 * One client's HTTP/1.1 connection: reads a request, hands it on, writes the answer, and reads the next.
 *
 * Our own and not `node:http`: on the hot path that costs as much as all the rest of the edge together, and is laxer than
 * a proxy may be.
 *
 * - K1. One request at a time: what a client sends ahead is not read before its turn.
 * - K2. After a refusal, or an answer before the request was read to its end, the connection ends: nobody can be sure what
 *   the bytes that follow mean.
 * - K3. Everything has a deadline, kept by the listener's sweep: the head, the body, the idle time, a client that does not
 *   take its answer.
 */
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { PassThrough } from "node:stream";
import { ChunkedReader } from "./chunked.ts";
import type { ClientPeer } from "./client-peer.ts";
import { parseRequestHead, type RequestHead } from "./request-head.ts";
import type { RequestHandler, Responder, Switched } from "./responder.ts";
import { acceptWithSlab, kept } from "./slab.ts";
import type { WebSocketEnd } from "./websocket.ts";

export const headMaxBytes = 16 * 1024;
/** Kept whole up to this size, so that it can be sent again. Times the requests held, it is what memory must bear. */
export const bodyWholeUpToBytes = 1024 * 1024;
/** A body of bytes this small leaves with its head in one write; copying more costs more than a second buffer. */
const oneWriteUpToBytes = 16 * 1024;
const headEnd = Buffer.from("\r\n\r\n");
const goOn = "HTTP/1.1 100 Continue\r\n\r\n";
/** What an HTTP/2 client says first (RFC 9113 section 3.4), as a strict reader of HTTP/1.1 finds it: a head, and more. */
const priorKnowledge = "PRI * HTTP/2.0";

/** How long what a refused client still sends is read and thrown away, so that it gets to see the refusal. */
const lingerMs = 1000;

/** K3. Shorter: slow clients and links are cut; longer: each of them costs a connection for as long. */
export interface ClientLimits {
  /** From the first byte of a head, or from connecting, to its end. */
  readonly headWithinMs: number;
  /** From the end of the head to the end of the body. */
  readonly bodyWithinMs: number;
  /** Between requests: longer than balancers' usual 60 s, so that the client ends it and not we. */
  readonly idleForMs: number;
  /** For what it does not take of its answer. */
  readonly takenWithinMs: number;
  /** Between two pieces of an answer in pieces (server-sent events), or of a WebSocket. */
  readonly quietForMs: number;
}

export interface RequestOwner extends RequestHandler {
  readonly limits: ClientLimits;
  closed(connection: ClientConnection): void;
  /** Whether a client may speak HTTP/2 without having been asked, and to whom it then speaks. */
  readonly takesPriorKnowledge: boolean;
  takeHttp2(socket: Socket, peer: ClientPeer): void;
  /** In milliseconds, as of the last sweep. */
  readonly roughNow: number;
  /** No further request is wanted on any connection. */
  readonly isEnding: boolean;
}

type Phase = "head" | "body" | "stream" | "answer" | "over";

export class ClientConnection implements Responder {
  /** Told once if the client goes away before its answer is complete. */
  onGone: (() => void) | null = null;
  /** Told when the client has taken what `chunk` said false to. */
  onTaken: (() => void) | null = null;
  /** By the clock of the listener's sweep. */
  deadline: number;
  readonly peer: ClientPeer;
  /** It is asked to come back on another connection, perhaps elsewhere: its next answer is its last here. */
  isLeaving = false;
  readonly #socket: Socket;
  readonly #owner: RequestOwner;
  #phase: Phase = "head";
  /** Read and not yet used. */
  #unread: Buffer | null = null;
  #head: RequestHead | null = null;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #chunked: ChunkedReader | null = null;
  #stream: PassThrough | null = null;
  #isReadToEnd = true;
  #isAnswering = false;
  #isChunking = false;
  #isLingering = false;
  #isFirst = true;
  /** It speaks WebSocket now. */
  #end: WebSocketEnd | null = null;

  constructor(accepted: Socket, peer: ClientPeer, owner: RequestOwner) {
    this.#owner = owner;
    this.peer = peer;
    const onBytes = (bytes: Buffer): void => this.#read(bytes);
    // What TLS decrypts comes as buffers of its own, and node:http2 takes no socket that reads into ours.
    const isPlain = peer.scheme === "http" && !owner.takesPriorKnowledge;
    const socket = isPlain ? acceptWithSlab(accepted, true, onBytes) : accepted.on("data", onBytes);
    this.#socket = socket;
    this.deadline = owner.roughNow + owner.limits.headWithinMs;
    socket
      .on("drain", () => this.#drained())
      // Half-closed and gone look the same; who only half-closed is rare, and who is gone must free what he held.
      .on("end", () => this.destroy())
      .on("error", () => this.destroy())
      .on("close", () => this.destroy());
  }

  get protocol(): "HTTP/1.1" {
    return "HTTP/1.1";
  }

  get isIdle(): boolean {
    return this.#phase === "head" && this.#unread === null;
  }

  destroy(): void {
    if (this.#phase === "over") return;
    this.#phase = "over";
    this.#socket.destroy();
    this.#stream?.destroy();
    this.#owner.closed(this);
    const gone = this.onGone;
    this.onGone = this.onTaken = null;
    gone?.();
  }

  // --- the request ---

  #read(bytes: Buffer): void {
    if (this.#isLingering) {
      this.#end?.onBytes?.(bytes);
      return;
    }
    if (this.#phase === "stream") {
      this.#readStream(bytes);
      return;
    }
    this.#unread = this.#unread === null ? bytes : Buffer.concat([this.#unread, bytes]);
    if (this.#phase === "body") this.#readBody();
    // K1.
    else if (this.#phase === "answer" || this.#socket.writableNeedDrain) this.#socket.pause();
    else this.#readHead();
    if (this.#unread !== null) this.#unread = kept(this.#unread);
  }

  #readHead(): void {
    let all = this.#unread as Buffer;
    // RFC 9112 section 2.2: an empty line before a request is forgiven, once.
    if (all.length >= 2 && all[0] === 13 && all[1] === 10) all = all.subarray(2);
    const end = all.indexOf(headEnd);
    if (end < 0 || headMaxBytes < end) {
      // From its first byte on a head has its own deadline, which no further byte moves.
      this.deadline = Math.min(this.deadline, this.#owner.roughNow + this.#owner.limits.headWithinMs);
      if (hasBareLineFeed(all)) this.#refuse(400, "a line that ends without a carriage return");
      else if (headMaxBytes < all.length) this.#refuse(431, `a head of more than ${headMaxBytes} bytes`);
      return;
    }
    const text = all.toString("latin1", 0, end);
    const head = parseRequestHead(text, this.peer);
    if ("status" in head) {
      if (this.#isFirst && text === priorKnowledge && this.#owner.takesPriorKnowledge) this.#speakHttp2();
      else this.#refuse(head.status, head.because);
      return;
    }
    this.#isFirst = false;
    const next = end + 4;
    this.#unread = next < all.length ? all.subarray(next) : null;
    this.#head = head;
    if (!head.chunked && (head.contentLength ?? 0) === 0) {
      this.#serve(null);
      return;
    }
    this.#isReadToEnd = false;
    this.#bytes = 0;
    this.#chunks = [];
    this.#chunked = head.chunked ? new ChunkedReader() : null;
    this.#phase = "body";
    this.deadline = this.#owner.roughNow + this.#owner.limits.bodyWithinMs;
    if (head.expectsContinue) this.#socket.write(goOn, "latin1");
    if (bodyWholeUpToBytes < (head.contentLength ?? 0)) this.#startStream();
    else if (this.#unread !== null) this.#readBody();
  }

  #readBody(): void {
    const bytes = this.#unread;
    if (bytes === null) return;
    this.#unread = null;
    if (!this.#take(bytes, (body) => this.#chunks.push(kept(body)))) return;
    if (this.#isReadToEnd) {
      const whole = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
      this.#chunks = [];
      this.#serve(whole);
    } else if (bodyWholeUpToBytes < this.#bytes) this.#startStream();
  }

  /** Gives the body's bytes to `give`, and keeps what lies behind its end. False: refused. */
  #take(bytes: Buffer, give: (body: Buffer) => void): boolean {
    let surplus = 0;
    if (this.#chunked !== null) {
      const outcome = this.#chunked.read(bytes, (body) => {
        this.#bytes += body.length;
        give(body);
      });
      if (outcome === "error") {
        this.#refuse(400, "a body that is not well chunked");
        return false;
      }
      this.#isReadToEnd = outcome === "end";
      surplus = this.#chunked.leftover;
    } else {
      const length = this.#head?.contentLength as number;
      const wanted = Math.min(bytes.length, length - this.#bytes);
      this.#bytes += wanted;
      if (wanted > 0) give(wanted === bytes.length ? bytes : bytes.subarray(0, wanted));
      this.#isReadToEnd = this.#bytes === length;
      surplus = bytes.length - wanted;
    }
    if (surplus > 0) this.#unread = bytes.subarray(bytes.length - surplus);
    return true;
  }

  #startStream(): void {
    this.#phase = "stream";
    const stream = new PassThrough();
    this.#stream = stream;
    for (const chunk of this.#chunks) stream.write(chunk);
    this.#chunks = [];
    stream.on("drain", () => this.#socket.resume());
    const unread = this.#unread;
    this.#unread = null;
    const head = this.#head as RequestHead;
    this.#isAnswering = true;
    this.#owner.serve(head, stream, this);
    if (unread !== null) this.#readStream(unread);
  }

  #readStream(bytes: Buffer): void {
    const stream = this.#stream;
    if (stream === null) return;
    const isSound = this.#take(bytes, (body) => {
      if (!stream.write(kept(body))) this.#socket.pause();
    });
    if (!isSound) return;
    if (!this.#isReadToEnd) return;
    stream.end();
    this.#stream = null;
    this.#phase = "answer";
    this.#socket.resume();
  }

  #serve(body: Buffer | null): void {
    this.#phase = "answer";
    this.#isAnswering = true;
    this.deadline = Number.POSITIVE_INFINITY;
    this.#owner.serve(this.#head as RequestHead, body, this);
  }

  #refuse(status: number, because: string): void {
    // An answer that has begun cannot be taken back.
    if (this.#isAnswering) {
      this.destroy();
      return;
    }
    this.#isReadToEnd = false;
    this.#phase = "answer";
    this.#isAnswering = true;
    this.#owner.refuse(status, because, this);
  }

  // --- the answer ---

  /** The whole answer. `headers` tell its length if it has one. */
  whole(status: number, headers: readonly string[], body: Buffer | string | null): void {
    if (!this.#isAnswering) return;
    const text = this.#headText(status, headers);
    const hasBody = body !== null && this.#head?.method !== "HEAD";
    if (!hasBody) this.#socket.write(text, "latin1");
    else if (typeof body === "string") this.#socket.write(text + body, "latin1");
    // In one write, and as text: a second buffer would take writev, which costs more than the copy.
    else if (body.length <= oneWriteUpToBytes) this.#socket.write(text + body.toString("latin1"), "latin1");
    else {
      this.#socket.cork();
      this.#socket.write(text, "latin1");
      this.#socket.write(body);
      this.#socket.uncork();
    }
    this.#answered();
  }

  /** Begins an answer that comes in pieces; without a length it is chunked, or ended by closing (HTTP/1.0). */
  begin(status: number, headers: readonly string[], hasLength: boolean): void {
    if (!this.#isAnswering) return;
    this.#isChunking = !hasLength && (this.#head?.knowsChunks ?? false);
    const coding = this.#isChunking ? ["transfer-encoding", "chunked"] : [];
    if (!hasLength && !this.#isChunking) this.#isReadToEnd = false;
    this.#socket.write(this.#headText(status, [...headers, ...coding]), "latin1");
    if (this.#isReadToEnd) this.deadline = this.#owner.roughNow + this.#owner.limits.quietForMs;
  }

  /** False: wait for `onTaken`. */
  chunk(bytes: Buffer): boolean {
    if (!this.#isAnswering || bytes.length === 0) return true;
    if (!this.#isChunking) return this.#written(this.#socket.write(bytes));
    this.#socket.cork();
    this.#socket.write(`${bytes.length.toString(16)}\r\n`, "latin1");
    this.#socket.write(bytes);
    const flows = this.#socket.write("\r\n", "latin1");
    this.#socket.uncork();
    return this.#written(flows);
  }

  end(): void {
    if (!this.#isAnswering) return;
    if (this.#isChunking) this.#socket.write("0\r\n\r\n", "latin1");
    this.#answered();
  }

  #written(flows: boolean): boolean {
    const { takenWithinMs, quietForMs } = this.#owner.limits;
    this.deadline = this.#owner.roughNow + (flows ? quietForMs : takenWithinMs);
    return flows;
  }

  /** The head of a 101; then the socket is given away, with what was sent ahead. */
  switchProtocols(headers: readonly string[]): Switched | null {
    if (!this.#isAnswering) return null;
    let text = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n";
    for (let at = 0; at < headers.length; at += 2) text += `${headers[at]}: ${headers[at + 1]}\r\n`;
    this.#socket.write(`${text}\r\n`, "latin1");
    const ahead = this.#giveUp();
    this.#isLingering = true;
    this.#end = { socket: this.#socket, onBytes: null };
    return { end: this.#end, ahead };
  }

  /** For good, and without ending the socket. Returns what was read of it and not used. */
  #giveUp(): Buffer | null {
    const unread = this.#unread;
    this.#isAnswering = false;
    this.#phase = "over";
    this.#unread = null;
    this.onGone = this.onTaken = null;
    this.#owner.closed(this);
    return unread;
  }

  #speakHttp2(): void {
    const unread = this.#giveUp();
    this.#socket.removeAllListeners("data");
    this.#socket.pause();
    if (unread !== null) this.#socket.unshift(unread);
    this.#owner.takeHttp2(this.#socket, this.peer);
  }

  #drained(): void {
    if (this.#isAnswering) this.deadline = this.#owner.roughNow + this.#owner.limits.quietForMs;
    this.onTaken?.();
    this.#readNext();
  }

  #headText(status: number, headers: readonly string[]): string {
    let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n`;
    for (let at = 0; at < headers.length; at += 2) text += `${headers[at]}: ${headers[at + 1]}\r\n`;
    if (!this.#keepsAlive()) return `${text}connection: close\r\n\r\n`;
    return this.#head?.knowsChunks === false ? `${text}connection: keep-alive\r\n\r\n` : `${text}\r\n`;
  }

  #keepsAlive(): boolean {
    const isWanted = !this.isLeaving && !this.#owner.isEnding;
    return this.#isReadToEnd && this.#head !== null && this.#head.keepAlive && isWanted;
  }

  #answered(): void {
    this.#isAnswering = false;
    this.onGone = this.onTaken = null;
    this.#isChunking = false;
    if (!this.#keepsAlive()) {
      this.#linger();
      return;
    }
    this.#head = null;
    this.#phase = "head";
    this.deadline =
      this.#owner.roughNow +
      (this.#socket.writableLength > 0 ? this.#owner.limits.takenWithinMs : this.#owner.limits.idleForMs);
    // Sent ahead: in a turn of its own, so that a long row of them does not deepen the stack.
    if (this.#unread !== null && !this.#socket.writableNeedDrain) setImmediate(() => this.#readNext());
  }

  /** K1, and not before the client has taken what it was given: answers must not pile up. */
  #readNext(): void {
    if (this.#phase !== "head" || this.#unread === null || this.#socket.writableNeedDrain) return;
    this.#socket.resume();
    this.deadline = this.#owner.roughNow + this.#owner.limits.headWithinMs;
    this.#readHead();
  }

  /** K2. Says that nothing more comes, and reads on for a moment: a reset would take the answer away from the client. */
  #linger(): void {
    this.#isLingering = true;
    this.#unread = null;
    this.#stream?.destroy();
    this.#stream = null;
    this.#phase = "answer";
    this.deadline =
      this.#owner.roughNow +
      lingerMs +
      (this.#socket.writableLength > 0 ? this.#owner.limits.takenWithinMs : 0);
    this.#socket.end();
    this.#socket.resume();
  }
}

/** Others take it for the end of a line: such a client would wait for an answer that never comes. */
function hasBareLineFeed(bytes: Buffer): boolean {
  for (let at = bytes.indexOf(10); 0 <= at; at = bytes.indexOf(10, at + 1))
    if (at === 0 || bytes[at - 1] !== 13) return true;
  return false;
}
