/**
 * How long an answer is as good as new, how old it is when it arrives, and whether it may answer another request
 * (RFC 9111 section 4).
 *
 * - H1. What cannot be read is stale: a lifetime or an age that is no number, a date that is no date or there twice.
 * - H2. Without a word about its lifetime it lives a tenth of the time since it was last modified, a day at most, and only
 *   with a status for which that is usual (RFC 9110 section 15.1) or `public`.
 * - H3. What the client asks for counts: `no-cache`, `no-store`, `max-age`, `min-fresh`, `max-stale`.
 * - H4. What is no longer fresh is given while it is asked for anew, where the service says so (RFC 5861 section 3,
 *   `stale-while-revalidate`), and never older than the service's rules allow.
 */
import type { InstantMs, SpanMs, WallMs } from "../model/time.ts";
import type { Directives } from "./stale.ts";

export interface FreshnessFacts {
  readonly status: number;
  readonly cacheControl: Directives;
  /** All values of each field. */
  readonly expires: readonly string[];
  readonly date: readonly string[];
  readonly lastModified: readonly string[];
  readonly age: readonly string[];
  readonly setsCookie: boolean;
  /** Of the request. */
  readonly authorized: boolean;
  /** Names of fields that the answer varies by, lower case; `*`: by anything. */
  readonly vary: readonly string[];
}

export interface Freshness {
  readonly freshForMs: SpanMs;
  /** On arrival. */
  readonly ageMs: SpanMs;
  /** `no-cache`: not without asking. */
  readonly validates: boolean;
  /** So long after it was fresh a client may take it that says so (`max-stale`); 0: never. */
  readonly staleForMs: SpanMs;
  /** So long after it was fresh anybody is given it while it is asked for anew. */
  readonly refreshForMs: SpanMs;
}

const longestHeuristicMs: SpanMs = 24 * 3600 * 1000;
/** Of those that we keep: answers in one piece, not parts. */
const heuristicStatuses: ReadonlySet<number> = new Set([
  200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501,
]);
/** What these mean to a cache is known. */
const understood: ReadonlySet<number> = new Set([
  ...heuristicStatuses,
  ...[302, 303, 307, 400, 403, 500, 502, 503, 504],
]);

/** null: it must not be kept for others (A1), or could never be used. */
export function freshnessOf(facts: FreshnessFacts, wallNow: WallMs, staleMaxMs: SpanMs): Freshness | null {
  const { cacheControl: said, status } = facts;
  if (status < 200 || status === 206 || status === 304 || facts.vary.includes("*")) return null;
  if (said.has("no-store") || said.has("private") || facts.setsCookie) return null;
  if (said.has("must-understand") && !understood.has(status)) return null;
  const isForShared = said.has("public") || said.has("s-maxage") || said.has("must-revalidate");
  if (facts.authorized && !isForShared) return null;
  const freshForMs = lifetimeOf(facts, wallNow);
  if (freshForMs === null) return null;
  const neverStale = ["must-revalidate", "proxy-revalidate", "s-maxage", "no-cache"];
  const staleForMs = neverStale.some((each) => said.has(each)) ? 0 : staleMaxMs;
  return {
    freshForMs,
    ageMs: ageOf(facts, wallNow),
    validates: said.has("no-cache"),
    staleForMs,
    refreshForMs: Math.min(staleForMs, seconds(said.get("stale-while-revalidate")) ?? 0),
  };
}

function lifetimeOf(facts: FreshnessFacts, wallNow: WallMs): SpanMs | null {
  const { cacheControl: said } = facts;
  // H1.
  for (const name of ["s-maxage", "max-age"]) if (said.has(name)) return seconds(said.get(name)) ?? 0;
  const date = only(facts.date) ?? wallNow;
  if (facts.expires.length > 0) return Math.max(0, (only(facts.expires) ?? date) - date);
  if (said.has("no-cache")) return 0;
  // H2.
  const modified = only(facts.lastModified);
  if (!heuristicStatuses.has(facts.status) && !said.has("public")) return null;
  return modified === null ? null : Math.min(longestHeuristicMs, Math.max(0, date - modified) / 10);
}

