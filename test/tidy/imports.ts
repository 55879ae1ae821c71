/** Source text in, what it imports out; and the circles among all of that. */
import { dirname, join, normalize } from "node:path";

export interface Import {
  /** Path of the importing file, from the root of the repository. */
  readonly from: string;
  /** The same for a file of ours; else as it is written: `node:fs`, `zod`, `hono/streaming`. */
  readonly to: string;
  readonly isOurs: boolean;
}

const statement = /^(?:import|export)\s(?:[\w$*{}\s,]+?\sfrom\s)?"([^"]+)"/gm;
const dynamic = /\bimport\(\s*"([^"]+)"\s*\)/g;

/** `import type`, re-exports and `import()` of a literal too. */
export function importsOf(file: string, text: string): readonly Import[] {
  return [...text.matchAll(statement), ...text.matchAll(dynamic)].map(([, specifier = ""]) => {
    const isOurs = specifier.startsWith(".");
    return { from: file, to: isOurs ? normalize(join(dirname(file), specifier)) : specifier, isOurs };
  });
}

/** Each circle once, as the files on it in order; empty: the drawing of the imports has a direction. */
export function circlesIn(imports: readonly Import[]): readonly (readonly string[])[] {
  const next = new Map<string, string[]>();
  for (const { from, to, isOurs } of imports) if (isOurs) next.set(from, [...(next.get(from) ?? []), to]);
  const circles: string[][] = [];
  const done = new Set<string>();
  const walk = (file: string, path: readonly string[]) => {
    const at = path.indexOf(file);
    if (at >= 0) {
      circles.push([...path.slice(at), file]);
      return;
    }
    if (done.has(file)) return;
    for (const to of next.get(file) ?? []) walk(to, [...path, file]);
    done.add(file);
  };
  for (const file of next.keys()) walk(file, []);
  return circles;
}
