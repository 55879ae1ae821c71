/**
 * Answers that were kept: for the hour when nobody answers (R5: stale content comes before an error), and, where the edge
 * is told to, to answer again while they are as good as new.
 *
 * What is kept is bounded in bytes; what was used longest ago goes first. What may be kept and served is the core's to say
 * (`core/traffic/stale`, `core/traffic/freshness`).
 */
import { type Freshness, freshnessOf, mayReuse } from "../core/traffic/freshness.ts";
import {
  type Directives,
  type Keeping,
  mayKeep,
  mayServe,
  parseCacheControl,
} from "../core/traffic/stale.ts";
import { copied, listOf, valuesOf, without } from "./fields.ts";
import { fitToRequest, isConditional, type KeptAnswer, updateFields, validatorsOf } from "./kept-answer.ts";
import { monotonicNow } from "./monotonic.ts";

/** 64 MiB: a thousand answers of the largest size that comes in one piece. */
export const staleBytesMax = 64 * 1024 * 1024;
/** Map, objects and the like of one entry, without its texts. */
const entryBytes = 512;
/** Answers to the same path that vary by fields of the request. More: what they vary by is no few values. */
const variantsMax = 16;

/** RFC 9111 section 3.5. */
const forAll = ["public", "s-maxage", "must-revalidate"];

export interface Kept {
  readonly status: number;
  /** Without `Age`. */
  readonly headers: readonly string[];
  readonly body: Buffer | null;
  readonly region: string;
  /** For when nobody answers; null: never. */
  readonly keeping: Keeping | null;
  /** To answer again; null: never. */
  readonly freshness: Freshness | null;
  readonly keptAt: number;
  /** Also for requests with `Authorization`: what a service says to nobody in particular may differ for somebody. */
  readonly isForAll: boolean;
  /** Fields of the request that it varies by, with the values that it was kept for. */
  readonly vary: readonly (readonly [name: string, value: string])[];
  readonly bytes: number;
}

export interface AskedFor {
  readonly service: string;
  readonly method: string;
  readonly path: string;
  readonly headers: readonly string[];
}

interface Answer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: Buffer | null;
}

export type Reused =
  | {
      readonly kind: "answer";
      readonly region: string;
      readonly answer: KeptAnswer;
      /** Not null: and ask for it anew meanwhile. */
      readonly refresh: Conditions | null;
    }
  /** Ask whether it still holds, with these fields beside the client's. */
  | ({ readonly kind: "validate"; readonly region: string } & Conditions);

export interface Conditions {
  readonly kept: Kept;
  readonly conditions: readonly string[];
}

export class StaleStore {
  readonly #edge: string;
  /** Whether it answers while the service is well. */
  readonly #reuses: boolean;
  readonly #bytesMax: number;
  readonly #kept = new Map<string, readonly Kept[]>();
  readonly #refreshing = new Set<Kept>();
  #bytes = 0;

