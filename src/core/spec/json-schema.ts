/** The shapes as a JSON Schema (draft 7, which editors understand): each document of the file is checked by it. */
import { apiVersion, documentShape, kindNames } from "./language.ts";
import { namePattern } from "./scalar.ts";
import type { Field, Shape } from "./shape.ts";
import { addressPattern, originPattern } from "./units.ts";

export type JsonSchema = { readonly [key: string]: unknown };

const durationPattern = "^(0|([0-9]{1,12}(\\.[0-9]{1,6})?(ms|s|m|h|d))+)$";
const sharePattern = "^([0-9]{1,3}(\\.[0-9]{1,15})?|\\.[0-9]{1,15})%?$";

export function topologySchema(): JsonSchema {
  const kind = { description: "What the document describes.", enum: kindNames };
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: `One document of a holdfast.yaml (${apiVersion})`,
    type: "object",
    required: ["apiVersion", "kind", "metadata", "spec"],
    properties: { kind },
    // Conditions rather than oneOf: an editor then complains about the field, not about all five kinds.
    allOf: kindNames.map((name) => ({
      if: { properties: { kind: { not: { const: name } } } },
      else: { $ref: `#/definitions/${name}` },
    })),
    definitions: Object.fromEntries(kindNames.map((name) => [name, schemaOf(documentShape(name))])),
  };
}

function schemaOf(shape: Shape): JsonSchema {
  switch (shape.kind) {
    case "name":
    case "reference":
      return { type: "string", pattern: namePattern };
    case "text":
      return { type: "string", ...(shape.pattern === undefined ? {} : { pattern: shape.pattern }) };
    case "choice":
      return { type: "string", enum: shape.values };
    case "integer":
    case "number":
      return { type: shape.kind, minimum: shape.min, maximum: shape.max };
    case "count":
      return {
        anyOf: [
          { type: "integer", minimum: shape.min, maximum: shape.max },
          { type: "string", const: shape.or },
        ],
      };
    case "boolean":
      return { type: "boolean" };
    case "duration":
      return {
        anyOf: [
          { type: "string", pattern: durationPattern },
          { type: "number", const: 0 },
        ],
      };
    case "share":
      return {
        anyOf: [
          { type: "string", pattern: sharePattern },
          { type: "number", minimum: 0, maximum: 1 },
        ],
      };
    case "address":
      return { type: "string", pattern: addressPattern };
    case "origin":
      return { type: "string", pattern: originPattern };
    case "path":
      return { type: "string", minLength: 1 };
    case "list":
      return {
        type: "array",
        items: schemaOf(shape.of),
        ...(shape.min === 0 ? {} : { minItems: shape.min }),
      };
    case "map":
      return { type: "object", propertyNames: schemaOf(shape.key), additionalProperties: schemaOf(shape.of) };
    case "variant":
      return {
        type: "object",
        minProperties: 1,
        maxProperties: 1,
        additionalProperties: false,
        properties: mapValues(shape.cases, (value) => orNothing(schemaOf(value))),
      };
    case "object": {
      const needed = Object.keys(shape.fields).filter((key) => shape.fields[key]!.need === "required");
      return {
        type: "object",
        additionalProperties: false,
        ...(needed.length === 0 ? {} : { required: needed }),
        properties: mapValues(shape.fields, fieldSchema),
      };
    }
    default:
      return shape satisfies never;
  }
}

function fieldSchema({ shape, doc, need }: Field): JsonSchema {
  const schema = schemaOf(shape);
  const fallback = typeof need === "object" ? ` Default: ${need.byDefault}.` : "";
  // A key with nothing behind it stands for its default.
  const value = need === "required" && shape.kind !== "object" ? schema : orNothing(schema);
  return { description: `${doc}${fallback}`, ...value };
}

function orNothing(schema: JsonSchema): JsonSchema {
  const { type, enum: values } = schema;
  if (typeof type !== "string") return { anyOf: [schema, { type: "null" }] };
  // One schema with two types, so that editors complain about the field that is wrong, not about the alternative.
  return { ...schema, type: [type, "null"], ...(Array.isArray(values) ? { enum: [...values, null] } : {}) };
}

function mapValues<V>(record: Readonly<Record<string, V>>, change: (value: V) => JsonSchema): JsonSchema {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}
