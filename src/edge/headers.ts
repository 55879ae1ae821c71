/** Header fields as they pass through an edge: what is stripped, what is added, what is refused (RFC 9110 section 7.6). */
import { copied } from "./fields.ts";

/** Meant for the next hop only, or ours to set. `x-holdfast-*` is never believed. */
const stripped: ReadonlySet<string> = new Set([
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "http2-settings",
]);

const ownResponseFields: ReadonlySet<string> = new Set([
  "x-holdfast-region",
  "x-holdfast-edge",
  "x-holdfast-generation",
  "x-holdfast-level",
  "x-holdfast-tries",
  "x-holdfast-held-ms",
  "x-holdfast-retry",
]);

type Kind =
  | ("pass" | "strip" | "host" | "length" | "coding" | "connection" | "keep-alive" | "expect")
  | ("forwarded" | "forwarded-for" | "forwarded-host" | "forwarded-proto" | "upgrade" | "trace")
  | ("key" | "id" | "retry" | "retry-after");

const kinds: ReadonlyMap<string, Kind> = new Map([
  ["host", "host"],
  ["content-length", "length"],
  ["transfer-encoding", "coding"],
  ["connection", "connection"],
  ["keep-alive", "keep-alive"],
  ["expect", "expect"],
  ["forwarded", "forwarded"],
  ["x-forwarded-for", "forwarded-for"],
  ["x-forwarded-host", "forwarded-host"],
  ["x-forwarded-proto", "forwarded-proto"],
  ["upgrade", "upgrade"],
  ["traceparent", "trace"],
  ["idempotency-key", "key"],
  ["x-request-id", "id"],
  ["x-holdfast-retry", "retry"],
  ["retry-after", "retry-after"],
]);

/** `Transfer_Encoding`: many application servers take `_` for `-`, and would see a field that we let through unread. */
function isDisguised(lower: string): boolean {
  if (!lower.includes("_")) return false;
  const plain = lower.replaceAll("_", "-");
  return kinds.has(plain) || stripped.has(plain) || plain.startsWith("x-holdfast-");
}

/** Spelling -> kind. Clients spell in few ways, so the lower case of a name is computed once and not per request. */
const known = new Map<string, Kind>();

export function kindOf(name: string): Kind {
  const found = known.get(name);
  if (found !== undefined) return found;
  const lower = name.toLowerCase();
  const isOurs = stripped.has(lower) || lower.startsWith("x-holdfast-") || isDisguised(lower);
  const kind = kinds.get(lower) ?? (isOurs ? "strip" : "pass");
  // Bounded, since spellings come from outside; and copied, or each would keep alive the head that it stood in.
  if (known.size < 1000 && name.length <= 64) known.set(copied([name])[0] as string, kind);
  return kind;
}

/** `x-holdfast-epoch` and the like are the service's word to its client; those that the edge says itself are not. */
export function isServicesOwn(name: string): boolean {
  const lower = name.toLowerCase();
  return lower.startsWith("x-holdfast-") && !ownResponseFields.has(lower);
}

/** Takes out the fields that `Connection` declares to be for this hop only. Framing and routing cannot be named away. */
export function removeNamed(headers: string[], named: readonly string[]): void {
  for (let at = headers.length - 2; at >= 0; at -= 2) {
    const name = headers[at] as string;
    const kind = kindOf(name);
    const isOfThisHop = kind === "pass" || kind === "key" || kind === "trace" || kind === "strip";
    if (isOfThisHop && named.includes(name.toLowerCase())) headers.splice(at, 2);
  }
}

const tokenPattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Tab, printable ASCII and what lies above: no line ends and nothing that ends a text elsewhere. */
export const saneValue = /^[\t\x20-\x7e\x80-\xff]*$/;
/** Everything behind `at` without blanks around it. Blanks are space and tab, and not all that JavaScript's `trim` takes. */
export function valueBehind(line: string, at: number): string {
  let begin = at;
  let end = line.length;
  while (begin < end && isBlank(line.charCodeAt(begin))) begin++;
  while (begin < end && isBlank(line.charCodeAt(end - 1))) end--;
  return line.slice(begin, end);
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9;
}

/** Names that were found to be tokens: people send few different ones. Bounded, since they come from outside. */
const soundNames = new Set<string>();

export function isToken(name: string): boolean {
  if (soundNames.has(name)) return true;
  if (!tokenPattern.test(name)) return false;
  if (soundNames.size < 1000 && name.length <= 64) soundNames.add(copied([name])[0] as string);
  return true;
}
