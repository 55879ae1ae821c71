/**
 * One text for one value: canonical JSON, so that a digest and a signature mean the same everywhere.
 *
 * A value whose fields lie in order already costs a look at them and one call of the engine. So who makes a table lays it out
 * in order, and each of the many who read it has its canonical text for a fraction of what sorting takes.
 */
import { invariant } from "../model/invariant.ts";

/**
 * JSON with keys in the order of their UTF-16 code units and no white space, as in RFC 8785.
 * Keys whose value is `undefined` are left out. Only finite numbers: `NaN` would come back as `null`.
 */
export function canonicalJson(value: unknown): string {
  return isInOrder(value) ? JSON.stringify(value) : sortedJson(value);
}

/**
 * The same value with its fields in canonical order, as deep as it goes; `undefined` ones are left out. (Names that are
 * whole numbers have an order of their own in JavaScript: `canonicalJson` is right about them all the same.)
 */
export function inCanonicalOrder<T>(value: T): T {
  if (Array.isArray(value)) return value.map(inCanonicalOrder) as T;
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  // Not by assignment: `__proto__` is a name like any other here.
  return Object.fromEntries(
    entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, field]) => [key, inCanonicalOrder(field)]),
  ) as T;
}

/** And holds nothing that `JSON.stringify` would write otherwise. */
function isInOrder(value: unknown): boolean {
  if (value === null || typeof value === "boolean" || typeof value === "string") return true;
  if (typeof value === "number") return Number.isFinite(value);
  if (Array.isArray(value)) return value.every(isInOrder);
  if (typeof value !== "object") return false;
  const record = value as Readonly<Record<string, unknown>>;
  let before = "";
  for (const key of Object.keys(record)) {
    if (key < before) return false;
    before = key;
    const field = record[key];
    if (field !== undefined && !isInOrder(field)) return false;
  }
  return true;
}

function sortedJson(value: unknown): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") {
    invariant(Number.isFinite(value), `no canonical JSON for the number ${value}`);
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map(sortedJson).join(",")}]`;
  invariant(typeof value === "object", `no canonical JSON for a ${typeof value}`);
  const record = value as Readonly<Record<string, unknown>>;
  let text = "";
  for (const key of Object.keys(record).sort()) {
    const field = record[key];
    if (field !== undefined) text += `${text === "" ? "" : ","}${JSON.stringify(key)}:${sortedJson(field)}`;
  }
  return `{${text}}`;
}
