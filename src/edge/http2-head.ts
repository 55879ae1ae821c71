/**
 * Heads of HTTP/2, translated: a request's into the text of one of HTTP/1.1, an answer's into what node:http2 takes.
 *
 * - H1. There is one reader of requests: a head of HTTP/2 is written down as one of HTTP/1.1 and read by
 *   `parseRequestHead`. So it can become nothing that a client of HTTP/1.1 could not have sent.
 * - H2. What would not survive being written down is refused before: line ends, names that are no tokens or have capitals,
 *   fields that belong to one connection (RFC 9113 section 8.2.2), an authority beside another host. (Of fields with such
 *   names or values nghttp2 tells nobody; that it does so is not relied upon.)
 */
import type { OutgoingHttpHeaders } from "node:http2";
import { headMaxBytes } from "./client-connection.ts";
import { isToken, saneValue } from "./headers.ts";
import type { RefusedHead } from "./request-head.ts";

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
export function fieldsOf(headers: readonly string[]): OutgoingHttpHeaders {
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
