/** Where a topology's records are in etcd: `holdfast/TOPOLOGY/record/KEY`, and nothing of another topology there. */
import type { StoredRecord } from "../../ports/store.ts";
import type { KeyValue } from "./generated/etcd_pb.js";

const encoder = new TextEncoder();
// An agent that meets bytes that are no text must not guess.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export interface Keys {
  /** Says which schema the topology's records have. */
  readonly schema: Uint8Array;
  /** All records. */
  readonly all: Range;
  of(key: string): Uint8Array;
  under(prefix: string): Range;
  /** The record's own key. */
  parse(key: Uint8Array): string;
}

export interface Range {
  readonly key: Uint8Array;
  /** First key behind the range. */
  readonly rangeEnd: Uint8Array;
}

/** Encoded, so that topology `a/record/b` is not a part of topology `a`: what has no `/` is no path. */
export function keysOf(topology: string): Keys {
  const home = `holdfast/${encodeURIComponent(topology)}/`;
  const base = encoder.encode(`${home}record/`);
  const under = (prefix: string): Range => {
    const key = encoder.encode(`${home}record/${prefix}`);
    return { key, rangeEnd: successor(key) };
  };
  return {
    schema: encoder.encode(`${home}schema`),
    all: under(""),
    of: (key) => encoder.encode(`${home}record/${key}`),
    under,
    parse: (key) => decoder.decode(key.subarray(base.length)),
  };
}

/** The first key that does not begin with `prefix`. The prefix is never empty, and text has no byte 0xff. */
function successor(prefix: Uint8Array): Uint8Array {
  const next = prefix.slice();
  next[next.length - 1] = (next.at(-1) as number) + 1;
  return next;
}

export function toRecord(keys: Keys, { key, value, modRevision }: KeyValue): StoredRecord {
  return { key: keys.parse(key), value: decoder.decode(value), revision: Number(modRevision) };
}

export function encode(text: string): Uint8Array {
  return encoder.encode(text);
}

export function decode(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}
