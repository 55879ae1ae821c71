/** The shapes as `docs/reference/topology.md`: a field that is not in the language cannot be in its reference. */
import { findingCodes } from "./finding.ts";
import { apiVersion, kindNames, kinds } from "./language.ts";
import { describeShape, type Field, type Fields, type Shape } from "./shape.ts";

export function referencePage(): string {
  return `${[
    "# holdfast.yaml, field by field",
    "<!-- Written by test/core/spec/reference.test.ts from src/core/spec/language.ts: run it with UPDATE=1 after a change there. -->",
    introduction,
    ...kindNames.flatMap(kindSection),
    findings(),
  ].join("\n\n")}\n`;
}

const introduction = `One file describes one topology, as YAML documents separated by \`---\`. Each has
\`apiVersion: ${apiVersion}\`, a \`kind\`, a \`metadata.name\` and a \`spec\`. Order matters in two places: the Regions of
the file are the failover plan, and the members of a DataStore are its order of preference.

\`holdfast validate\` tells all problems of a file with their places. \`holdfast check\` computes what it can keep of its
promises. \`holdfast diff\` tells what a change does. \`holdfast schema\` prints a JSON Schema for editors:
\`holdfast schema > holdfast.schema.json\`, then \`# yaml-language-server: $schema=holdfast.schema.json\` as the first line.
[examples/topologies](../../examples/topologies) holds files to begin with.

| notation | means | such as |
|---|---|---|
| name | lower-case letters, digits, hyphens; 63 at most | \`eu-west\` |
| duration | a number with \`ms\`, \`s\`, \`m\`, \`h\` or \`d\`, also several; never without a unit | \`1500ms\`, \`8s\`, \`1m30s\` |
| share | per cent, or 0 to 1 | \`99.99%\`, \`0.9999\` |
| \`host:port\` | host name, IPv4, or IPv6 in brackets | \`10.1.0.5:7400\`, \`[::1]:7400\` |
| path | absolute, or relative to the folder of the file | \`./data/pg-west\` |

Unknown keys are refused. Names, listeners and data folders are unique; YAML anchors may be used, merge keys (\`<<\`)
may not.`;

function kindSection(name: (typeof kindNames)[number]): readonly string[] {
  const { doc, spec } = kinds[name];
  const rows = fieldRows(spec.fields, "spec");
  return [
    `## ${name}`,
    doc,
    ["| field | takes | default | meaning |", "|---|---|---|---|", ...rows].join("\n"),
  ];
}

/** One row a field, in the order of the language; `[]` stands for each element, `*` for each key. */
function fieldRows(fields: Fields, above: string): readonly string[] {
  return Object.entries(fields).flatMap(([key, field]) => {
    const path = `${above}.${key}`;
    return [row(path, field), ...rowsBelow(field.shape, path)];
  });
}

function rowsBelow(shape: Shape, path: string): readonly string[] {
  if (shape.kind === "object") return fieldRows(shape.fields, path);
  if (shape.kind === "list") return rowsBelow(shape.of, `${path}[]`);
  if (shape.kind === "map") return rowsBelow(shape.of, `${path}.*`);
  if (shape.kind !== "variant") return [];
  return Object.entries(shape.cases).flatMap(([key, value]) => fieldRows(value.fields, `${path}.${key}`));
}

function row(path: string, { shape, doc, need }: Field): string {
  const standing =
    typeof need === "object" ? `\`${need.byDefault}\`` : need === "required" ? "required" : "none";
  return `| \`${path}\` | ${takes(shape)} | ${standing} | ${doc} |`;
}

function takes(shape: Shape): string {
  return describeShape(shape).replaceAll("|", "\\|");
}

function findings(): string {
  const rows = Object.entries(findingCodes).map(([code, meaning]) => `| \`${code}\` | ${meaning} |`);
  return ["## Findings of `holdfast check`", ["| code | meaning |", "|---|---|", ...rows].join("\n")].join(
    "\n\n",
  );
}
