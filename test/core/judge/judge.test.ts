/** What vantage points saw in, a verdict out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { judge, type Vantage } from "../../../src/core/judge/judge.ts";
import type { Sight } from "../../../src/core/observe/window.ts";

const target = "orders/west";

/** `"d"`: sees the target down, and something else up. */
function vantages(sights: string, fresh = true): Vantage[] {
  const names = { u: "up", s: "suspected", d: "down" } as const;
  return [...sights].map((letter, index) => ({
    region: `region-${index}`,
    fresh,
    sees: { [target]: names[letter as "u" | "s" | "d"], "orders/east": "up" },
  }));
}

function check(sights: string, expected: "up" | "suspected" | "down"): void {
  assert.equal(judge(target, vantages(sights)).kind, expected, sights);
}

test("J1: down needs a majority of those that can be believed, and at least two where there are two", () => {
  check("d", "down");
  check("du", "suspected");
  check("dd", "down");
  check("duu", "suspected");
  check("ddu", "down");
  check("dduu", "suspected");
  check("ddduu", "down");
  check("sss", "suspected");
  check("uuu", "up");
});

test("J2: whoever sees everything down is cut off, and accuses nobody", () => {
  const cutOff: Vantage = { region: "far", fresh: true, sees: { [target]: "down", "orders/east": "down" } };
  assert.equal(judge(target, [cutOff, ...vantages("uu")]).kind, "up");
  assert.equal(judge(target, [cutOff, cutOff, ...vantages("d")]).kind, "unknown");
});

test("J3: whoever is silent says nothing, neither for nor against", () => {
  assert.equal(judge(target, [...vantages("ddd", false), ...vantages("u")]).kind, "up");
  assert.equal(judge(target, [...vantages("uuu", false), ...vantages("dd")]).kind, "down");
  assert.equal(judge(target, vantages("ddd", false)).kind, "unknown");
  assert.equal(judge(target, [...vantages("uu", false), ...vantages("d")]).kind, "unknown");
});

test("one more accuser never makes it better, and the order of witnesses does not matter", () => {
  const worse = { up: 0, unknown: 1, suspected: 1, down: 2 };
  const sight = fc.constantFrom<Sight>("up", "suspected", "down");
  fc.assert(
    fc.property(fc.array(sight, { minLength: 1, maxLength: 7 }), fc.nat(6), (sights, at) => {
      const build = (list: readonly Sight[]): Vantage[] =>
        list.map((seen, index) => ({
          region: `r${index}`,
          fresh: true,
          sees: { [target]: seen, other: "up" },
        }));
      const before = judge(target, build(sights)).kind;
      const accused = sights.map((seen, index) => (index === at % sights.length ? "down" : seen));
      assert.ok(worse[judge(target, build(accused)).kind] >= worse[before]);
      assert.equal(judge(target, build([...sights].reverse())).kind, before);
    }),
  );
});

test("every verdict says why", () => {
  for (const sights of ["d", "du", "uuu", "sss"])
    assert.match(judge(target, vantages(sights)).because, /orders\/west/);
});
