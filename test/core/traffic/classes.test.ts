/** Requests to classes: the first that matches, and patterns of paths that nobody can make slow. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { TrafficClass } from "../../../src/core/model/degradation.ts";
import { classOf, fitsPath } from "../../../src/core/traffic/classes.ts";

test("the first class that matches decides, and without one a request is other, and standard", () => {
  const classes: readonly TrafficClass[] = [
    { name: "checkout", priority: "critical", methods: ["POST"], paths: ["/orders", "/orders/*"] },
    { name: "crawlers", priority: "sheddable", header: { name: "x-crawler", value: null } },
    { name: "batch", priority: "sheddable", header: { name: "x-kind", value: "batch" } },
  ];
  const rows = [
    ["POST", "/orders/1", [], "checkout", "critical"],
    ["POST", "/orders?fast=1", [], "checkout", "critical"],
    ["POST", "/ordersheet", [], "other", "standard"],
    ["GET", "/orders/1", [], "other", "standard"],
    ["POST", "/stock", ["X-Crawler", "yes"], "crawlers", "sheddable"],
    ["POST", "/orders", ["X-Crawler", "yes"], "checkout", "critical"],
    ["GET", "/", ["x-kind", "batch"], "batch", "sheddable"],
    ["GET", "/", ["x-kind", "other"], "other", "standard"],
  ] as const;
  for (const [method, path, headers, name, priority] of rows) {
    const found = classOf(classes, { method, path, headers });
    assert.deepEqual([found.name, found.priority], [name, priority], `${method} ${path}`);
  }
  assert.equal(classOf(undefined, { method: "GET", path: "/", headers: [] }).name, "other");
});

test("a star stands for any characters of the path, and never for its query", () => {
  const rows = [
    ["/search", "/search", true],
    ["/search", "/search?q=1", true],
    ["/search", "/search/", false],
    ["/search", "/searching", false],
    ["/search*", "/searching", true],
    ["/search*", "/search", true],
    ["/*", "/", true],
    ["/a/*/b", "/a/x/y/b", true],
    ["/a/*/b", "/a/b", false],
    ["/a/*/b", "/a/x/b/c", false],
    ["/*.png", "/x.png?y", true],
    ["/*.png", "/x?y.png", false],
    ["/a*b*c", "/a1b2c", true],
    ["/a*b*c", "/abbc", true],
    ["/a*b*c", "/acb", false],
    ["/aba*aba", "/ababa", false],
    ["/aba*aba", "/abaaba", true],
    ["/**", "/x", true],
  ] as const;
  for (const [pattern, path, expected] of rows)
    assert.equal(fitsPath(pattern, path), expected, `${pattern} on ${path}`);
});

test("patterns mean what a regular expression would, also where letters repeat", () => {
  const piece = fc.stringMatching(/^[ab/*]{0,6}$/);
  const pathArb = fc.stringMatching(/^[ab/]{0,8}(\?[ab]{0,3})?$/);
  fc.assert(
    fc.property(piece, pathArb, (rest, tail) => {
      const [pattern, path] = [`/${rest}`, `/${tail}`];
      const expression = new RegExp(`^${pattern.split("*").join("[^?]*")}$`);
      assert.equal(fitsPath(pattern, path), expression.test(path.split("?")[0] as string));
    }),
    { numRuns: 2000 },
  );
});
