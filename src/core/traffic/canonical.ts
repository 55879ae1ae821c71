/** One text for one value: canonical JSON, so that a digest and a signature mean the same everywhere. */
import { invariant } from "../model/invariant.ts";

/**
 * JSON with keys in the order of their UTF-16 code units and no white space, as in RFC 8785.
 * Keys whose value is `undefined` are left out. Only finite numbers: `NaN` would come back as `null`.
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") {
    invariant(Number.isFinite(value), `no canonical JSON for the number ${value}`);
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  invariant(typeof value === "object", `no canonical JSON for a ${typeof value}`);
  const record = value as Readonly<Record<string, unknown>>;
  // A loop and not filter, map and join: a table of a thousand services is written twice each time it is judged.
  let text = "";
  for (const key of Object.keys(record).sort()) {
    const field = record[key];
    if (field !== undefined)
      text += `${text === "" ? "" : ","}${JSON.stringify(key)}:${canonicalJson(field)}`;
  }
  return `{${text}}`;
}
