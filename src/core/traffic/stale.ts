/**
 * What may be kept of a response, and when it may be served although it is old (RFC 9111, RFC 5861).
 *
 * - A1. Nothing is kept that is one person's: no `private`, no `no-store`, no `Authorization` unless `public` or `s-maxage`
 *   says so, no `Set-Cookie`.
 * - A2. Stale is served only where nobody forbids it: not with `must-revalidate`, `proxy-revalidate`, `s-maxage` or
 *   `no-cache` (RFC 9111 section 4.2.4), and not when the client asks for `no-cache` or `max-age=0`.
 * - A3. Never older than the service's rules allow, nor than `stale-if-error` does where the response says it.
 */
import type { InstantMs, SpanMs } from "../model/time.ts";

/** Directive (lower case) -> its argument, empty when it has none. */
export type Directives = ReadonlyMap<string, string>;

export function parseCacheControl(value: string): Directives {
  const directives = new Map<string, string>();
  for (const part of value.matchAll(/([^\s,=]+)(?:\s*=\s*(?:"([^"]*)"|([^\s,]*)))?/g))
    directives.set((part[1] as string).toLowerCase(), part[2] ?? part[3] ?? "");
  return directives;
}

export interface ResponseFacts {
  readonly status: number;
  readonly cacheControl: Directives;
  readonly setsCookie: boolean;
  /** Of the request. */
  readonly authorized: boolean;
  /** Names of fields that the response varies by, lower case; `*`: by anything. */
  readonly vary: readonly string[];
  /** Values of `Age`: how old it was already when it arrived. */
  readonly age?: readonly string[];
}

export interface Keeping {
  /** So long after it was made it is as good as new. */
  readonly freshForMs: SpanMs;
  /** On arrival, since others kept it before. */
  readonly ageMs: SpanMs;
  /** After that it may be served for so long when nobody answers. */
  readonly staleForMs: SpanMs;
}

/** Heuristically cacheable or not: only these statuses mean the same to everyone who asks. */
const keptStatuses: ReadonlySet<number> = new Set([200, 203, 301, 404, 410]);

/** null: it must not be kept, or could never be served. */
export function mayKeep(facts: ResponseFacts, staleMaxMs: SpanMs): Keeping | null {
  const { cacheControl: said } = facts;
  if (staleMaxMs <= 0 || !keptStatuses.has(facts.status) || facts.vary.includes("*")) return null;
  // A1.
  if (said.has("no-store") || said.has("private") || facts.setsCookie) return null;
  if (facts.authorized && !said.has("public") && !said.has("s-maxage")) return null;
  // A2: kept to be served when nobody answers, so what may never be served stale is not worth keeping.
  if (
    said.has("must-revalidate") ||
    said.has("proxy-revalidate") ||
    said.has("s-maxage") ||
    said.has("no-cache")
  )
    return null;
  const ageMs = seconds(said.get("max-age"));
  const ifErrorMs = seconds(said.get("stale-if-error"));
  // Without a word about its age nobody has said that it may be kept.
  if (ageMs === null && ifErrorMs === null && !said.has("public")) return null;
  const toldMs = facts.age === undefined || facts.age.length === 0 ? 0 : seconds(facts.age[0]);
  // An age that cannot be read: nobody knows how old it is.
  if (toldMs === null) return null;
  const staleForMs = Math.min(staleMaxMs, ifErrorMs ?? staleMaxMs);
  return { freshForMs: ageMs ?? 0, ageMs: toldMs, staleForMs };
}

export type StaleVerdict =
  | { readonly kind: "serve"; readonly ageMs: SpanMs; readonly ttlMs: SpanMs }
  | { readonly kind: "refuse"; readonly because: string };

export function mayServe(
  keeping: Keeping,
  keptAt: InstantMs,
  now: InstantMs,
  asked: Directives,
  staleMaxMs: SpanMs,
): StaleVerdict {
  if (asked.has("no-cache") || asked.has("no-store") || asked.get("max-age") === "0")
    return { kind: "refuse", because: "the client wants nothing kept" };
  const ageMs = keeping.ageMs + now - keptAt;
  const ttlMs = keeping.freshForMs - ageMs;
  const staleMs = Math.max(0, -ttlMs);
  // The rules may have become stricter since it was kept.
  if (Math.min(keeping.staleForMs, staleMaxMs) < staleMs)
    return { kind: "refuse", because: `what is kept is ${Math.round(staleMs)} ms too old` };
  return { kind: "serve", ageMs, ttlMs };
}

function seconds(text: string | undefined): SpanMs | null {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) * 1000 : null;
}
