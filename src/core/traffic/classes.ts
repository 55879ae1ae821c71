/** A request in, how much it matters out: what is kept alive when capacity is short. */
import type { TrafficClass } from "../model/degradation.ts";

/** For metrics and where nothing matches: no class of a topology may bear this name. */
export const unclassified: TrafficClass = { name: "other", priority: "standard" };

export interface ClassifiedRequest {
  readonly method: string;
  readonly path: string;
  /** Names and values in turn. */
  readonly headers: readonly string[];
}

export function classOf(
  classes: readonly TrafficClass[] | undefined,
  request: ClassifiedRequest,
): TrafficClass {
  if (classes === undefined) return unclassified;
  return classes.find((each) => matches(each, request)) ?? unclassified;
}

function matches({ methods, paths, header }: TrafficClass, request: ClassifiedRequest): boolean {
  if (methods && !methods.includes(request.method)) return false;
  if (paths && !paths.some((pattern) => fitsPath(pattern, request.path))) return false;
  return header === undefined || hasField(request.headers, header.name, header.value);
}

/** `/orders/*` fits `/orders/17?full=1`. What lies between two stars is looked for once: nothing is gone back to. */
export function fitsPath(pattern: string, path: string): boolean {
  const query = path.indexOf("?");
  const end = query < 0 ? path.length : query;
  const first = pattern.indexOf("*");
  if (first < 0) return pattern.length === end && path.startsWith(pattern);
  if (!path.startsWith(pattern.slice(0, first))) return false;
  const parts = pattern.slice(first + 1).split("*");
  const last = parts.pop() as string;
  let at = first;
  for (const part of parts) {
    const found = path.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return at + last.length <= end && path.startsWith(last, end - last.length);
}

function hasField(headers: readonly string[], lowerName: string, value: string | null): boolean {
  for (let at = 0; at < headers.length; at += 2) {
    if ((headers[at] as string).toLowerCase() !== lowerName) continue;
    if (value === null || headers[at + 1] === value) return true;
  }
  return false;
}
