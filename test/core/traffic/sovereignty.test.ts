/** Where a request may be served: limits only narrow, whatever a client says and however it spells it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { inNetwork, parseNetwork } from "../../../src/core/model/network.ts";
import type { RequestLimit, RequestSovereignty } from "../../../src/core/model/traffic.ts";
import { compileSovereignty, type MarkedRequest, plainPath } from "../../../src/core/traffic/sovereignty.ts";

const plain: MarkedRequest = { host: "shop.example", path: "/", headers: [], client: "192.0.2.1" };
const eu = ["west", "central"];
const limits: readonly RequestLimit[] = [
  { when: { kind: "header", name: "X-Tenant", value: "acme" }, regions: eu },
  { when: { kind: "header", name: "X-Tenant", value: "bolt" }, regions: ["east"] },
  { when: { kind: "host", name: "eu.example" }, regions: eu },
  { when: { kind: "host", name: "*.west.example" }, regions: ["west"] },
  { when: { kind: "path", prefix: "/eu" }, regions: eu },
  { when: { kind: "network", cidr: "10.2.0.0/16" }, regions: ["west"] },
];

function regionsFor(request: Partial<MarkedRequest>, others: RequestSovereignty["others"] = "allow") {
  const allowed = compileSovereignty({ limits, others })({ ...plain, ...request });
  return allowed && [...allowed].sort();
}

test("a header, a host, a path or a network says where a request may be served", () => {
  assert.equal(regionsFor({}), null);
  assert.deepEqual(regionsFor({}, "refuse"), []);
  const west = ["central", "west"];
  const rows: readonly (readonly [Partial<MarkedRequest>, readonly string[] | null])[] = [
    [{ headers: ["accept", "*/*", "X-TENANT", "acme"] }, west],
    [{ headers: ["x_tenant", "acme"] }, west],
    [{ headers: ["x-tenant", "ACME"] }, null],
    [{ host: "EU.example.:8443" }, west],
    [{ host: "eu.example.org" }, null],
    [{ host: "a.west.example" }, ["west"]],
    [{ host: "west.example" }, null],
    [{ client: "10.2.255.1" }, ["west"]],
    [{ client: "::ffff:10.2.0.1" }, ["west"]],
    [{ client: "10.3.0.1" }, null],
    // Nobody may be where two limits have nothing in common.
    [{ headers: ["x-tenant", "bolt"], host: "eu.example" }, []],
    [{ headers: ["x-tenant", "acme"], client: "10.2.0.1" }, ["west"]],
    // A second value takes nothing back.
    [{ headers: ["x-tenant", "acme", "x-tenant", "other"] }, west],
  ];
  for (const [request, expected] of rows)
    assert.deepEqual(regionsFor(request), expected, JSON.stringify(request));
});

test("no spelling of a path leads around its limit", () => {
  for (const path of [
    "/eu",
    "/eu/",
    "/eu?x",
    "/eu/a",
    "//eu/a",
    "/%65u/a",
    "/eu%2fa",
    "/./eu/a",
    "/a/../eu/a",
    "/eu/../a",
    "/eu/..%2f..%2fa",
    "/eu;v=1/a",
    "/\\eu/a",
    "/a/%2e%2e/eu",
  ])
    assert.deepEqual(regionsFor({ path }), ["central", "west"], path);
  for (const path of ["/europe", "/a/eu", "/?/eu/", "/Eu"]) assert.equal(regionsFor({ path }), null, path);
  assert.equal(plainPath("/a/b/../c?d=/../..", true), "/a/c");
});

test("nothing that is added to a request gives it a region that it did not have", () => {
  const markArb = fc.constantFrom(...limits.map(({ when }) => when));
  const limitArb = fc.record({ when: markArb, regions: fc.subarray(["west", "central", "east"]) });
  const fieldArb = fc.tuple(
    fc.constantFrom("x-tenant", "X-Tenant", "X_Tenant", "X-Forwarded-For", "Host", "Forwarded"),
    fc.constantFrom("acme", "bolt", "10.2.0.1", "us.example", ""),
  );
  const requestArb = fc.record({
    host: fc.constantFrom("shop.example", "eu.example", "a.west.example"),
    path: fc.constantFrom("/", "/eu/1", "/%65u"),
    headers: fc.array(fieldArb).map((fields) => fields.flat()),
    client: fc.constantFrom("192.0.2.1", "10.2.3.4", "::1"),
  });
  fc.assert(
    fc.property(fc.array(limitArb), requestArb, fc.array(fieldArb), (some, request, more) => {
      const limitOf = compileSovereignty({ limits: some, others: "allow" });
      const before = limitOf(request);
      const after = limitOf({ ...request, headers: [...request.headers, ...more.flat()] });
      if (before === null) return;
      assert.ok(after !== null);
      for (const region of after) assert.ok(before.has(region));
      // The same limits give the same set: lanes are kept by it.
      assert.equal(limitOf(request), before);
      const stricter = compileSovereignty({ limits: [...some, ...limits.slice(0, 1)], others: "allow" })(
        request,
      );
      for (const region of stricter ?? []) assert.ok(before.has(region));
    }),
  );
});

test("networks are read as they are written, or not at all", () => {
  const rows: readonly (readonly [string, string, boolean | null])[] = [
    ["10.0.0.0/8", "10.255.0.1", true],
    ["10.0.0.0/8", "11.0.0.1", false],
    ["0.0.0.0/0", "8.8.8.8", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["192.0.2.7", "192.0.2.7", true],
    ["2001:db8::/33", "2001:db8:7fff::1", true],
    ["2001:db8::/33", "2001:db8:8000::1", false],
    ["::/0", "10.0.0.1", true],
    ["::1", "::1", true],
    ["fe80::/10", "fe80::1%eth0", true],
    ["10.0.0.0/33", "10.0.0.1", null],
    ["10.0.0/8", "10.0.0.1", null],
    ["10.0.0.256", "10.0.0.1", null],
    ["1::2::3/8", "1::", null],
    ["1:2:3:4:5:6:7:8:9", "1::", null],
  ];
  for (const [cidr, address, expected] of rows) {
    const network = parseNetwork(cidr);
    assert.equal(network && inNetwork(network, address), expected, `${address} in ${cidr}`);
  }
});
