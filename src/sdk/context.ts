/** What an edge told about the request at hand, wherever the service asks: mode, epoch, generation, region, level, traces. */
import { AsyncLocalStorage } from "node:async_hooks";
import { readTrace, type Trace } from "./trace-context.ts";

/**
 * Names of the fields, as edges spell them. An edge believes none of `x-holdfast-*` from clients, so they are true as far
 * as the service can only be reached through one.
 */
export const edgeFields = {
  requestId: "x-request-id",
  region: "x-holdfast-region",
  edge: "x-holdfast-edge",
  generation: "x-holdfast-generation",
  epoch: "x-holdfast-epoch",
  mode: "x-holdfast-mode",
  level: "x-holdfast-level",
  flags: "x-holdfast-flags",
} as const;

/** What an edge says of a request. null: it did not, as an older one or none at all. */
export interface EdgeTold {
  readonly requestId: string | null;
  /** The region that the edge chose: the one where this instance stands. */
  readonly region: string | null;
  readonly edge: string | null;
  /** Of the routing table by which the edge went. */
  readonly generation: number | null;
  /** Highest epoch of the table: `(epoch, generation)` orders tables. */
  readonly epoch: number | null;
  readonly mode: "rw" | "ro" | "static" | null;
  /** 0: everything is on; the higher, the more is left out. */
  readonly level: number | null;
  /** Features that the topology names for that level, on or off. */
  readonly flags: Readonly<Record<string, boolean>> | null;
}

export interface RequestContext extends EdgeTold {
  /** W3C trace context of the request, or null without a sound one. */
  readonly trace: Trace | null;
}

/** Header fields as Node gives them, or as the web does. */
export type IncomingFields =
  | Readonly<Record<string, string | readonly string[] | undefined>>
  | { get(name: string): string | null };

const storage = new AsyncLocalStorage<RequestContext>();
const listeners = new Set<(context: RequestContext) => void>();

/** Of the request that is being served, or null outside of one. */
export function requestContext(): RequestContext | null {
  return storage.getStore() ?? null;
}

/** Calls `serve` with the context that the fields tell; everything that it begins sees it. */
export function runInContext<T>(fields: IncomingFields, serve: () => T): T {
  const context = readContext(fields);
  for (const listener of listeners) listener(context);
  return storage.run(context, serve);
}

/** Hears every request's context as it begins. Returns how to stop. */
export function onRequestContext(listener: (context: RequestContext) => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

function readContext(fields: IncomingFields): RequestContext {
  const get = readerOf(fields);
  const mode = get(edgeFields.mode);
  return {
    requestId: get(edgeFields.requestId),
    region: get(edgeFields.region),
    edge: get(edgeFields.edge),
    generation: countOf(get(edgeFields.generation)),
    epoch: countOf(get(edgeFields.epoch)),
    mode: mode === "rw" || mode === "ro" || mode === "static" ? mode : null,
    level: countOf(get(edgeFields.level)),
    flags: flagsOf(get(edgeFields.flags)),
    trace: readTrace(get("traceparent"), get("tracestate")),
  };
}

function readerOf(fields: IncomingFields): (name: string) => string | null {
  if (isWeb(fields)) return (name) => fields.get(name);
  // A field that came twice is a list, but for those that we ask for: Node joins them.
  return (name) => fields[name]?.toString() ?? null;
}

function isWeb(fields: IncomingFields): fields is { get(name: string): string | null } {
  return typeof fields.get === "function";
}

function countOf(text: string | null): number | null {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/** The last texts that came: edges send the same one for hours. Bounded, in case they do not. */
const readFlags = new Map<string, Readonly<Record<string, boolean>> | null>();

/** A dictionary of booleans (RFC 9651): `lite=?1, recommendations=?0, search`. null: it is none. */
function flagsOf(text: string | null): Readonly<Record<string, boolean>> | null {
  if (text === null) return null;
  const known = readFlags.get(text);
  if (known !== undefined) return known;
  const members = text.split(",").map((member) => /^ *([a-z*][a-z0-9_.*-]*)(?:=\?([01]))? *$/.exec(member));
  const flags = members.every((member) => member !== null)
    ? Object.fromEntries(members.map((member) => [member[1] as string, member[2] !== "0"]))
    : null;
  if (readFlags.size >= 100) readFlags.clear();
  readFlags.set(text, flags);
  return flags;
}
