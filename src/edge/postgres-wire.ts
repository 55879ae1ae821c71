/**
 * PostgreSQL's messages, followed as they pass: who is in a transaction, who waits for a reply. Nothing is copied.
 *
 * Source: PostgreSQL 18, chapter "Frontend/Backend Protocol": after the start-up each message is a type byte and a length
 * (four bytes, counting itself). ReadyForQuery (Z) carries the transaction status: I idle, T in a transaction, E failed.
 */

const code = (letter: string): number => letter.charCodeAt(0);
const READY = code("Z");
const COPY_IN = code("G");
const COPY_BOTH = code("W");
const IDLE = code("I");
const QUERY = code("Q");
const FUNCTION_CALL = code("F");
const SYNC = code("S");
const TERMINATE = code("X");

type OnMessage = (type: number, firstByte: number) => void;

/** Cuts one direction of a session into messages, across chunks; tells each type and the first byte of its body. */
class MessageCutter {
  readonly #onMessage: OnMessage;
  /** Bytes of the current message still to come, its header done. */
  #rest = 0;
  #type = 0;
  #length = 0;
  #headerBytes = 0;
  #wantsFirst = false;

  constructor(onMessage: OnMessage) {
    this.#onMessage = onMessage;
  }

  get isBetweenMessages(): boolean {
    return this.#headerBytes === 0 && this.#rest === 0;
  }

  cut(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#headerBytes < 5) {
        const byte = chunk[at++] as number;
        if (this.#headerBytes === 0) this.#type = byte;
        else this.#length = this.#length * 256 + byte;
        if (++this.#headerBytes === 5) this.#endHeader();
        continue;
      }
      if (this.#wantsFirst) {
        this.#wantsFirst = false;
        this.#onMessage(this.#type, chunk[at] as number);
      }
      const taken = Math.min(this.#rest, chunk.length - at);
      at += taken;
      this.#rest -= taken;
      if (this.#rest === 0) this.#headerBytes = this.#length = 0;
    }
  }

  #endHeader(): void {
    // A length below 4 is no message; taken as an empty one, so that nonsense cannot make us loop or stall.
    this.#rest = Math.max(0, this.#length - 4);
    this.#wantsFirst = this.#rest > 0;
    if (this.#rest > 0) return;
    this.#headerBytes = this.#length = 0;
    this.#onMessage(this.#type, 0);
  }
}

/** What the bytes of one session say about it. Both directions are shown to it as they are passed on. */
export class SessionFollower {
  readonly #fromServer = new MessageCutter((type, first) => this.#onServer(type, first));
  readonly #fromClient = new MessageCutter((type) => this.#onClient(type));
  /** Whether the server has ever been ready: before, there is nothing to finish. */
  #started = false;
  #inTransaction = false;
  /** Messages that the server answers with one ReadyForQuery each. */
  #queries = 0;
  #syncs = 0;
  /** Extended-protocol messages sent with no Sync behind them yet. */
  #unsynced = false;

  /** True while cutting the session off would leave somebody without the end of what they have begun. */
  get isBusy(): boolean {
    if (!this.#started) return false;
    return (
      this.#inTransaction ||
      this.#unsynced ||
      this.#queries + this.#syncs > 0 ||
      !this.#fromClient.isBetweenMessages ||
      !this.#fromServer.isBetweenMessages
    );
  }

  fromServer(chunk: Uint8Array): void {
    this.#fromServer.cut(chunk);
  }

  /** To be called from the first byte after the start-up packet (passwords come as messages). */
  fromClient(chunk: Uint8Array): void {
    this.#fromClient.cut(chunk);
  }

  #onServer(type: number, first: number): void {
    if (type === READY) {
      // The first one ends the start-up and answers nothing.
      if (this.#started && 0 < this.#syncs) this.#syncs--;
      else if (this.#started && 0 < this.#queries) this.#queries--;
      this.#started = true;
      this.#inTransaction = first !== IDLE;
    } else if ((type === COPY_IN || type === COPY_BOTH) && this.#queries === 0) {
      // A Sync sent before the copy began is swallowed by it; the one after the copy is answered.
      this.#syncs = 0;
      this.#unsynced = true;
    }
  }

  #onClient(type: number): void {
    if (!this.#started) return;
    switch (type) {
      case QUERY:
      case FUNCTION_CALL:
        this.#queries++;
        return;
      case SYNC:
        this.#syncs++;
        this.#unsynced = false;
        return;
      case TERMINATE:
        return;
      default:
        // Parse, Bind, Execute, ...: answered when a Sync comes. Copy data of a simple query are covered by the query.
        if (this.#queries === 0) this.#unsynced = true;
    }
  }
}

/** What a client says first. */
export type FirstPacket =
  | { readonly kind: "incomplete" }
  /** TLS or GSS encryption: refused with one byte `N`, the client goes on in plain text or leaves. */
  | { readonly kind: "encryption"; readonly bytes: number }
  /** Start-up or cancel request: passed on, with all that follows. */
  | { readonly kind: "start"; readonly bytes: number }
  | { readonly kind: "nonsense" };

const SSL_REQUEST = 80877103;
const GSS_REQUEST = 80877104;
const CANCEL_REQUEST = 80877102;
/** PostgreSQL's own limit (MAX_STARTUP_PACKET_LENGTH). */
const startMaxBytes = 10_000;

export function readFirstPacket(bytes: Buffer): FirstPacket {
  if (bytes.length < 8) return { kind: "incomplete" };
  const length = bytes.readUInt32BE(0);
  if (length < 8 || startMaxBytes < length) return { kind: "nonsense" };
  if (bytes.length < length) return { kind: "incomplete" };
  const request = bytes.readUInt32BE(4);
  if (length === 8 && (request === SSL_REQUEST || request === GSS_REQUEST))
    return { kind: "encryption", bytes: 8 };
  return { kind: "start", bytes: length };
}

export function isCancelRequest(said: readonly Buffer[]): boolean {
  const bytes = said.length === 1 ? (said[0] as Buffer) : Buffer.concat(said);
  return 8 <= bytes.length && bytes.readUInt32BE(4) === CANCEL_REQUEST;
}
