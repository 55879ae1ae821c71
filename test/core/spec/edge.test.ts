/** How an edge serves, in a topology: absent unless asked for, compiled to what the edge reads, refused where it cannot hold. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { servingFields } from "../../../src/core/spec/edge.ts";
import { compileTopology } from "../../../src/core/spec/spec.ts";
import { compile, edit, exampleText, topologyOf } from "./text.ts";

const three = exampleText("three-regions.yaml");

/** Lines below the `spec` of the first edge. */
function withEdge(...lines: readonly string[]): string {
  const stateDir = "  stateDir: ./state/edge-west";
  return edit(three, stateDir, [stateDir, ...lines.map((line) => `  ${line}`)].join("\n"));
}

const tls = (listen: string, more = "") =>
  `tls: { listen: "${listen}", certificates: [{ certFile: ./tls/a.crt, keyFile: /tls/a.key }]${more} }`;

test("nothing is there unless it is asked for", () => {
  const [edge] = topologyOf(three).edges;
  for (const word of Object.keys(servingFields)) assert.ok(!Object.hasOwn(edge ?? {}, word), word);
});

test("what is asked for is there, with its defaults and with absolute paths", () => {
  const text = withEdge(
    "processes: auto",
    tls("127.0.0.1:8443"),
    "cache: true",
    "concurrency: { most: 64 }",
    "trustedProxies: [10.0.0.0/8]",
  );
  const { processes, tls: listener, cache, concurrency, trustedProxies } = topologyOf(text).edges[0] ?? {};
  assert.equal(processes, "auto");
  assert.deepEqual(listener?.listen, { host: "127.0.0.1", port: 8443 });
  assert.match(String(listener?.certificates[0]?.certFile), /^\/.*\/tls\/a\.crt$/);
  assert.equal(listener?.certificates[0]?.keyFile, "/tls/a.key");
  assert.equal(listener?.minVersion, "TLSv1.2");
  assert.equal(cache, true);
  assert.deepEqual(concurrency, { least: 32, most: 64 });
  assert.deepEqual(trustedProxies, ["10.0.0.0/8"]);
});

test("words of edges that are not used leave the digest of a file as it was before there were any", () => {
  let digested = "";
  compileTopology({ text: three, file: "holdfast.yaml", baseDir: "/srv" }, (text) => {
    digested = text;
    return "";
  });
  assert.match(digested, /"stateDir":/);
  for (const word of Object.keys(servingFields)) assert.ok(!digested.includes(`"${word}":`), word);
});

/** One line, one problem: the marked text, what is said, what is offered. */
function check(line: string, mark: string, message: RegExp, hint: RegExp, text = withEdge(line)) {
  test(`refused with its place: ${line}`, () => {
    const compiled = compile(text);
    assert.ok(compiled.kind === "invalid", "it was taken for valid");
    assert.equal(compiled.problems.length, 1, compiled.problems.map((one) => one.message).join("\n"));
    const [problem] = compiled.problems;
    const marked = text.split("\n")[(problem?.line ?? 0) - 1]?.slice((problem?.column ?? 0) - 1);
    assert.ok(marked?.startsWith(mark), `marked: ${marked}`);
    assert.match(String(problem?.message), message);
    assert.match(String(problem?.hint), hint);
  });
}

check("processes: 0", "0", /found the number 0/, /a whole number from 1 to 64, or auto/);
check("processes: many", "many", /found "many"/, /or auto/);
check("processes: 1.5", "1.5", /found the number 1.5/, /a whole number/);
check("cache: maybe", "maybe", /found "maybe"/, /true or false/);
check(
  "tls without certificates",
  "certificates",
  /spec\.tls\.certificates is empty/,
  /1 or more/,
  withEdge('tls: { listen: "127.0.0.1:8443", certificates: [] }'),
);
check(
  "tls on the address of the plain listener",
  '"127.0.0.1:8110"',
  /the address 127\.0\.0\.1:8110 is taken twice/,
  /a port of its own/,
  withEdge(tls("127.0.0.1:8110")),
);
check(tls("127.0.0.1:8443", ", minVersion: TLSv1.1"), "TLSv1.1", /found "TLSv1.1"/, /TLSv1\.2/);
check("trustedProxies: [10.0.0.0/33]", "10.0.0.0/33", /"10\.0\.0\.0\/33" is no network/, /such as 10\.2/);
check("trustedProxies: [balancer]", "balancer", /found "balancer"/, /an address or a network/);
check("concurrency: { least: 9, most: 8 }", "9", /least 9 is above most 8/, /between the two/);
check(
  "a bulkhead that cannot be divided",
  "3",
  /^3 cannot be divided among 4 processes of "edge-west"$/,
  /allow 4 at least/,
  edit(
    withEdge("processes: 4"),
    "  dataStores: [orders-db]",
    "  dataStores: [orders-db]\n  bulkhead: { requests: 3 }",
  ),
);
