/** A YAML node and a shape in, a value out, as far as it fits; every misfit is told with its place. */
import { isMap, isScalar, isSeq, type Node, parseDocument } from "yaml";
import { nearest } from "./near.ts";
import { formatPath, type Path, type Range, spot, type TextDocument, wordOf } from "./read.ts";
import { example, fitting, type Names, offer, quote, readScalar, type ScalarShape } from "./scalar.ts";
import type { Field, ObjectShape, Rough, Shape, ValueOf } from "./shape.ts";

export interface Misfit {
  readonly at: Range;
  readonly path: Path;
  readonly message: string;
  readonly hint: string;
  /** True for what is absent: said of a broken text, that may be the fault of the break. */
  readonly absent: boolean;
}

export interface Scope {
  readonly document: TextDocument;
  readonly names: Names;
  readonly misfits: Misfit[];
  /** Nodes that may still be visited: anchors can make a short text very long. */
  nodesLeft: number;
}

/** More than any text of the permitted size needs without anchors. */
export const nodesMax = 200_000;

interface Spot {
  readonly node: Node | null;
  readonly path: Path;
  readonly at: Range;
}

export function decode<S extends Shape>(scope: Scope, shape: S, node: Node | null, at: Range) {
  return visit(scope, shape, { node, path: [], at }) as Rough<ValueOf<S>> | undefined;
}

function visit(scope: Scope, shape: Shape, { node: written, path, at }: Spot): unknown {
  if (--scope.nodesLeft < 0) return undefined;
  const node = scope.document.resolve(written);
  const spotHere = { node, path, at };
  switch (shape.kind) {
    case "object":
      return visitObject(scope, shape, spotHere);
    case "variant":
      return visitVariant(scope, shape, spotHere);
    case "list":
      return visitList(scope, shape, spotHere);
    case "map":
      return visitMap(scope, shape, spotHere);
    default:
      return visitScalar(scope, shape, spotHere);
  }
}

function visitObject(scope: Scope, shape: ObjectShape, here: Spot): unknown {
  const keys = Object.keys(shape.fields);
  const pairs = pairsOf(scope, here, `a mapping with ${keys.join(", ")}`);
  if (pairs === null) return undefined;
  const unknown = pairs.filter(({ key }) => !Object.hasOwn(shape.fields, key));
  for (const pair of unknown) {
    const hint = offer(pair.key, keys, "key");
    tell(scope, { ...pair, at: pair.keyAt }, `unknown key ${quote(pair.key)}`, hint);
  }
  const entries = Object.entries(shape.fields).map(([key, field]): readonly [string, unknown] => {
    const pair = pairs.find((candidate) => candidate.key === key);
    if (pair && !(field.need !== "required" && isEmpty(scope, pair.node))) {
      return [key, visit(scope, field.shape, pair)];
    }
    if (pair && field.shape.kind === "object") return [key, visit(scope, field.shape, pair)];
    if (field.need === "optional") return [key, null];
    if (field.need === "required") {
      // A misspelt key is one mistake, not two.
      const misspelt = unknown.some((candidate) => nearest(candidate.key, keys) === key);
      if (!misspelt) {
        tell(scope, here, `${formatPath([...here.path, key])} is missing`, missing(key, field), true);
      }
      return [key, undefined];
    }
    const standing = parseDocument(field.need.byDefault).contents;
    return [key, visit(scope, field.shape, { node: standing, path: [...here.path, key], at: here.at })];
  });
  return Object.fromEntries(entries);
}

function visitVariant(scope: Scope, shape: Shape & { kind: "variant" }, here: Spot): unknown {
  const keys = Object.keys(shape.cases);
  const pairs = pairsOf(scope, here, `a mapping with one of ${keys.join(", ")}`);
  if (pairs === null) return undefined;
  const known = pairs.filter(({ key }) => Object.hasOwn(shape.cases, key));
  for (const pair of pairs.filter((candidate) => !known.includes(candidate))) {
    const hint = offer(pair.key, keys, "key");
    tell(scope, { ...pair, at: pair.keyAt }, `unknown key ${quote(pair.key)}`, hint);
  }
  for (const pair of known.slice(1)) {
    const message = `${quote(known[0]!.key)} and ${quote(pair.key)} exclude one another`;
    tell(scope, { ...pair, at: pair.keyAt }, message, "keep one of them");
  }
  const [chosen] = known;
  if (chosen === undefined) {
    if (pairs.length === 0)
      tell(scope, here, `${formatPath(here.path)} is empty`, `write one of ${keys.join(", ")}`);
    return undefined;
  }
  const value = visit(scope, shape.cases[chosen.key]!, chosen);
  return value === undefined ? undefined : { kind: chosen.key, ...(value as object) };
}

