/**
 * What a proxy passed on, judged by a reader of its own: not by our edge's, which is among the judged.
 *
 * Clean: only what RFC 9112 lets a sender write, so that no reader behind can take it for something else.
 */

export type Treatment =
  | { readonly kind: "refused" }
  /** As one request, written cleanly. */
  | { readonly kind: "one" }
  /** The proxy read it as more than one, and wrote each cleanly: all behind it read the same. */
  | { readonly kind: "several" }
  /** Somebody behind could read it otherwise. */
  | { readonly kind: "doubtful"; readonly because: string };

export function judge(heard: string): Treatment {
  if (heard === "") return { kind: "refused" };
  let requests = 0;
  for (let rest = heard; rest !== ""; requests++) {
    const read = readOne(rest);
    if (typeof read === "string") return { kind: "doubtful", because: read };
    rest = read.rest;
  }
  return { kind: requests === 1 ? "one" : "several" };
}

/** null: more is to come. */
export function isWhole(heard: string): boolean {
  for (let rest = heard; rest !== ""; ) {
    const read = readOne(rest);
    if (typeof read === "string") return false;
    rest = read.rest;
  }
  return heard !== "";
}

const requestLine = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [\x21\x22\x24-\x7e]+ HTTP\/1\.[01]$/;
const field = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/;

function readOne(text: string): { readonly rest: string } | string {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return "a head without an end";
  const [first = "", ...lines] = text.slice(0, end).split("\r\n");
  if (!requestLine.test(first)) return "a request line that is none";
  const lengths: string[] = [];
  const codings: string[] = [];
  let hosts = 0;
  for (const line of lines) {
    const match = field.exec(line);
    if (!match) return "a field that is none";
    const [, name = "", value = ""] = match;
    const lower = name.toLowerCase();
    if (lower === "content-length") lengths.push(value.trim());
    else if (lower === "transfer-encoding") codings.push(value.trim());
    else if (lower === "host") hosts++;
    else if (/^(content|transfer)[^-]?(length|encoding)$/.test(lower))
      return `${name}, which some take for framing`;
  }
  if (hosts > 1) return "two hosts";
  if (lengths.length > 1) return "two lengths";
  if (codings.length > 1) return "two transfer codings";
  if (lengths.length > 0 && codings.length > 0) return "a length beside a transfer coding";
  if (codings.length > 0)
    return codings[0]?.toLowerCase() === "chunked"
      ? readChunks(text, end + 4)
      : "a coding that is not chunked";
  const length = lengths[0] ?? "0";
  if (!/^\d{1,15}$/.test(length)) return "a length that is no number";
  if (text.length < end + 4 + Number(length)) return "a body without an end";
  return { rest: text.slice(end + 4 + Number(length)) };
}

function readChunks(text: string, from: number): { readonly rest: string } | string {
  for (let at = from; ; ) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd < 0) return "a body without an end";
    const size = /^([0-9A-Fa-f]{1,13})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/.exec(
      text.slice(at, lineEnd),
    )?.[1];
    if (size === undefined) return "a chunk whose size is no number";
    const next = lineEnd + 2 + Number.parseInt(size, 16);
    if (Number.parseInt(size, 16) === 0) {
      const over = text.indexOf("\r\n\r\n", lineEnd);
      return over < 0 ? "a body without an end" : { rest: text.slice(over + 4) };
    }
    if (text.length < next + 2) return "a body without an end";
    if (text.slice(next, next + 2) !== "\r\n") return "a chunk that does not end where it says";
    at = next + 2;
  }
}
