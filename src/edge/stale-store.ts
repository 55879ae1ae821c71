/**
 * Answers that were kept for the hour when nobody answers (R5: stale content comes before an error).
 *
 * It is no cache: while a service answers, it is asked. What is kept is bounded in bytes; what was used longest ago goes
 * first. What may be kept and served is the core's to say (`core/traffic/stale`).
 */
import {
  type Directives,
  type Keeping,
  mayKeep,
  mayServe,
  parseCacheControl,
} from "../core/traffic/stale.ts";
import { monotonicNow } from "./monotonic.ts";

/** 64 MiB: a thousand answers of the largest size that comes in one piece. */
const bytesMax = 64 * 1024 * 1024;
/** Map, key and headers of one entry, measured as some 1 KB. */
const entryBytes = 1024;

interface Kept {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: Buffer | null;
  readonly region: string;
  readonly keeping: Keeping;
  readonly keptAt: number;
  /** Fields of the request that it varies by, with the values that it was kept for. */
  readonly vary: readonly (readonly [name: string, value: string])[];
}

export interface StaleAnswer {
  readonly status: number;
  readonly headers: string[];
  readonly body: Buffer | null;
  readonly region: string;
}

export interface AskedFor {
  readonly service: string;
  readonly method: string;
  readonly path: string;
  readonly headers: readonly string[];
}

export class StaleStore {
  readonly #edge: string;
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;

  constructor(edge: string) {
    this.#edge = edge;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Only a GET that was answered whole comes here. */
  keep(
    asked: AskedFor,
    answer: { readonly status: number; readonly headers: readonly string[]; readonly body: Buffer | null },
    region: string,
    staleMaxMs: number,
  ): void {
    const vary = listOf(valuesOf(answer.headers, "vary"));
    const keeping = mayKeep(
      {
        status: answer.status,
        cacheControl: directivesOf(answer.headers),
        setsCookie: valuesOf(answer.headers, "set-cookie").length > 0,
        authorized: valuesOf(asked.headers, "authorization").length > 0,
        vary,
      },
      staleMaxMs,
    );
    const key = keyOf(asked);
    this.#forget(key);
    if (keeping === null) return;
    this.#kept.set(key, {
      ...answer,
      // Ours goes on to add to it.
      headers: [...answer.headers],
      // The bytes of a small answer lie in a buffer of 64 KB that they would keep alive.
      body: answer.body === null ? null : Buffer.from(answer.body),
      region,
      keeping,
      keptAt: monotonicNow(),
      vary: vary.map((name) => [name, valuesOf(asked.headers, name).join(", ")]),
    });
    this.#bytes += entryBytes + (answer.body?.length ?? 0);
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= bytesMax) break;
      this.#forget(oldest);
    }
  }

  /** null: nothing is kept, or what is kept may not be served. */
  find(asked: AskedFor, staleMaxMs: number, because: string): StaleAnswer | null {
    if (asked.method !== "GET" && asked.method !== "HEAD") return null;
    const key = keyOf(asked);
    const kept = this.#kept.get(key);
    if (!kept) return null;
    if (kept.vary.some(([name, value]) => valuesOf(asked.headers, name).join(", ") !== value)) return null;
    const verdict = mayServe(
      kept.keeping,
      kept.keptAt,
      monotonicNow(),
      directivesOf(asked.headers),
      staleMaxMs,
    );
    if (verdict.kind === "refuse") return null;
    // Used last now.
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    const headers = without(kept.headers, "age");
    headers.push("age", String(Math.floor(verdict.ageMs / 1000)));
    // RFC 9211.
    const ttl = Math.round(verdict.ttlMs / 1000);
    headers.push("cache-status", `${this.#edge}; hit; ttl=${ttl}; detail="${because.replaceAll('"', "'")}"`);
    return { status: kept.status, headers, body: kept.body, region: kept.region };
  }

  #forget(key: string): void {
    const kept = this.#kept.get(key);
    if (!kept) return;
    this.#kept.delete(key);
    this.#bytes -= entryBytes + (kept.body?.length ?? 0);
  }
}

function keyOf({ service, path, headers }: AskedFor): string {
  return `${service} ${valuesOf(headers, "host")[0] ?? ""} ${path}`;
}

function directivesOf(headers: readonly string[]): Directives {
  return parseCacheControl(valuesOf(headers, "cache-control").join(", "));
}

function valuesOf(headers: readonly string[], lowerName: string): readonly string[] {
  const values: string[] = [];
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string;
    if (name.length === lowerName.length && name.toLowerCase() === lowerName)
      values.push(headers[at + 1] as string);
  }
  return values;
}

function listOf(values: readonly string[]): readonly string[] {
  return values.flatMap((value) => value.split(",").map((each) => each.trim().toLowerCase())).filter(Boolean);
}

function without(headers: readonly string[], lowerName: string): string[] {
  const kept: string[] = [];
  for (let at = 0; at < headers.length; at += 2)
    if ((headers[at] as string).toLowerCase() !== lowerName)
      kept.push(headers[at] as string, headers[at + 1] as string);
  return kept;
}
