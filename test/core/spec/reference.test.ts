/** The reference page is what the language says about itself. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { topologySchema } from "../../../src/core/spec/json-schema.ts";
import { referencePage } from "../../../src/core/spec/reference.ts";

const page = new URL("../../../docs/reference/topology.md", import.meta.url);

test("the reference page is what the language says (UPDATE=1 writes it anew)", () => {
  if (process.env.UPDATE === "1") writeFileSync(page, referencePage());
  assert.equal(readFileSync(page, "utf8"), referencePage());
});

test("the reference has every field of the JSON Schema, and no other", () => {
  const documented = [...readFileSync(page, "utf8").matchAll(/^## (\w+)$|^\| `(spec\.[^`]+)` \|/gm)];
  const fields = new Set<string>();
  let kind = "";
  for (const [, heading, field] of documented) {
    if (heading !== undefined) kind = heading;
    else fields.add(`${kind} ${field}`);
  }
  const inSchema = new Set<string>();
  const definitions = topologySchema().definitions as Record<string, Schema>;
  for (const [name, definition] of Object.entries(definitions)) walk(definition, name, inSchema);
  const cases =
    /(store\.(embedded|etcd)|replication\.(a?synchronous)|plane\.haproxy|affinity\.(header|cookie|client)|when\.(header|host|path|network))$/;
  const expected = [...inSchema].filter((path) => path.includes(" spec.") && !cases.test(path));
  assert.deepEqual([...fields].sort(), expected.sort());
});

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
}

function walk(schema: Schema, path: string, found: Set<string>): void {
  for (const [key, below] of Object.entries(schema.properties ?? {})) {
    const at = `${path}${path.includes(" ") ? "." : " "}${key}`;
    found.add(at);
    walk(below, at, found);
  }
  for (const choice of schema.anyOf ?? []) walk(choice, path, found);
  if (schema.items) walk(schema.items, `${path}[]`, found);
}
