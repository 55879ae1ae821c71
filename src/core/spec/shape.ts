/** What a value may look like, as data: the decoder, the JSON Schema and the reference all read the same shapes. */
import type { SpanMs } from "../model/time.ts";
import type { Address } from "../model/topology.ts";

/** What a name may point to. */
export type Referable = "Region" | "DataStore" | "Jurisdiction";

export type Shape =
  /** A name of the topology: lower-case letters, digits and hyphens, 63 at most, as DNS labels are (RFC 1123). */
  | { readonly kind: "name" }
  | { readonly kind: "reference"; readonly to: Referable }
  | { readonly kind: "text"; readonly pattern?: string; readonly fits: string; readonly example: string }
  | { readonly kind: "choice"; readonly values: readonly string[] }
  | { readonly kind: "integer"; readonly min: number; readonly max: number; readonly example: number }
  | { readonly kind: "number"; readonly min: number; readonly max: number; readonly example: number }
  /** A whole number, or one word. */
  | {
      readonly kind: "count";
      readonly min: number;
      readonly max: number;
      readonly or: string;
      readonly example: number;
    }
  | { readonly kind: "boolean" }
  /** Compiled to milliseconds. */
  | { readonly kind: "duration"; readonly minMs: SpanMs; readonly maxMs: SpanMs; readonly example: string }
  /** Compiled to a number from 0 to 1. */
  | { readonly kind: "share"; readonly example: string }
  | { readonly kind: "address"; readonly example: string }
  /** `http://host:port`, no path. */
  | { readonly kind: "origin"; readonly example: string }
  /** A path on a disk, relative to the file. */
  | { readonly kind: "path"; readonly example: string }
  | { readonly kind: "list"; readonly of: Shape; readonly min: number }
  | { readonly kind: "map"; readonly key: Shape; readonly of: Shape }
  | ObjectShape
  /** A mapping with exactly one of these keys; compiled to the value with `kind: key` added. */
  | { readonly kind: "variant"; readonly cases: Readonly<Record<string, ObjectShape>> };

export interface ObjectShape {
  readonly kind: "object";
  readonly fields: Fields;
}

export type Fields = Readonly<Record<string, Field>>;

export interface Field {
  readonly shape: Shape;
  /** One sentence for the reference, the JSON Schema and hints. */
  readonly doc: string;
  /** `required`, `optional` (compiled to null), or the text that stands there when nothing is written. */
  readonly need: "required" | "optional" | { readonly byDefault: string };
}

/** The type of the decoded value: what a compiler of the shape would have written by hand. */
export type ValueOf<S> = S extends { kind: "choice"; values: readonly (infer V)[] }
  ? V
  : S extends { kind: "integer" | "number" | "duration" | "share" }
    ? number
    : S extends { kind: "count"; or: infer W }
      ? number | W
      : S extends { kind: "boolean" }
        ? boolean
        : S extends { kind: "address" }
          ? Address
          : S extends { kind: "list"; of: infer E }
            ? readonly ValueOf<E>[]
            : S extends { kind: "map"; of: infer E }
              ? Readonly<Record<string, ValueOf<E>>>
              : S extends { kind: "object"; fields: infer F }
                ? { readonly [K in keyof F]: FieldValue<F[K]> }
                : S extends { kind: "variant"; cases: infer C }
                  ? { [K in keyof C]: { readonly kind: K } & ValueOf<C[K]> }[keyof C]
                  : string;

type FieldValue<F> = F extends { shape: infer S; need: "optional" }
  ? ValueOf<S> | null
  : F extends { shape: infer S }
    ? ValueOf<S>
    : never;

/** A value as far as it could be decoded: any part may be missing, since its problem is already told. */
export type Rough<T> = T extends string | number | boolean | null
  ? T
  : T extends readonly (infer E)[]
    ? readonly (Rough<E> | undefined)[]
    : { readonly [K in keyof T]?: Rough<T[K]> | undefined };

export function required<const S extends Shape>(shape: S, doc: string) {
  return { shape, doc, need: "required" } as const;
}

export function optional<const S extends Shape>(shape: S, doc: string) {
  return { shape, doc, need: "optional" } as const;
}

/** `text` is YAML in flow style, decoded by the same rules as if it had been written. */
export function byDefault<const S extends Shape>(shape: S, text: string, doc: string) {
  return { shape, doc, need: { byDefault: text } } as const;
}

export function object<const F extends Fields>(fields: F) {
  return { kind: "object", fields } as const;
}

export function list<const S extends Shape>(of: S, min = 0) {
  return { kind: "list", of, min } as const;
}

export function map<const K extends Shape, const S extends Shape>(key: K, of: S) {
  return { kind: "map", key, of } as const;
}

export function variant<const C extends Readonly<Record<string, ObjectShape>>>(cases: C) {
  return { kind: "variant", cases } as const;
}

export function choice<const V extends readonly string[]>(...values: V) {
  return { kind: "choice", values } as const;
}

/** The longest duration that makes sense here: a year. */
const yearMs = 365 * 86_400_000;

export function duration(example: string, minMs: SpanMs = 1, maxMs: SpanMs = yearMs) {
  return { kind: "duration", minMs, maxMs, example } as const;
}

/** The names of a shape for people: `duration`, `list of Region`. */
export function describeShape(shape: Shape): string {
  switch (shape.kind) {
    case "reference":
      return shape.to === "Jurisdiction" ? "jurisdiction of a region" : `name of a ${shape.to}`;
    case "text":
      return "text";
    case "choice":
      return shape.values.map((value) => `\`${value}\``).join(", ");
    case "integer":
    case "number":
      return `${shape.kind}, ${shape.min} to ${shape.max}`;
    case "count":
      return `integer, ${shape.min} to ${shape.max}, or \`${shape.or}\``;
    case "list":
      return `list of ${describeShape(shape.of)}`;
    case "map":
      return `map from ${describeShape(shape.key)} to ${describeShape(shape.of)}`;
    case "variant":
      return `one of ${Object.keys(shape.cases)
        .map((key) => `\`${key}\``)
        .join(", ")}`;
    case "address":
      return "`host:port`";
    case "origin":
      return "`http://host:port`";
    case "path":
      return "path, relative to the file";
    case "name":
    case "boolean":
    case "duration":
    case "share":
    case "object":
      return shape.kind;
    default:
      return shape satisfies never;
  }
}
