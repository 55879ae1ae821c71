/** The text of `holdfast.yaml` in; the topology out, or everything that is wrong with it. */
import type { Node } from "yaml";
import type { Topology } from "../model/topology.ts";
import { assemble } from "./assemble.ts";
import { decode, type Misfit, nodesMax, type Scope } from "./decode.ts";
import type { Breach, Draft, Drafts } from "./draft.ts";
import { apiVersion, documentShape, type KindName, kindNames } from "./language.ts";
import { nearest } from "./near.ts";
import { type Place, type Problem, sortProblems } from "./problem.ts";
import {
  formatPath,
  type Path,
  pairOf,
  type Range,
  type Reading,
  rangeOf,
  readText,
  type TextDocument,
} from "./read.ts";
import { breaches } from "./rules.ts";
import { type Names, offer, quote } from "./scalar.ts";
import type { Referable } from "./shape.ts";

export interface Source {
  readonly text: string;
  /** As people know it; stands in problems. */
  readonly file: string;
  /** Absolute; relative paths in the text begin here. */
  readonly baseDir: string;
}

export type Compiled =
  | {
      readonly kind: "valid";
      readonly topology: Topology;
      /** `DataStore/orders-db` -> where its name stands. */
      readonly places: ReadonlyMap<string, Place>;
    }
  /** All problems, in the order of the text; at least one. */
  | { readonly kind: "invalid"; readonly problems: readonly Problem[] };

/** Never throws, whatever the text is. `digest`: SHA-256 of a text, hexadecimal. */
export function compileTopology(source: Source, digest: (text: string) => string): Compiled {
  const reading = readText(source.text, source.file);
  const written = reading.documents.filter(isWritten);
  const names = namesIn(written);
  const found: Found = { Topology: [], Region: [], DataStore: [], Service: [], Edge: [], Router: [] };
  for (const document of written) decodeDocument(reading, document, names, found);

  const drafts = found as Drafts;
  const tell = (breach: Breach) => reading.problems.push(problemOf(source.file, breach));
  for (const breach of breaches(drafts, source.baseDir)) tell(breach);
  if (written.every((document) => isSound(document) && kindOf(document) !== null))
    tellAbsentKinds(reading, written);
  if (reading.problems.length > 0) return { kind: "invalid", problems: sortProblems(reading.problems) };

  const all = kindNames.flatMap((kind): readonly Draft<KindName>[] => drafts[kind]);
  const places = all.map((draft) => [`${draft.kind}/${draft.name}`, draft.at(["metadata", "name"])] as const);
  return {
    kind: "valid",
    topology: assemble(drafts, source.baseDir, digest),
    places: new Map(places),
  };
}

type Found = Record<KindName, Draft<KindName>[]>;

/** A comment or a closing `---` is a document too, and says nothing. */
function isWritten(document: TextDocument): boolean {
  const { content } = document;
  return content !== null && !("value" in content && content.value === null);
}

function decodeDocument(reading: Reading, document: TextDocument, names: Names, found: Found): void {
  const misfits: Misfit[] = [];
  const scope: Scope = { document, names, misfits, nodesLeft: nodesMax };
  const at = rangeOf(document, []);
  const kind = kindOf(document);
  const exact = kindNames.find((candidate) => candidate === kind?.value);
  if (exact === undefined) {
    misfits.push(kind === null ? kindMissing(document, at) : kindUnknown(kind));
  } else {
    const value = decode(scope, documentShape(exact), document.content, rangeOf(document, ["kind"]));
    const name = value?.metadata?.name;
    const place = (path: Path) => reading.place(rangeOf(document, path));
    // The shape of a document is one of six, and `found` keeps each under its own kind.
    found[exact].push({ kind: exact, name, spec: value?.spec ?? {}, at: place } as Draft<KindName>);
  }
  if (scope.nodesLeft < 0) {
    misfits.push({
      at,
      path: [],
      message: "anchors make this document too large",
      hint: "write it out",
      absent: false,
    });
  }
  const label = kind === null ? "" : `${kind.value}/${nameIn(document) ?? "?"} `;
  for (const { at: range, path, message, hint, absent } of misfits) {
    const place = reading.place(range);
    const sound =
      place.line < document.soundUntilLine && !(absent && Number.isFinite(document.soundUntilLine));
    if (!sound) continue;
    const where = `${label}${formatPath(path)}`.trimEnd();
    reading.problems.push({
      severity: "error",
      file: reading.file,
      path: where,
      message,
      hint,
      related: [],
      ...place,
    });
  }
}

