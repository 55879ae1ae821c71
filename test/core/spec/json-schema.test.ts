/** The JSON Schema for editors says the same as the compiler. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseAllDocuments } from "yaml";
import { z } from "zod";
import { topologySchema } from "../../../src/core/spec/json-schema.ts";
import { writeTopology } from "../../../src/core/spec/write.ts";
import { topologyArb } from "./arbitrary.ts";
import { compile, edit, exampleNames, exampleText } from "./text.ts";

const { definitions } = topologySchema() as { definitions: Record<string, z.core.JSONSchema.BaseSchema> };
const schemas = new Map(
  Object.entries(definitions).map(([kind, schema]) => [kind, z.fromJSONSchema(schema)]),
);

function fits(text: string): boolean {
  const documents = parseAllDocuments(text).map((document) => document.toJS() as { kind: string });
  return documents.every((document) => schemas.get(document.kind)?.safeParse(document).success ?? false);
}

for (const name of exampleNames) {
  test(`the example ${name} fits the JSON Schema`, () => assert.ok(fits(exampleText(name))));
}

test("what is written from any topology fits the JSON Schema", () => {
  // `__proto__` as a header name is lost on its way through toJS, not through ours.
  fc.assert(
    fc.property(topologyArb, (topology) => assert.ok(fits(writeTopology(topology)))),
    { numRuns: 50 },
  );
});

test("what a field alone makes invalid is refused by the compiler and by the JSON Schema", () => {
  const three = exampleText("three-regions.yaml");
  for (const [from, to] of [
    ["jurisdiction: eu", "juristiction: eu"],
    ["mode: auto", "mode: automatic"],
    ["rto: 15s", "rto: 15"],
    ["99.99%", "99.99"],
    ["  agent: 127.0.0.1:7402\n", ""],
    ["tier: 0", "tier: 10"],
    ["name: orders-db", "name: Orders"],
    ["agent: 127.0.0.1:7401", "agent: 127.0.0.1"],
    ["http://127.0.0.1:8003", "http://127.0.0.1:8003/x"],
    ["    embedded:", "    etcd: { endpoints: [] }\n    embedded:"],
  ] as const) {
    const text = edit(three, from, to);
    assert.equal(compile(text).kind, "invalid", to);
    assert.equal(fits(text), false, to);
  }
});
