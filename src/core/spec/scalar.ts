/** One written word and a shape in, its value out, or what was found and what fits. */
import { nearest } from "./near.ts";
import type { Referable, Shape } from "./shape.ts";
import { formatDuration, parseAddress, parseDuration, parseOrigin, parseShare } from "./units.ts";

export type ScalarShape = Exclude<Shape, { kind: "object" | "variant" | "list" | "map" }>;
/** What there is to refer to. A kind is absent when not all of its names could be read: then nothing is called unknown. */
export type Names = Readonly<Partial<Record<Referable, readonly string[]>>>;

export type ScalarOutcome =
  | { readonly kind: "fits"; readonly value: string | number | boolean | object }
  | { readonly kind: "misfits"; readonly message: string; readonly hint: string };

/** RFC 1123: names become parts of host names, of file names and of keys in the store. */
export const namePattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";

/** `value` is what YAML made of `source`. */
export function readScalar(shape: ScalarShape, value: unknown, source: string, names: Names): ScalarOutcome {
  const misfit = (hint = fitting(shape)): ScalarOutcome => ({
    kind: "misfits",
    message: `found ${describeScalar(value)}`,
    hint,
  });
  const outcome = <T extends string | number | object>(parsed: T | null, hint?: string): ScalarOutcome =>
    parsed === null ? misfit(hint) : { kind: "fits", value: parsed };

  switch (shape.kind) {
    case "boolean":
      return typeof value === "boolean" ? { kind: "fits", value } : misfit();
    case "count":
      if (value === shape.or) return { kind: "fits", value: shape.or };
      return outcome(
        Number.isInteger(value) && shape.min <= Number(value) && Number(value) <= shape.max
          ? Number(value)
          : null,
      );
    case "integer":
    case "number": {
      if (typeof value === "string" && value.trim() !== "" && Number.isFinite(Number(value))) {
        return misfit(`${fitting(shape)}, without quotes`);
      }
      const fits =
        typeof value === "number" &&
        Number.isFinite(value) &&
        shape.min <= value &&
        value <= shape.max &&
        (shape.kind === "number" || Number.isInteger(value));
      return outcome(fits ? value + 0 : null);
    }
    case "share":
      return outcome(
        typeof value === "number" || typeof value === "string" ? parseShare(source) : null,
        typeof value === "number" && 1 < value && value <= 100 ? `write ${source}% for per cent` : undefined,
      );
    case "duration": {
      const ms = typeof value === "string" || value === 0 ? parseDuration(String(value)) : null;
      if (ms === null && typeof value === "number") {
        return misfit(`a duration has a unit: ${source}ms, ${source}s, ${source}m or ${source}h`);
      }
      return outcome(ms !== null && shape.minMs <= ms && ms <= shape.maxMs ? ms : null);
    }
    default:
      break;
  }
  if (typeof value !== "string") {
    const quoted = typeof value === "number" || typeof value === "boolean";
    return misfit(
      quoted ? `${fitting(shape)}; text that looks like a ${typeof value} needs quotes` : undefined,
    );
  }
  switch (shape.kind) {
    case "name":
      return outcome(new RegExp(namePattern).test(value) ? value : null);
    case "reference": {
      const known = names[shape.to];
      if (known === undefined || known.includes(value)) return { kind: "fits", value };
      const label = shape.to === "Jurisdiction" ? "jurisdiction" : shape.to;
      return {
        kind: "misfits",
        message: `unknown ${label} ${quote(value)}`,
        hint: offer(value, known, label),
      };
    }
    case "choice":
      if (shape.values.includes(value)) return { kind: "fits", value };
      return misfit(offer(value, shape.values, "value"));
    case "text":
      return outcome(shape.pattern === undefined || new RegExp(shape.pattern).test(value) ? value : null);
    case "address":
      return outcome(parseAddress(value));
    case "origin": {
      const withoutPath = value.replace(/^(https?:\/\/[^/]+)\/.*$/, "$1");
      const hint = parseOrigin(withoutPath) ? `leave out the path: ${withoutPath}` : undefined;
      return outcome(parseOrigin(value) === null ? null : value, hint);
    }
    case "path":
      // PostgreSQL and SQLite take paths as C strings.
      return outcome(value !== "" && !value.includes("\0") ? value : null);
    default:
      return shape satisfies never;
  }
}

/** `did you mean "eu-west"?` where one is near, and what there is. */
export function offer(word: string, known: readonly string[], label: string): string {
  if (known.length === 0) return `the file has no ${label} yet`;
  const near = nearest(word, known);
  const shown = known.length <= 12 ? known.join(", ") : `${known.slice(0, 12).join(", ")}, ...`;
  return near === null ? `choose from ${shown}` : `did you mean ${quote(near)}? Choose from ${shown}`;
}

/** What fits, for people. */
export function fitting(shape: ScalarShape): string {
  switch (shape.kind) {
    case "name":
      return "a name is lower-case letters, digits and hyphens, 63 at most, such as eu-west";
    case "reference":
      return `it takes the name of a ${shape.to}`;
    case "text":
      return `it takes ${shape.fits}, such as ${shape.example}`;
    case "choice":
      return shape.values.length === 1
        ? `write ${shape.values[0]}`
        : `write one of ${shape.values.join(", ")}`;
    case "integer":
      return `it takes a whole number from ${shape.min} to ${shape.max}`;
    case "count":
      return `it takes a whole number from ${shape.min} to ${shape.max}, or ${shape.or}`;
    case "number":
      return `it takes a number from ${shape.min} to ${shape.max}`;
    case "boolean":
      return "write true or false";
    case "duration":
      return `it takes a duration from ${formatDuration(shape.minMs)} to ${formatDuration(shape.maxMs)}, such as ${shape.example}`;
    case "share":
      return `it takes a share from 0 to 1 or in per cent, such as ${shape.example}`;
    case "address":
      return `it takes host:port with a port from 1 to 65535, such as ${shape.example}`;
    case "origin":
      return `it takes scheme, host and port, such as ${shape.example}`;
    case "path":
      return `it takes a path, relative to the file or absolute, such as ${shape.example}`;
    default:
      return shape satisfies never;
  }
}

/** Something that would fit, for "add this line"; null: nothing would that could be copied. */
export function example(shape: Shape): string | null {
  switch (shape.kind) {
    case "name":
      return "eu-west";
    case "text":
    case "count":
    case "integer":
    case "number":
    case "duration":
    case "share":
    case "address":
    case "origin":
    case "path":
      return String(shape.example);
    case "boolean":
      return "true";
    case "choice":
      return shape.values[0] ?? null;
    default:
      return null;
  }
}

function describeScalar(value: unknown): string {
  return typeof value === "string" ? quote(value) : `the ${typeof value} ${String(value)}`;
}

/** In quotes, with whatever could move a terminal's cursor escaped, and not endless. */
export function quote(text: string): string {
  return JSON.stringify(text.length <= 80 ? text : `${text.slice(0, 77)}...`).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (found) => `\\u${found.codePointAt(0)!.toString(16).padStart(4, "0")}`,
  );
}