  constructor(edge: string, reuses: boolean, bytesMax = staleBytesMax) {
    this.#edge = edge;
    this.#reuses = reuses;
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Only a GET that was answered whole comes here. */
  keep(asked: AskedFor, answer: Answer, region: string, staleMaxMs: number): void {
    // An error, a part, or that nothing changed: it takes the place of nothing.
    if (500 <= answer.status || answer.status === 206 || answer.status === 304) return;
    const key = keyOf(asked);
    const others = (this.#kept.get(key) ?? []).filter((kept) => !isFor(kept, asked));
    const kept = this.#toKeep(key, asked, answer, region, staleMaxMs);
    // What somebody was told says nothing about what everybody is told.
    if (kept === null && isSomebody(asked)) return;
    this.#put(key, kept === null ? others : [kept, ...others.slice(0, variantsMax - 1)]);
  }

  #toKeep(key: string, asked: AskedFor, answer: Answer, region: string, staleMaxMs: number): Kept | null {
    const { status, headers } = answer;
    const vary = listOf(valuesOf(headers, "vary"));
    const facts = {
      status,
      cacheControl: directivesOf(headers),
      setsCookie: valuesOf(headers, "set-cookie").length > 0,
      authorized: isSomebody(asked),
      vary,
      expires: valuesOf(headers, "expires"),
      date: valuesOf(headers, "date"),
      lastModified: valuesOf(headers, "last-modified"),
      age: valuesOf(headers, "age"),
    };
    const keeping = mayKeep(facts, staleMaxMs);
    const isWanted = this.#reuses && !directivesOf(asked.headers).has("no-store");
    const freshness = isWanted ? freshnessOf(facts, Date.now(), staleMaxMs) : null;
    if (keeping === null && freshness === null) return null;
    const own = copied(without(headers, "age"));
    const values = copied(vary.map((name) => varyingBy(asked, name)));
    const texts = [key, ...own, ...vary, ...values].reduce((sum, text) => sum + text.length, 0);
    return {
      status,
      headers: own,
      // The bytes of a small answer lie in a buffer of 64 KB that they would keep alive.
      body: answer.body === null ? null : Buffer.from(answer.body),
      region,
      keeping,
      freshness,
      keptAt: monotonicNow(),
      isForAll: forAll.some((each) => facts.cacheControl.has(each)),
      vary: vary.map((name, at) => [name, values[at] ?? ""]),
      bytes: entryBytes + texts + (answer.body?.length ?? 0),
    };
  }

  /** When nobody answers. null: nothing is kept, or what is kept may not be served. */
  find(asked: AskedFor, staleMaxMs: number, because: string): KeptAnswer | null {
    const kept = this.#lookUp(asked);
    if (!kept?.keeping) return null;
    const said = directivesOf(asked.headers);
    const verdict = mayServe(kept.keeping, kept.keptAt, monotonicNow(), said, staleMaxMs);
    if (verdict.kind === "refuse") return null;
    return this.#answer(kept, verdict, "hit", `; detail="${because.replaceAll('"', "'")}"`);
  }

  /** While the service is well. null: it is asked as ever. */
  reuse(asked: AskedFor): Reused | null {
    const kept = this.#reuses ? this.#lookUp(asked) : null;
    if (!kept?.freshness) return null;
    const reuse = mayReuse(kept.freshness, kept.keptAt, monotonicNow(), requestDirectives(asked.headers));
    if (reuse.kind === "ask") return null;
    const conditions = validatorsOf(kept.headers);
    if (reuse.kind === "use") {
      const answer = fitToRequest(this.#answer(kept, reuse, "hit"), asked.headers);
      if (answer === null) return null;
      const refreshes = reuse.refresh && asked.method === "GET" && !isConditional(asked.headers);
      return {
        kind: "answer",
        region: kept.region,
        answer,
        refresh: refreshes ? { kept, conditions } : null,
      };
    }
    // Whoever has conditions of his own, or wants a part, is answered by the service itself.
    if (conditions.length === 0 || asked.method !== "GET" || isConditional(asked.headers)) return null;
    return { kind: "validate", region: kept.region, kept, conditions };
  }

  /** The service says that what is kept still holds (304): it is as good as new again. */
  validated(kept: Kept, asked: AskedFor, headers: readonly string[], staleMaxMs: number): KeptAnswer {
    const { status, body, region } = kept;
    const updated = updateFields(kept.headers, headers);
    this.keep(asked, { status, headers: updated, body }, region, staleMaxMs);
    const told = { ageMs: 0, ttlMs: kept.freshness?.freshForMs ?? 0 };
    return this.#answer({ ...kept, headers: without(updated, "age") }, told, "fwd=stale; fwd-status=304");
  }

  /** Once at a time: false when somebody asks for it anew already. */
  beginRefresh(kept: Kept): boolean {
    if (this.#refreshing.has(kept)) return false;
    this.#refreshing.add(kept);
    return true;
  }

  endRefresh(kept: Kept): void {
    this.#refreshing.delete(kept);
  }

  /** Something was changed there (RFC 9111 section 4.4), and where the answer points to, if that is of the same service. */
  invalidate(asked: AskedFor, headers: readonly string[]): void {
    this.#put(keyOf(asked), []);
    const host = valuesOf(asked.headers, "host")[0] ?? "";
    for (const to of [...valuesOf(headers, "location"), ...valuesOf(headers, "content-location")]) {
      const url = URL.parse(to, `http://${host}${asked.path}`);
      if (url?.host === host) this.#put(keyOf({ ...asked, path: url.pathname + url.search }), []);
    }
  }

  #lookUp(asked: AskedFor): Kept | null {
    if (asked.method !== "GET" && asked.method !== "HEAD") return null;
    const key = keyOf(asked);
    const all = this.#kept.get(key);
    const kept = all?.find((each) => isFor(each, asked) && (each.isForAll || !isSomebody(asked)));
    if (!all || !kept) return null;
    // Used last now.
    this.#kept.delete(key);
    this.#kept.set(key, all);
    return kept;
  }

  /** `how` and `more` are of `Cache-Status` (RFC 9211). */
  #answer(
    kept: Kept,
    { ageMs, ttlMs }: { ageMs: number; ttlMs: number },
    how: string,
    more = "",
  ): KeptAnswer {
    const { status, body, region } = kept;
    const cacheStatus = `${this.#edge}; ${how}; ttl=${Math.round(ttlMs / 1000)}${more}`;
    const headers = [...kept.headers, "age", String(Math.floor(ageMs / 1000)), "cache-status", cacheStatus];
    return { status, headers, body, region };
  }

  #put(key: string, all: readonly Kept[]): void {
    for (const { bytes } of this.#kept.get(key) ?? []) this.#bytes -= bytes;
    this.#kept.delete(key);
    if (all.length === 0) return;
    this.#kept.set(key, all);
    for (const { bytes } of all) this.#bytes += bytes;
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#put(oldest, []);
    }
  }
}

function isFor(kept: Kept, asked: AskedFor): boolean {
  return kept.vary.every(([name, value]) => varyingBy(asked, name) === value);
}

/** RFC 9111 section 4.1: several fields are one list, in which blanks mean nothing. */
function varyingBy({ headers }: AskedFor, name: string): string {
  return valuesOf(headers, name)
    .join(",")
    .replaceAll(/[ \t]*,[ \t]*/g, ",");
}

function isSomebody({ headers }: AskedFor): boolean {
  return valuesOf(headers, "authorization").length > 0;
}

function keyOf({ service, path, headers }: AskedFor): string {
  return `${service} ${valuesOf(headers, "host")[0] ?? ""} ${path}`;
}

function directivesOf(headers: readonly string[]): Directives {
  return parseCacheControl(valuesOf(headers, "cache-control").join(", "));
}

/** RFC 9111 section 5.4: the old word for it, where the new one is not used. */
function requestDirectives(headers: readonly string[]): Directives {
  const said = directivesOf(headers);
  if (said.size > 0 || !valuesOf(headers, "pragma").includes("no-cache")) return said;
  return new Map([["no-cache", ""]]);
}
