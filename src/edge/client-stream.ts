/**
 * One request of an HTTP/2 client, as the exchange sees it.
 *
 * - H1. There is one reader of requests: a head of HTTP/2 is written down as one of HTTP/1.1 and read by
 *   `parseRequestHead`. So it can become nothing that a client of HTTP/1.1 could not have sent.
 * - H2. What would not survive being written down is refused before: line ends, names that are no tokens or have capitals,
 *   fields that belong to one connection (RFC 9113 section 8.2.2), an authority beside another host.
 */
import type { OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { PassThrough } from "node:stream";
import { bodyWholeUpToBytes, type ClientLimits, headMaxBytes } from "./client-connection.ts";
import type { ClientPeer } from "./client-peer.ts";
import { isToken, saneValue } from "./headers.ts";
import { parseRequestHead, type RefusedHead, type RequestHead } from "./request-head.ts";
import type { RequestHandler, Responder } from "./responder.ts";

/** RST_STREAM codes of RFC 9113 section 7. */
const noError = 0;
const internalError = 2;
const cancelled = 8;

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
    stream
      .on("error", () => undefined)
      .on("drain", () => this.#drained())
      .on("close", () => this.#closed());
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

  destroy(): void {
    this.#stream.close(this.#isAnswering ? internalError : cancelled);
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
      const body = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
      this.#chunks = [];
      this.#serve(head, body.length === 0 ? null : body);
    };
    if (head.expectsContinue) this.#stream.additionalHeaders({ ":status": 100 });
    if (bodyWholeUpToBytes < (head.contentLength ?? 0)) this.#startStream(head);
    else this.#stream.on("data", gather).on("end", whole);
  }

  #startStream(head: RequestHead): void {
    const body = new PassThrough();
    this.#body = body;
    for (const chunk of this.#chunks) body.write(chunk);
    this.#chunks = [];
    this.#keepsNothing();
    this.#stream.on("aborted", () => body.destroy()).pipe(body);
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
  switchProtocols(): Socket | null {
    return null;
  }

  #respond(status: number, headers: readonly string[]): boolean {
    if (!this.#isAnswering || this.#stream.destroyed || this.#stream.closed) return false;
    this.#stream.respond({ ":status": status, ...fieldsOf(headers) });
    return true;
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

/** A request has these and no others (RFC 9113 section 8.3.1). */
const pseudoNames: ReadonlySet<string> = new Set([":method", ":scheme", ":authority", ":path"]);

/** Of one connection, and so not of HTTP/2. */
const ofOneConnection: ReadonlySet<string> = new Set([
  "connection",
  "proxy-connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
]);

/** H1, H2. The head as a client of HTTP/1.1 would have written it, without the empty line. */
export function headTextOf(fields: readonly string[]): string | RefusedHead {
  const pseudo = new Map<string, string>();
  let isPastPseudo = false;
  let text = "";
  let host: string | null = null;
  const cookies: string[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string;
    const value = fields[at + 1] as string;
    if (!saneValue.test(value)) return bad("control characters in a field");
    if (name.startsWith(":")) {
      if (!pseudoNames.has(name) || pseudo.has(name) || isPastPseudo)
        return bad("pseudo-header fields that are unknown, twice there or out of place");
      pseudo.set(name, value);
      continue;
    }
    isPastPseudo = true;
    if (!isToken(name) || name !== name.toLowerCase())
      return bad("a field whose name is no token in lower case");
    else if (ofOneConnection.has(name) || (name === "te" && value !== "trailers"))
      return bad(`${name} has no meaning in HTTP/2`);
    else if (name === "host") {
      if (host !== null) return bad("two hosts");
      host = value;
    } else if (name === "cookie") cookies.push(value);
    else text += `\r\n${name}: ${value}`;
  }
  const scheme = pseudo.get(":scheme");
  const authority = pseudo.get(":authority") ?? host;
  if (scheme !== "http" && scheme !== "https") return bad("a scheme that is neither http nor https");
  if (authority === null || (host !== null && host !== authority)) return bad("no host, or two");
  // RFC 9113 section 8.2.3: crumbs for HTTP/2 only.
  const cookie = cookies.length === 0 ? "" : `\r\ncookie: ${cookies.join("; ")}`;
  const head = `${pseudo.get(":method")} ${pseudo.get(":path")} HTTP/1.1\r\nhost: ${authority}${text}${cookie}`;
  if (headMaxBytes < head.length)
    return { status: 431, because: `a head of more than ${headMaxBytes} bytes` };
  return head;
}

/** Names in lower case; several of a name as one, but `set-cookie` (RFC 9110 section 5.3). */
function fieldsOf(headers: readonly string[]): OutgoingHttpHeaders {
  const fields: Record<string, string | string[]> = Object.create(null);
  for (let at = 0; at < headers.length; at += 2) {
    const name = (headers[at] as string).toLowerCase();
    const value = headers[at + 1] as string;
    const before = fields[name];
    if (name === "set-cookie") fields[name] = [...(before ?? []), value];
    else fields[name] = before === undefined ? value : `${before}, ${value}`;
  }
  return fields;
}

function bad(because: string): RefusedHead {
  return { status: 400, because };
}
