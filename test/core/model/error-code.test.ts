/** One register of error codes: what the source says, what the register knows and what the docs tell are the same. */
import assert from "node:assert/strict";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { type ErrorMeaning, errorCodes } from "../../../src/core/model/error-code.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const register = "src/core/model/error-code.ts";
const docs = join(root, "docs", "reference", "errors.md");

/**
 * Code -> files that name it. Codes stand in quotes, or begin a text; what is read as `env.HOLDFAST_...` or given to commander's
 * `new Option(...).env("HOLDFAST_...")` is a variable and no code.
 */
function codesInSource(): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const variables = new Set<string>();
  for (const file of globSync("src/**/*.{ts,tsx}", { cwd: root })) {
    if (file === register) continue;
    const text = readFileSync(join(root, file), "utf8");
    for (const [, code] of text.matchAll(/["`](HOLDFAST_[A-Z0-9_]+)(?:"|: )/g)) {
      const files = found.get(code as string) ?? [];
      if (!files.includes(file)) found.set(code as string, [...files, file]);
    }
    const named = /\.(?:env\(\s*")?(HOLDFAST_[A-Z0-9_]+)/g;
    for (const [, name] of text.matchAll(named)) variables.add(name as string);
    // In a table that is keyed by codes.
    for (const [, code] of text.matchAll(/^\s+(HOLDFAST_[A-Z0-9_]+): /gm)) {
      found.set(code as string, [...(found.get(code as string) ?? []), file]);
    }
  }
  for (const name of variables) found.delete(name);
  return found;
}

function page(): string {
  const rows = (Object.entries(errorCodes) as [string, ErrorMeaning][]).map(
    ([code, { means, retryable, advice }]) =>
      `## ${code}\n\n${means}\n\n- Trying again can help: ${retryable ? "yes" : "no"}\n- What to do: ${advice}\n`,
  );
  return `# Error codes

Errors of agents, edges, fencers and the command line carry one of these codes; over HTTP they come as problem details
(RFC 9457) with the type \`urn:holdfast:problem:CODE\`. This page is written from \`${register}\` by
\`UPDATE=1 node --test test/core/model/error-code.test.ts\`.

${rows.join("\n")}`;
}

test("each code that the source names is in the register", () => {
  const missing = [...codesInSource()].filter(([code]) => !Object.hasOwn(errorCodes, code));
  const told = missing.map(([code, files]) => `${code} (${files.join(", ")})`);
  assert.deepEqual(
    told,
    [],
    `add these to ${register}: what each means, whether it is retryable, what to do`,
  );
});

test("each code of the register is named somewhere in the source", () => {
  const used = codesInSource();
  assert.deepEqual(
    Object.keys(errorCodes).filter((code) => !used.has(code)),
    [],
    `nobody can meet these: remove them from ${register}`,
  );
});

test("the register is in the order of the alphabet, and each meaning and each advice is a sentence", () => {
  const codes = Object.keys(errorCodes);
  assert.deepEqual(codes, [...codes].sort());
  for (const [code, { means, advice }] of Object.entries(errorCodes)) {
    assert.match(means, /^[A-Z].*\.$/, code);
    assert.match(advice, /^[A-Z].*\.$/, code);
  }
});

test("the reference tells of exactly the codes of the register", () => {
  if (process.env.UPDATE === "1") writeFileSync(docs, page());
  assert.equal(readFileSync(docs, "utf8"), page());
});
