/** A kept answer as it is given: whole, as the part that was asked for, or as "you have it already". */
import { parseHttpDate } from "../core/traffic/freshness.ts";
import { valuesOf, without } from "./fields.ts";

export interface KeptAnswer {
  readonly status: number;
  readonly headers: string[];
  readonly body: Buffer | null;
  readonly region: string;
}

/** Whoever sends one of these has kept something himself, or wants less than all. */
const conditional = ["if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "range"];
/** RFC 9111 section 3.2 and RFC 9110 section 8: they tell of the body that is kept, and stay with it. */
const ofTheBody = ["content-length", "content-encoding", "content-range", "content-md5", "etag"];
/** RFC 9110 section 15.4.5. */
const of304 = new Set([
  ...["age", "cache-control", "cache-status", "content-location", "date", "etag", "expires", "vary"],
  ...["last-modified", "x-holdfast-epoch"],
]);

export function isConditional(request: readonly string[]): boolean {
  return conditional.some((name) => valuesOf(request, name).length > 0);
}

/** The conditions by which the service can say that what is kept still holds. */
export function validatorsOf(headers: readonly string[]): readonly string[] {
  const [tag] = valuesOf(headers, "etag");
  const [modified] = valuesOf(headers, "last-modified");
  return [
    ...(tag === undefined ? [] : ["if-none-match", tag]),
    ...(modified === undefined ? [] : ["if-modified-since", modified]),
  ];
}

/** RFC 9111 section 3.2. */
export function updateFields(kept: readonly string[], news: readonly string[]): readonly string[] {
  const told = without(news, ...ofTheBody);
  const names = told.filter((_text, at) => at % 2 === 0).map((name) => name.toLowerCase());
  return [...without(kept, ...names), ...told];
}

/** null: the service is to answer this itself. */
export function fitToRequest(answer: KeptAnswer, request: readonly string[]): KeptAnswer | null {
  if (valuesOf(request, "if-match").length > 0 || valuesOf(request, "if-unmodified-since").length > 0)
    return null;
  if (isAlreadyThere(answer.headers, request)) {
    const headers: string[] = [];
    for (let at = 0; at < answer.headers.length; at += 2)
      if (of304.has((answer.headers[at] as string).toLowerCase()))
        headers.push(answer.headers[at] as string, answer.headers[at + 1] as string);
    return { ...answer, status: 304, headers, body: null };
  }
  const [range] = valuesOf(request, "range");
  return range === undefined ? answer : partOf(answer, range, request);
}

/** `If-None-Match` comes before `If-Modified-Since` (RFC 9110 section 13.2.2). */
function isAlreadyThere(headers: readonly string[], request: readonly string[]): boolean {
  const wanted = valuesOf(request, "if-none-match");
  if (wanted.length > 0) {
    const tag = valuesOf(headers, "etag")[0];
    const tags = wanted.flatMap((value) => value.split(",").map((each) => weak(each.trim())));
    return tags.includes("*") || (tag !== undefined && tags.includes(weak(tag)));
  }
  const [since] = valuesOf(request, "if-modified-since");
  const [modified = ""] = valuesOf(headers, "last-modified");
  const [sinceMs, modifiedMs] = [parseHttpDate(since ?? ""), parseHttpDate(modified)];
  return sinceMs !== null && modifiedMs !== null && modifiedMs <= sinceMs;
}

function weak(tag: string): string {
  return tag.startsWith("W/") ? tag.slice(2) : tag;
}

/** One range of bytes; what is more than that is the service's affair. */
function partOf(answer: KeptAnswer, range: string, request: readonly string[]): KeptAnswer | null {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(range);
  const { body } = answer;
  if (!match || body === null || answer.status !== 200 || valuesOf(request, "if-range").length > 0)
    return null;
  const [, first = "", last = ""] = match;
  if (first === "" && last === "") return null;
  const from = first === "" ? Math.max(0, body.length - Number(last)) : Number(first);
  const to = first === "" || last === "" ? body.length - 1 : Math.min(Number(last), body.length - 1);
  if (to < from) return null;
  const headers = without(answer.headers, "content-length");
  headers.push(
    "content-length",
    String(to - from + 1),
    "content-range",
    `bytes ${from}-${to}/${body.length}`,
  );
  return { ...answer, status: 206, headers, body: body.subarray(from, to + 1) };
}