/** Section 4.2.3. An age that cannot be read: for ever old. */
function ageOf({ age, date }: FreshnessFacts, wallNow: WallMs): SpanMs {
  const told = age.length === 0 ? 0 : age.length === 1 ? seconds(age[0]) : null;
  if (told === null) return Number.POSITIVE_INFINITY;
  return Math.max(told, wallNow - (only(date) ?? wallNow), 0);
}

export type Reuse =
  /** `refresh`: and it is to be asked for anew. */
  | { readonly kind: "use"; readonly ageMs: SpanMs; readonly ttlMs: SpanMs; readonly refresh: boolean }
  /** It may be asked whether it still holds. */
  | { readonly kind: "validate" }
  | { readonly kind: "ask" };

export function mayReuse(freshness: Freshness, keptAt: InstantMs, now: InstantMs, asked: Directives): Reuse {
  if (asked.has("no-store")) return { kind: "ask" };
  if (freshness.validates || asked.has("no-cache")) return { kind: "validate" };
  const ageMs = freshness.ageMs + now - keptAt;
  const ttlMs = freshness.freshForMs - ageMs;
  if ((seconds(asked.get("max-age")) ?? Number.POSITIVE_INFINITY) < ageMs) return { kind: "validate" };
  if (ttlMs < (seconds(asked.get("min-fresh")) ?? Number.NEGATIVE_INFINITY)) return { kind: "validate" };
  if (ttlMs > 0) return { kind: "use", ageMs, ttlMs, refresh: false };
  // H4.
  if (-ttlMs < freshness.refreshForMs) return { kind: "use", ageMs, ttlMs, refresh: true };
  const maxStale = asked.get("max-stale");
  const takesMs = maxStale === "" ? Number.POSITIVE_INFINITY : (seconds(maxStale) ?? -1);
  if (-ttlMs <= Math.min(takesMs, freshness.staleForMs) && freshness.staleForMs > 0)
    return { kind: "use", ageMs, ttlMs, refresh: false };
  return { kind: "validate" };
}

function only(values: readonly string[]): WallMs | null {
  return values.length === 1 ? parseHttpDate(values[0] as string) : null;
}

const imfDate = /^[A-Z][a-z]{2}, (\d{2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT$/;
const rfc850Date = /^[A-Z][a-z]{5,8}, (\d{2})-([A-Z][a-z]{2})-(\d{2}) (\d{2}):(\d{2}):(\d{2}) GMT$/;
const asctimeDate = /^[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \d]\d) (\d{2}):(\d{2}):(\d{2}) (\d{4})$/;
const months = "JanFebMarAprMayJunJulAugSepOctNovDec";

/** The three forms of RFC 9110 section 5.6.7, and nothing else. */
export function parseHttpDate(text: string): WallMs | null {
  const imf = imfDate.exec(text);
  if (imf) return wallMs(imf[3], imf[2], imf[1], imf.slice(4));
  const old = rfc850Date.exec(text);
  // Two digits: this century's first seventy years, or the last one's end.
  if (old) return wallMs(`${Number(old[3]) < 70 ? 20 : 19}${old[3]}`, old[2], old[1], old.slice(4));
  const c = asctimeDate.exec(text);
  return c ? wallMs(c[6], c[1], c[2], c.slice(3, 6)) : null;
}

function wallMs(
  yearText: string | undefined,
  monthName = "",
  dayText: string | undefined,
  time: readonly string[],
): WallMs | null {
  const [year, day] = [Number(yearText), Number(dayText)];
  const [hour = 0, minute = 0, second = 0] = time.map(Number);
  const month = months.indexOf(monthName) / 3;
  if (!Number.isInteger(month) || month < 0 || day < 1 || 31 < day) return null;
  if (23 < hour || 59 < minute || 60 < second) return null;
  return (((daysSince1970(year, month + 1, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000;
}

/** Years that begin in March, so that the leap day is the last (Howard Hinnant, "chrono-compatible date algorithms"). */
function daysSince1970(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1;
  return 365 * y + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + dayOfYear - 719_468;
}

function seconds(text: string | undefined): SpanMs | null {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Math.min(Number(text), 2 ** 31) * 1000 : null;
}
