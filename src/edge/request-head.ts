/**
 * The head of a client's request, read strictly (RFC 9112): what an upstream could read otherwise is refused.
 *
 * Request smuggling needs two readers who disagree on where a request ends. So everything is refused that anyone is known
 * to read differently: bare line feeds, folded lines, space before a colon, two lengths (equal ones too), a length beside
 * a transfer coding, codings but `chunked`, codings in HTTP/1.0, two hosts, targets that are not in origin form.
 */
import type { ClientPeer } from "./client-peer.ts";
import { isToken, kindOf, removeNamed, saneValue, valueBehind } from "./headers.ts";
import { webSocketKeyOf } from "./websocket.ts";

export interface RequestHead {
  readonly method: string;
  readonly path: string;
  readonly host: string;
  /** For the upstream: end-to-end fields and the forwarding ones, names and values in turn. */
  readonly headers: string[];
  /** null: not told. */
  readonly contentLength: number | null;
  readonly chunked: boolean;
  /** HTTP/1.1, or 1.0 with `keep-alive`; and not `close`. */
  readonly keepAlive: boolean;
  /** HTTP/1.0 knows no chunks. */
  readonly knowsChunks: boolean;
  readonly expectsContinue: boolean;
  readonly hasIdempotencyKey: boolean;
  /** As the client said, if sane. */
  readonly requestId: string | null;
  /** The addresses before the client's own, as a trusted peer said; else empty. */
  readonly forwardedFor: string;
  /** `traceparent` as it came. */
  readonly trace: string | null;
  /** Of a request that asks, in every point as RFC 6455 wants it, to become a WebSocket. */
  readonly webSocketKey: string | null;
}

export interface RefusedHead {
  readonly status: 400 | 405 | 417 | 431 | 501 | 505;
  readonly because: string;
}

/** CONNECT would make us an open relay, TRACE echoes what only we and the upstream should know. */
export const methods: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "OPTIONS",
  "PUT",
  "DELETE",
  "POST",
  "PATCH",
]);

const requestLine = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,24}) (\S+) HTTP\/(\d)\.(\d)$/;
/** Printable ASCII without `#`: a fragment is never sent, and has hidden paths from access rules. */
const originForm = /^\/[\x21\x22\x24-\x7e]*$/;
const digits = /^\d{1,15}$/;
/** 8 to 128 characters that are harmless in logs and headers: anything else is replaced by an id of ours. */
const saneId = /^[A-Za-z0-9._~:/+=-]{8,128}$/;
/** A name, an IPv4 address, or an IPv6 address in brackets, and perhaps a port. */
const saneHost = /^(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/;
const fieldsMax = 100;

/** `text`: everything before the empty line, in latin1. */
export function parseRequestHead(text: string, peer: ClientPeer): RequestHead | RefusedHead {
  let end = text.indexOf("\r\n");
  const first = requestLine.exec(end < 0 ? text : text.slice(0, end));
  if (!first) return bad("no HTTP/1 request line");
  const [, method, path, major, minor] = first as unknown as [string, string, string, string, string];
  if (major !== "1" || (minor !== "0" && minor !== "1"))
    return { status: 505, because: "only HTTP/1.0 and 1.1" };
  if (!methods.has(method)) return { status: 405, because: `${method} is not passed on` };
  if (!originForm.test(path) && !(path === "*" && method === "OPTIONS"))
    return bad("the target is not in origin form");
  const isOld = minor === "0";
  const headers: string[] = [];
  let host: string | null = null;
  let contentLength: number | null = null;
  let chunked = false;
  let keepAlive = !isOld;
  let named: string[] | null = null;
  let expectsContinue = false;
  let hasIdempotencyKey = false;
  let requestId: string | null = null;
  let forwarded = "";
  let forwardedFor = "";
  let forwardedHost = "";
  let forwardedProto: string = peer.scheme;
  let trace: string | null = null;
  let upgrade: string | null = null;
  for (let fields = 0; 0 <= end; fields++) {
    if (fieldsMax <= fields) return { status: 431, because: `more than ${fieldsMax} fields` };
    const begin = end + 2;
    end = text.indexOf("\r\n", begin);
    const line = end < 0 ? text.slice(begin) : text.slice(begin, end);
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon));
    if (!isToken(name)) return bad("a field whose name is no token");
    const value = valueBehind(line, colon + 1);
    if (!saneValue.test(value)) return bad("control characters in a field");
    switch (kindOf(name)) {
      case "host":
        if (host !== null || !saneHost.test(value)) return bad("two hosts, or one that is no host");
        host = value;
        headers.push("host", value);
        break;
      case "length":
        if (contentLength !== null || !digits.test(value))
          return bad("two lengths, or one that is no number");
        contentLength = Number(value);
        break;
      case "coding":
        if (chunked || isOld) return bad("two transfer codings, or one in HTTP/1.0");
        if (value.toLowerCase() !== "chunked")
          return { status: 501, because: "no transfer coding but chunked" };
        chunked = true;
        break;
      case "connection": {
        const options = value.toLowerCase();
        if (options.includes("close")) keepAlive = false;
        else if (options.includes("keep-alive")) keepAlive = true;
        if (options !== "close" && options !== "keep-alive")
          named = [...(named ?? []), ...options.split(",").map((option) => option.trim())];
        break;
      }
      case "expect":
        if (value.toLowerCase() !== "100-continue") return { status: 417, because: "only 100-continue" };
        expectsContinue = !isOld;
        break;
      case "key":
        hasIdempotencyKey = true;
        headers.push(name, value);
        break;
      case "id":
        if (saneId.test(value)) requestId = value;
        break;
      case "trace":
        trace = value;
        headers.push(name, value);
        break;
      case "forwarded":
        if (peer.isTrusted) forwarded += `${value}, `;
        break;
      case "forwarded-for":
        if (peer.isTrusted) forwardedFor += `${value}, `;
        break;
      case "forwarded-host":
        if (peer.isTrusted && saneHost.test(value)) forwardedHost = value;
        break;
      case "forwarded-proto":
        if (peer.isTrusted && (value === "http" || value === "https")) forwardedProto = value;
        break;
      case "upgrade":
        upgrade = upgrade === null ? value : "";
        break;
      case "pass":
      case "retry-after":
        headers.push(name, value);
        break;
      default:
        // For this hop, or not for clients to say.
        break;
    }
  }
  if (host === null) return bad("no host");
  if (chunked && contentLength !== null) return bad("a length beside a transfer coding");
  const hasBody = chunked || (contentLength ?? 0) > 0;
  const webSocketKey =
    upgrade !== null && method === "GET" && !isOld && !hasBody && (named?.includes("upgrade") ?? false)
      ? webSocketKeyOf(upgrade, headers)
      : null;
  // The key decides whether a request may be sent twice: it cannot be named away after that.
  if (named !== null) removeNamed(headers, named);
  headers.push("x-forwarded-for", forwardedFor + peer.address, "x-forwarded-proto", forwardedProto);
  headers.push("x-forwarded-host", forwardedHost === "" ? host : forwardedHost);
  headers.push("forwarded", `${forwarded}for=${peer.node};host="${host}";proto=${peer.scheme}`);
  return {
    method,
    path,
    host,
    headers,
    contentLength,
    chunked,
    keepAlive,
    knowsChunks: !isOld,
    expectsContinue,
    hasIdempotencyKey: hasIdempotencyKey && !(named?.includes("idempotency-key") ?? false),
    requestId,
    forwardedFor,
    trace,
    webSocketKey,
  };
}

function bad(because: string): RefusedHead {
  return { status: 400, because };
}
