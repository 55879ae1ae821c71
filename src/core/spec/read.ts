/** Text in, YAML documents with places out; what is not even YAML is told here. */
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  type ParsedNode,
  parseAllDocuments,
  type Scalar,
  visit,
} from "yaml";
import { countLines } from "./lines.ts";
import type { Place, Problem, Related } from "./problem.ts";

/** A topology of 100 regions is some 100 KB; more is not a topology, and parsing it would hold up its reader. */
export const textMax = 1_000_000;

export interface Reading {
  readonly file: string;
  readonly documents: readonly TextDocument[];
  /** Grows while the text is read, decoded and ruled upon. */
  readonly problems: Problem[];
  place(range: Range): Place;
}

export interface TextDocument {
  readonly content: ParsedNode | null;
  /** The line from which on it makes no sense; Infinity: all of it is YAML. */
  readonly soundUntilLine: number;
  /** True when an open quote or bracket runs on into what was meant to be other documents. */
  readonly swallows: boolean;
  resolve(node: Node | null): Node | null;
}

/** Offsets in the text: from, to (exclusive). */
export type Range = readonly [from: number, to: number];
export type Path = readonly (string | number)[];

export function readText(text: string, file: string): Reading {
  const lines = countLines(text);
  const place = ([from, to]: Range): Place => {
    return { ...lines.position(from), length: Math.max(1, to - from) };
  };
  const problems: Problem[] = [];
  const tell = (at: Range, message: string, hint: string, related: readonly Related[] = []) =>
    problems.push({ severity: "error", file, path: "", message, hint, related, ...place(at) });

  if (text.length > textMax) {
    tell([0, 1], `the file has ${text.length} characters`, `a topology has ${textMax} at most`);
    return { file, documents: [], problems, place };
  }
  const parsed = parse(text);
  if (parsed === null) {
    tell([0, 1], "the file nests too deeply to be read", "a topology nests some ten levels");
    return { file, documents: [], problems, place };
  }
  const documents = parsed.map((document): TextDocument => {
    let soundUntilLine = Number.POSITIVE_INFINITY;
    for (const error of [...document.errors, ...document.warnings]) {
      const [end, to] = error.pos;
      const from = error.message.includes("quote") ? (openQuote(document, end) ?? end) : end;
      const word = /^[^\s:,}]*/.exec(text.slice(from, from + 80))?.[0] ?? "";
      const [message, hint] = explain(error.code, error.message, word);
      tell([from, Math.max(to, from + word.length)], message, hint);
      if (error.code !== "DUPLICATE_KEY" && error.code !== "TAG_RESOLVE_FAILED") {
        soundUntilLine = Math.min(soundUntilLine, place(error.pos).line);
      }
    }
    return {
      content: document.contents,
      swallows: Number.isFinite(soundUntilLine) && swallows(document, text),
      soundUntilLine,
      resolve: (node) => (isAlias(node) ? (node.resolve(document) ?? node) : node),
    };
  });
  return { file, documents, problems, place };
}

/** A quote that is never closed is missed at the end of the text, and mended where it begins. */
function openQuote(document: Document.Parsed, end: number): number | null {
  let opened: number | null = null;
  visit(document, {
    Scalar(_key, { type, range }) {
      if (type?.startsWith("QUOTE") && range && range[0] <= end && end <= range[2]) opened = range[0];
    },
  });
  return opened;
}

function swallows({ contents }: Document.Parsed, text: string): boolean {
  return contents !== null && /\n---(\s|$)/.test(text.slice(contents.range[0], contents.range[2]));
}

/** null: the parser's recursion ran out of stack, which `[[[[...` can bring about within any limit of size. */
function parse(text: string): readonly Document.Parsed[] | null {
  try {
    const parsed = parseAllDocuments(text, { prettyErrors: false, logLevel: "error" });
    return Array.isArray(parsed) ? parsed : [];
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function explain(code: string, message: string, found: string): readonly [message: string, hint: string] {
  switch (code) {
    case "DUPLICATE_KEY":
      return [`the key ${found} is written twice in one mapping`, "keep one of the two"];
    case "TAB_AS_INDENT":
      return ["a tab indents this line", "YAML indents with spaces"];
    case "BAD_INDENT":
      return [message, "lines of one mapping begin in the same column; brackets are closed"];
    case "TAG_RESOLVE_FAILED":
      return [`the tag ${found} means nothing here`, "leave it out"];
    case "MISSING_CHAR":
      if (!message.includes("quote"))
        return [message, "brackets and braces are closed before the next document"];
      return ["this quote is never closed", "close it, or leave both out"];
    case "BLOCK_AS_IMPLICIT_KEY":
      return [message, 'put text that contains ": " in quotes'];
    default:
      return [message, "this is YAML's own syntax: see https://yaml.org/spec/1.2.2"];
  }
}

/** The value below `key` of a mapping; undefined: no such key, or no mapping. */
export function pairOf(document: TextDocument, node: Node | null, key: string | number) {
  const resolved = document.resolve(node);
  if (isSeq(resolved) && typeof key === "number") {
    const item = resolved.items[key];
    return isNode(item) ? { key: null, value: item } : undefined;
  }
  if (!isMap(resolved)) return undefined;
  const pair = resolved.items.find((item) => isScalar(item.key) && wordOf(item.key) === key);
  if (pair === undefined) return undefined;
  return { key: pair.key as Node, value: isNode(pair.value) ? pair.value : null };
}

/** What a scalar says: `1`, `true` and `null` as they are written. */
export function wordOf({ value, source }: Scalar): string {
  return typeof value === "string" ? value : (source ?? "null");
}

/** Where a pair is best pointed at: at its value if that is one word, else at its key, else where it begins. */
export function spot(key: Node | null, value: Node | null): Range | null {
  const word = isScalar(value) || isAlias(value) ? value.range : null;
  if (word && word[0] < word[1]) return [word[0], word[1]];
  const range = key?.range ?? value?.range;
  return range ? [range[0], range[1]] : null;
}

/** The place of what `path` leads to, or of the nearest thing around it that is written. */
export function rangeOf(document: TextDocument, path: Path): Range {
  let range: Range = spot(null, document.content) ?? [0, 1];
  let node: Node | null = document.content;
  for (const step of path) {
    const pair = pairOf(document, node, step);
    if (pair === undefined) break;
    range = spot(pair.key, pair.value) ?? range;
    node = pair.value;
  }
  return range;
}

/** `["spec", "members", 1, "region"]` -> `spec.members[1].region`. */
export function formatPath(path: Path): string {
  return path
    .map((step) => (typeof step === "number" ? `[${step}]` : `.${step}`))
    .join("")
    .replace(/^\./, "");
}
