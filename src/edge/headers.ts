/** Header fields as they pass through an edge: what is stripped, what is added, what is refused (RFC 9110 section 7.6). */

/** Meant for the next hop only, or ours to set. `expect` is answered by us; `x-holdfast-*` is never believed. */
const stripped: ReadonlySet<string> = new Set([
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "upgrade",
  "expect",
  "http2-settings",
]);

const ownResponseFields: ReadonlySet<string> = new Set([
  "x-holdfast-region",
  "x-holdfast-edge",
  "x-holdfast-generation",
  "x-holdfast-tries",
  "x-holdfast-held-ms",
  "x-holdfast-retry",
]);

type Kind =
  | ("pass" | "strip" | "host" | "length" | "coding" | "connection" | "keep-alive")
  | ("forwarded" | "forwarded-for" | "key" | "id" | "retry" | "retry-after");

const kinds: ReadonlyMap<string, Kind> = new Map([
  ["host", "host"],
  ["content-length", "length"],
  ["transfer-encoding", "coding"],
  ["connection", "connection"],
  ["keep-alive", "keep-alive"],
  ["forwarded", "forwarded"],
  ["x-forwarded-for", "forwarded-for"],
  ["x-forwarded-host", "strip"],
  ["x-forwarded-proto", "strip"],
  ["idempotency-key", "key"],
  ["x-request-id", "id"],
  ["x-holdfast-retry", "retry"],
  ["retry-after", "retry-after"],
]);

/** Spelling -> kind. Clients spell in few ways, so the lower case of a name is computed once and not per request. */
const known = new Map<string, Kind>();

export function kindOf(name: string): Kind {
  const found = known.get(name);
  if (found !== undefined) return found;
  const lower = name.toLowerCase();
  const kind =
    kinds.get(lower) ?? (stripped.has(lower) || lower.startsWith("x-holdfast-") ? "strip" : "pass");
  // Bounded, since spellings come from outside.
  if (known.size < 1000) known.set(name, kind);
  return kind;
}

export interface RequestHead {
  /** Names and values in turn, ready for the upstream; without `x-request-id`, which is added per request. */
  readonly headers: string[];
  readonly host: string;
  readonly hasIdempotencyKey: boolean;
  /** null: none, or transfer coding. */
  readonly contentLength: number | null;
  readonly requestId: string | null;
}

export interface ClientFacts {
  readonly address: string;
  readonly proto: "http" | "https";
}

/** 8 to 128 characters that are harmless in logs and headers: anything else is replaced by an id of ours. */
const saneId = /^[A-Za-z0-9._~:/+=-]{8,128}$/;

/** A name, an IPv4 address, or an IPv6 address in brackets, and perhaps a port. */
const saneHost = /^(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/;

/** null: a head that must not be passed on (two hosts, none, or one that is no host; a coding but `chunked`). */
export function readRequestHead(raw: readonly string[], client: ClientFacts): RequestHead | null {
  const headers: string[] = [];
  let host: string | null = null;
  let named: string[] | null = null;
  let forwarded = "";
  let forwardedFor = "";
  let contentLength: number | null = null;
  let hasIdempotencyKey = false;
  let requestId: string | null = null;
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] as string;
    const value = raw[at + 1] as string;
    switch (kindOf(name)) {
      case "pass":
        headers.push(name, value);
        break;
      case "host":
        if (host !== null || !saneHost.test(value)) return null;
        host = value;
        headers.push("host", value);
        break;
      case "length":
        contentLength = Number(value);
        break;
      case "coding":
        // Any other would have to be undone here, or be passed on under a false name.
        if (value.toLowerCase() !== "chunked") return null;
        break;
      case "connection":
        named = namedByConnection(named, value);
        break;
      case "key":
        hasIdempotencyKey = true;
        headers.push(name, value);
        break;
      case "id":
        if (saneId.test(value)) requestId = value;
        break;
      case "forwarded":
        forwarded += `${value}, `;
        break;
      case "forwarded-for":
        forwardedFor += `${value}, `;
        break;
      case "retry-after":
        headers.push(name, value);
        break;
      default:
        break;
    }
  }
  if (host === null) return null;
  headers.push(
    "x-forwarded-for",
    forwardedFor + client.address,
    "x-forwarded-proto",
    client.proto,
    "x-forwarded-host",
    host,
    "forwarded",
    `${forwarded}for=${quotedAddress(client.address)};host="${host}";proto=${client.proto}`,
  );
  return {
    headers: named === null ? headers : without(headers, named),
    host,
    hasIdempotencyKey,
    contentLength,
    requestId,
  };
}

/** `x-holdfast-epoch` and the like are the service's word to its client; those that the edge says itself are not. */
export function isServicesOwn(name: string): boolean {
  const lower = name.toLowerCase();
  return lower.startsWith("x-holdfast-") && !ownResponseFields.has(lower);
}

/** Fields that `Connection` declares to be for this hop only; `close` and `keep-alive` name none. */
function namedByConnection(named: string[] | null, value: string): string[] | null {
  if (value === "keep-alive" || value === "close") return named;
  const names = value
    .split(",")
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "" && name !== "close" && name !== "keep-alive" && kindOf(name) === "pass");
  return names.length === 0 ? named : [...(named ?? []), ...names];
}

function without(headers: readonly string[], names: readonly string[]): string[] {
  const kept: string[] = [];
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string;
    if (!names.includes(name.toLowerCase())) kept.push(name, headers[at + 1] as string);
  }
  return kept;
}

/** RFC 7239 section 6: an IPv6 address is quoted and in brackets. */
function quotedAddress(address: string): string {
  return address.includes(":") ? `"[${address}]"` : address;
}
