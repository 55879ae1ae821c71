/** What is read as a key, and which requests count as the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readKey } from "../../src/sdk/idempotency-key.ts";
import { fingerprintOf, idOf, lockOf } from "../../src/sdk/memory.ts";

test("keys are read with and without quotation marks, and nothing else is a key", () => {
  const rows: readonly [string | null | undefined, string][] = [
    ['"8e03978e-40d5-43dd-bc93-6894a57f9324"', "8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ["8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ['"two words"', "two words"],
    [String.raw`"a \"b\" \\c"`, String.raw`a "b" \c`],
    [null, "missing"],
    [undefined, "missing"],
    ["", "malformed"],
    ['""', "malformed"],
    ['"a', "malformed"],
    [String.raw`"a\b"`, "malformed"],
    ['"a";p=1', "malformed"],
    ["two words", "malformed"],
    ["first, second", "malformed"],
    ["sch\u00f6n", "malformed"],
    ["a\u0000b", "malformed"],
    ["x".repeat(255), "x".repeat(255)],
    ["x".repeat(256), "malformed"],
  ];
  for (const [field, expected] of rows) {
    const read = readKey(field);
    assert.equal(read.kind === "key" ? read.key : read.kind, expected, String(field));
  }
});

test("a key and its scope never run together, whatever they are", () => {
  const text = fc.string({ maxLength: 6, unit: fc.constantFrom("a", "1", ":", "") });
  fc.assert(
    fc.property(text, text, text, text, (scope, key, otherScope, otherKey) => {
      const same = scope === otherScope && key === otherKey;
      assert.equal(idOf(scope, key) === idOf(otherScope, otherKey), same);
    }),
  );
});

test("a lock's name fits PostgreSQL's bigint, on both sides of zero", () => {
  assert.equal(lockOf("0".repeat(64)), 0n);
  assert.equal(lockOf("f".repeat(64)), -1n);
  assert.equal(lockOf(`7${"f".repeat(63)}`), 2n ** 63n - 1n);
  assert.equal(lockOf(`8${"0".repeat(63)}`), -(2n ** 63n));
});

test("requests are the same only with the same method, path, query and body", () => {
  const one = fingerprintOf("POST", "/things?a=1", Buffer.from("x"));
  assert.equal(fingerprintOf("POST", "/things?a=1", "x"), one);
  for (const [method, path, body] of [
    ["PUT", "/things?a=1", "x"],
    ["POST", "/things?a=2", "x"],
    ["POST", "/things?a=1", "y"],
    ["POST", "/things?a=1", ""],
    ["POST", "/things?a=1", undefined],
  ] as const)
    assert.notEqual(fingerprintOf(method, path, body), one);
});