function kindMissing(document: TextDocument, at: Range): Misfit {
  const hint = `a document begins with "apiVersion: ${apiVersion}" and "kind: ", one of ${kindNames.join(", ")}`;
  const pair = pairOf(document, document.content, "kind");
  const message = pair === undefined ? "found a document without a kind" : "found a kind that is not a word";
  return { at, path: ["kind"], message, hint, absent: true };
}

function kindUnknown(kind: { readonly value: string; readonly at: Range }): Misfit {
  const message = `unknown kind ${quote(kind.value)}`;
  return { at: kind.at, path: ["kind"], message, hint: offer(kind.value, kindNames, "kind"), absent: false };
}

function kindOf(document: TextDocument): { readonly value: string; readonly at: Range } | null {
  const value = textAt(document, ["kind"]);
  return value === null ? null : { value, at: rangeOf(document, ["kind"]) };
}

function nameIn(document: TextDocument): string | null {
  return textAt(document, ["metadata", "name"]);
}

function textAt(document: TextDocument, path: Path): string | null {
  let node: Node | null = document.content;
  for (const step of path) {
    const pair = pairOf(document, node, step);
    if (pair === undefined) return null;
    node = document.resolve(pair.value);
  }
  return node !== null && "value" in node && typeof node.value === "string" ? node.value : null;
}

/** What references may name, also from documents with other faults: one mistake is told once. */
function namesIn(documents: readonly TextDocument[]): Names {
  const names = { Region: new Set<string>(), DataStore: new Set<string>(), Jurisdiction: new Set<string>() };
  const incomplete = new Set<Referable>();
  const note = (to: Referable, name: string | null) => {
    if (name === null) incomplete.add(to);
    else names[to].add(name);
  };
  for (const document of documents) {
    const kind = nearest(kindOf(document)?.value ?? "", kindNames);
    if (kind === "Region") note("Jurisdiction", textAt(document, ["spec", "jurisdiction"]));
    if (kind === "Region" || kind === "DataStore") note(kind, nameIn(document));
    // It could be any of them.
    if (kind === null || document.swallows)
      for (const to of ["Region", "DataStore", "Jurisdiction"] as const) incomplete.add(to);
  }
  const complete = Object.entries(names).filter(([to]) => !incomplete.has(to as Referable));
  return Object.fromEntries(complete.map(([to, known]) => [to, [...known]]));
}

function isSound(document: TextDocument): boolean {
  return document.soundUntilLine === Number.POSITIVE_INFINITY;
}

function tellAbsentKinds(reading: Reading, documents: readonly TextDocument[]): void {
  const near = new Set(documents.map((document) => nearest(kindOf(document)?.value ?? "", kindNames)));
  for (const kind of ["Topology", "Region"] as const) {
    if (near.has(kind)) continue;
    const message = `the file has no ${kind}`;
    const hint = `add a document with "apiVersion: ${apiVersion}" and "kind: ${kind}"; examples/topologies shows how`;
    const place = reading.place([0, 1]);
    reading.problems.push({
      severity: "error",
      file: reading.file,
      path: "",
      message,
      hint,
      related: [],
      ...place,
    });
  }
}

function problemOf(file: string, { draft, path, message, hint, first }: Breach): Problem {
  const where = `${draft.kind}/${draft.name ?? "?"} ${formatPath(path)}`;
  const related = first ? [{ ...first.draft.at(first.path), label: first.label }] : [];
  return { severity: "error", file, path: where, message, hint, related, ...draft.at(path) };
}
