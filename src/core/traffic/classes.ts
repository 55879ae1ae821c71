/** A request in, how much it matters out: what is kept alive when capacity is short. */
import type { ServiceRoute } from "../model/routing.ts";
import type { Priority } from "./concurrency.ts";

/** The first class that matches decides; a condition that is not named matches everything. */
export interface TrafficClass {
  readonly name: string;
  readonly priority: Priority;
  readonly methods?: readonly string[];
  /** Begins with `/`; compared with the path as it came, before the query. */
  readonly pathPrefix?: string;
  /** `value` null: it is enough that the field is there. Names in lower case. */
  readonly header?: { readonly name: string; readonly value: string | null };
}

/** A service whose table names classes of requests. */
export interface ClassifiedRoute extends ServiceRoute {
  readonly classes?: readonly TrafficClass[];
}

export interface ClassifiedRequest {
  readonly method: string;
  readonly path: string;
  /** Names and values in turn. */
  readonly headers: readonly string[];
}

export function priorityOf(route: ClassifiedRoute, request: ClassifiedRequest): Priority {
  const found = route.classes?.find((each) => matches(each, request));
  return found?.priority ?? "standard";
}

function matches({ methods, pathPrefix, header }: TrafficClass, request: ClassifiedRequest): boolean {
  if (methods && !methods.includes(request.method)) return false;
  if (pathPrefix !== undefined && !request.path.startsWith(pathPrefix)) return false;
  return header === undefined || hasField(request.headers, header.name, header.value);
}

function hasField(headers: readonly string[], lowerName: string, value: string | null): boolean {
  for (let at = 0; at < headers.length; at += 2) {
    if ((headers[at] as string).toLowerCase() !== lowerName) continue;
    if (value === null || headers[at + 1] === value) return true;
  }
  return false;
}
