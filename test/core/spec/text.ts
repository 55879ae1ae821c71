/** Texts that tests compile: the examples, and how to break them. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Topology } from "../../../src/core/model/topology.ts";
import { type Compiled, compileTopology } from "../../../src/core/spec/spec.ts";

const folder = new URL("../../../examples/topologies/", import.meta.url);
export const exampleNames = [
  "three-regions.yaml",
  "two-regions-and-witness.yaml",
  "sovereignty.yaml",
] as const;

export function exampleText(name: (typeof exampleNames)[number]): string {
  return readFileSync(new URL(name, folder), "utf8");
}

export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

export function compile(text: string, baseDir = "/srv/holdfast"): Compiled {
  return compileTopology({ text, file: "holdfast.yaml", baseDir }, sha256);
}

export function topologyOf(text: string): Topology {
  const compiled = compile(text);
  if (compiled.kind === "valid") return compiled.topology;
  throw new Error(
    compiled.problems.map(({ line, message, hint }) => `${line}: ${message}; ${hint}`).join("\n"),
  );
}

/** Replaces the first `from`, which must be there: an edit that does nothing proves nothing. */
export function edit(text: string, from: string, to: string): string {
  if (!text.includes(from)) throw new Error(`not in the text: ${from}`);
  return text.replace(from, () => to);
}

/** Takes out the document that bears this name. */
export function dropDocument(text: string, name: string): string {
  const documents = text.split("---\n");
  const left = documents.filter((document) => !document.includes(`metadata:\n  name: ${name}\n`));
  if (left.length !== documents.length - 1) throw new Error(`not one document in the text: ${name}`);
  return left.join("---\n");
}
