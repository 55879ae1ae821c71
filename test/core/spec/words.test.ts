/** Durations, sizes, names and the nearest known word. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { editDistance, nearest } from "../../../src/core/spec/near.ts";
import {
  absolutePath,
  describeSpan,
  formatAddress,
  formatDuration,
  parseAddress,
  parseDuration,
  parseOrigin,
  parseShare,
} from "../../../src/core/spec/units.ts";

function table<In, Out>(name: string, compute: (input: In) => Out, rows: readonly (readonly [In, Out])[]) {
  test(name, () => {
    for (const [input, expected] of rows) assert.deepEqual(compute(input), expected, String(input));
  });
}

table("durations carry a unit", parseDuration, [
  ["1500ms", 1500],
  ["8s", 8000],
  ["1.5s", 1500],
  ["2m", 120_000],
  ["1h", 3_600_000],
  ["1m30s", 90_000],
  ["0.001s", 1],
  ["0", 0],
  ["0.5ms", null],
  ["15", null],
  ["-1s", null],
  ["1 s", null],
  ["s", null],
  ["", null],
]);

table("shares are read to the last digit", parseShare, [
  ["99.99%", 0.9999],
  ["99.9%", 0.999],
  ["0.9999", 0.9999],
  ["1", 1],
  ["100%", 1],
  ["0", 0],
  ["100.1%", null],
  ["99.99", null],
  ["-1", null],
  ["%", null],
]);

table("addresses have a host and a port", parseAddress, [
  ["127.0.0.1:5401", { host: "127.0.0.1", port: 5401 }],
  ["[::1]:5401", { host: "::1", port: 5401 }],
  ["db_1.example:1", { host: "db_1.example", port: 1 }],
  ["a:0", null],
  ["a:65536", null],
  ["a", null],
  [":1", null],
  ["::1:5401", null],
  ["a b:1", null],
]);

table("origins have no path", parseOrigin, [
  ["http://a:8080", { host: "a", port: 8080 }],
  ["https://a.example", { host: "a.example", port: 443 }],
  ["http://[::1]", { host: "::1", port: 80 }],
  ["http://[::1]:81", { host: "::1", port: 81 }],
  ["http://a:8080/", null],
  ["ftp://a", null],
  ["http://u@a", null],
]);

table("paths begin in the folder of the file", (path: string) => absolutePath("/srv/holdfast", path), [
  ["./data", "/srv/holdfast/data"],
  ["../data/", "/srv/data"],
  ["/var//lib/./x", "/var/lib/x"],
  ["../../../..", "/"],
]);

table("spans are told to three digits", describeSpan, [
  [0, "0 s"],
  [850, "850 ms"],
  [6368, "6.37 s"],
  [259_200, "4.32 min"],
  [26_000_000, "7.22 h"],
]);

table(
  "slips are recognised, other words are not",
  (word: string) => nearest(word, ["region", "regions", "rto", "dataStores"]),
  [
    ["regon", "region"],
    ["data_stores", "dataStores"],
    ["RTO", "rto"],
    ["rot", "rto"],
    ["capacity", null],
    ["", null],
  ],
);

test("a duration that is formatted is read as itself", () => {
  fc.assert(
    fc.property(fc.nat({ max: 31_536_000_000 }), (ms) => assert.equal(parseDuration(formatDuration(ms)), ms)),
  );
});

test("an address that is formatted is read as itself", () => {
  const host = fc.constantFrom("a", "10.0.0.1", "::1", "fe80::1", "x-y.example");
  fc.assert(
    fc.property(host, fc.integer({ min: 1, max: 65_535 }), (name, port) => {
      assert.deepEqual(parseAddress(formatAddress({ host: name, port })), { host: name, port });
    }),
  );
});

test("the edit distance is symmetric, and zero only between equal words", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 6 });
  fc.assert(
    fc.property(word, word, (a, b) => {
      assert.equal(editDistance(a, b), editDistance(b, a));
      assert.equal(editDistance(a, b) === 0, a === b);
      assert.ok(editDistance(a, b) <= Math.max(a.length, b.length));
    }),
  );
});
