/**
 * The head of an upstream's response, read strictly (RFC 9112): what could mean two things is an error.
 *
 * A head that is read in one way by us and in another by the client would let one response hide another behind it. So
 * folded lines, two lengths, a length beside a transfer coding, and codings other than `chunked` are refused.
 */
import type { RetryHint } from "../core/traffic/repeat.ts";
import { isServicesOwn, isToken, kindOf, removeNamed, saneValue, valueBehind } from "./headers.ts";

export interface ParsedHead {
  readonly status: number;
  /** End-to-end fields for the client, names and values in turn. */
  readonly headers: string[];
  /** null: not told. */
  readonly contentLength: number | null;
  readonly chunked: boolean;
  /** Whether the connection may carry another request afterwards. */
  readonly keepAlive: boolean;
  /** How long the upstream keeps it open, in milliseconds; null: not told. */
  readonly keepAliveMs: number | null;
  readonly hint: RetryHint;
}

const digits = /^\d{1,15}$/;
const statusLine = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?$/;
/** `text`: everything before the empty line, in latin1. A string: what is wrong with it. */
export function parseResponseHead(text: string): ParsedHead | string {
  let end = text.indexOf("\r\n");
  const first = statusLine.exec(end < 0 ? text : text.slice(0, end));
  if (!first) return "no HTTP/1 status line";
  const headers: string[] = [];
  let contentLength: number | null = null;
  let chunked = false;
  let keepAlive = first[1] === "1";
  let keepAliveMs: number | null = null;
  let said: string | null = null;
  let hasRetryAfter = false;
  let named: string[] | null = null;
  while (0 <= end) {
    const begin = end + 2;
    end = text.indexOf("\r\n", begin);
    const line = end < 0 ? text.slice(begin) : text.slice(begin, end);
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon));
    if (!isToken(name)) return "a field whose name is no token";
    const value = valueBehind(line, colon + 1);
    if (!saneValue.test(value)) return `control characters in the field ${name}`;
    switch (kindOf(name)) {
      case "length":
        if (contentLength !== null || !digits.test(value)) return "two lengths, or one that is no number";
        contentLength = Number(value);
        headers.push(name, value);
        break;
      case "coding":
        if (chunked || value.toLowerCase() !== "chunked") return `the transfer coding ${value}`;
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
      case "keep-alive": {
        const seconds = /timeout=(\d{1,6})/.exec(value);
        if (seconds) keepAliveMs = Number(seconds[1]) * 1000;
        break;
      }
      case "retry":
        said = value;
        break;
      case "retry-after":
        hasRetryAfter = true;
        headers.push(name, value);
        break;
      case "strip":
        if (isServicesOwn(name)) headers.push(name, value);
        break;
      case "id":
      case "upgrade":
        break;
      default:
        headers.push(name, value);
    }
  }
  if (chunked && contentLength !== null) return "a length beside a transfer coding";
  if (named !== null) removeNamed(headers, named);
  const hint =
    said === "writer-changing" || said === "nothing-done" ? said : hasRetryAfter ? "retry-after" : "none";
  return { status: Number(first[2]), headers, contentLength, chunked, keepAlive, keepAliveMs, hint };
}
