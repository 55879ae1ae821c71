/** A span of time on the command line: `8s`, `500ms`, `2m`. */
import { InvalidArgumentError } from "commander";
import { parseDuration } from "../core/spec/units.ts";

export function parseSpan(text: string): number {
  const span = parseDuration(text);
  if (typeof span !== "number") throw new InvalidArgumentError("a span such as 500ms, 8s or 2m");
  return span;
}