function visitList(scope: Scope, shape: Shape & { kind: "list" }, here: Spot): unknown {
  if (!isSeq(here.node)) {
    const dash = isMap(here.node)
      ? ': begin each element with "- "'
      : isScalar(here.node)
        ? `: write [${wordOf(here.node)}]`
        : "";
    tell(scope, here, `found ${describe(here.node)}`, `${formatPath(here.path)} is a list${dash}`);
    return undefined;
  }
  if (here.node.items.length < shape.min) {
    tell(scope, here, `${formatPath(here.path)} is empty`, `it needs ${shape.min} or more`);
  }
  return here.node.items.map((item, index) => {
    const node = item as Node | null;
    return visit(scope, shape.of, { node, path: [...here.path, index], at: spot(null, node) ?? here.at });
  });
}

function visitMap(scope: Scope, shape: Shape & { kind: "map" }, here: Spot): unknown {
  const pairs = pairsOf(scope, here, "a mapping");
  if (pairs === null) return undefined;
  const entries = pairs.map((pair): readonly [string, unknown] => {
    visit(scope, shape.key, { node: pair.keyNode, path: pair.path, at: pair.keyAt });
    return [pair.key, visit(scope, shape.of, pair)];
  });
  return Object.fromEntries(entries);
}

interface PairSpot extends Spot {
  readonly key: string;
  readonly keyNode: Node;
  readonly keyAt: Range;
}

/** The pairs of a mapping, none if nothing is written there; null: it is something else, which is told. */
function pairsOf(scope: Scope, here: Spot, fits: string): readonly PairSpot[] | null {
  if (isEmpty(scope, here.node)) return [];
  if (!isMap(here.node)) {
    tell(scope, here, `found ${describe(here.node)}`, `${formatPath(here.path) || "a document"} is ${fits}`);
    return null;
  }
  const pairs: PairSpot[] = [];
  for (const item of here.node.items) {
    const keyNode = item.key as Node | null;
    const value = item.value as Node | null;
    const keyAt = spot(null, keyNode) ?? here.at;
    if (!isScalar(keyNode) || keyNode.value === null) {
      tell(scope, { ...here, at: keyAt }, `found ${describe(keyNode)} as a key`, "keys are single words");
      continue;
    }
    const key = wordOf(keyNode);
    if (pairs.some((pair) => pair.key === key)) continue;
    pairs.push({
      key,
      keyNode,
      keyAt,
      node: value,
      path: [...here.path, key],
      at: spot(keyNode, value) ?? keyAt,
    });
  }
  return pairs;
}

function visitScalar(scope: Scope, shape: ScalarShape, here: Spot): unknown {
  if (isEmpty(scope, here.node)) {
    tell(scope, here, `${formatPath(here.path)} is empty`, fitting(shape));
    return undefined;
  }
  if (!isScalar(here.node)) {
    tell(scope, here, `found ${describe(here.node)}`, fitting(shape));
    return undefined;
  }
  const outcome = readScalar(shape, here.node.value, wordOf(here.node), scope.names);
  if (outcome.kind === "fits") return outcome.value;
  tell(scope, here, outcome.message, outcome.hint);
  return undefined;
}

function tell(scope: Scope, here: Spot, message: string, hint: string, absent = false): void {
  scope.misfits.push({ at: here.at, path: here.path, message, hint, absent });
}

/** Nothing written, `~` or `null`. */
function isEmpty(scope: Scope, node: Node | null): boolean {
  if (node === null) return true;
  const resolved = scope.document.resolve(node);
  return isScalar(resolved) && resolved.value === null;
}

function describe(node: Node | null): string {
  if (isMap(node)) return "a mapping";
  if (isSeq(node)) return "a list";
  if (isScalar(node)) return node.value === null ? "nothing" : quote(wordOf(node));
  return "an alias without its anchor";
}

function missing(key: string, { shape, doc }: Field): string {
  const sample = example(shape);
  return sample === null ? `add "${key}": ${doc}` : `add "${key}: ${sample}": ${doc}`;
}
