/** What may happen must not be called a fault: each known-good history is accepted, those with open questions as well. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkHistory } from "../../../src/lab/history/history.ts";
import type { BankRules } from "../../../src/lab/history/operation.ts";
import { historyOf } from "./story.ts";

const good: readonly { readonly name: string; readonly story: string; readonly bank?: BankRules }[] = [
  {
    name: "one client, one thing after the other",
    story: `
      a 0-10 read r : null
      a 20-30 write r 1 : ok
      a 40-50 swap r 1 2 : yes
      a 60-70 swap r 1 3 : no
      a 80-90 read r : 2`,
  },
  {
    name: "a write of unknown outcome that took effect",
    story: `
      a 0-10 write r 1 : ok
      a 20-30 write r 2 : ?
      b 40-50 read r : 2`,
  },
  {
    name: "a write of unknown outcome that never took effect",
    story: `
      a 0-10 write r 1 : ok
      a 20-30 write r 2 : ?
      b 40-50 read r : 1`,
  },
  {
    name: "a write of unknown outcome that took effect long after its client had given up",
    story: `
      a 0-10 write r 1 : ok
      a 20-30 write r 2 : ?
      b 40-50 read r : 1
      a 60-70 write r 3 : ok
      b 80-90 read r : 3
      b 100-110 read r : 2`,
  },
  {
    name: "an append of unknown outcome that took effect late, one that never did",
    story: `
      a 0-10 append l 1 : ?
      b 0-10 append l 2 : ?
      c 20-30 append l 3 : ok
      c 40-50 list l : 3
      c 60-70 list l : 3,1`,
  },
  {
    name: "a swap of unknown outcome that took effect, and one that cannot have",
    story: `
      a 0-10 write r 1 : ok
      a 20-30 swap r 1 2 : ?
      b 20-30 swap r 8 9 : ?
      c 40-50 read r : 2`,
  },
  {
    name: "a swap refused because of a write that nobody saw and nobody answered",
    story: `
      a 0-10 write r 1 : ok
      b 20-30 write r 2 : ?
      c 40-50 swap r 1 3 : no
      a 60-70 write r 4 : ok
      a 80-90 read r : 4`,
  },
  {
    name: "a transfer of unknown outcome, seen by one snapshot and not by the one before",
    story: `
      a 0-10 transfer k 0 1 30 : ?
      b 20-30 balances k : 100,100
      b 40-50 transfer k 1 0 5 : yes
      b 60-70 balances k : 75,125`,
  },
  {
    name: "a transfer that is refused because another, of unknown outcome, took the money",
    story: `
      a 0-10 transfer k 0 1 90 : ?
      b 20-30 transfer k 0 1 20 : no
      b 40-50 transfer k 0 1 10 : yes
      b 60-70 balances k : 0,200`,
  },
  {
    name: "an overdraft where it is allowed",
    bank: { opening: [100, 100], mayOverdraw: true },
    story: `
      a 0-10 transfer k 0 1 130 : yes
      b 20-30 balances k : -30,230`,
  },
  {
    name: "a write of what is there already, that was needed later (the search once took it too soon)",
    story: `
      a 0-10 write r 1 : ok
      b 0-10 write r 1 : ok
      c 0-10 swap r 1 2 : yes
      a 20-30 read r : 1`,
  },
  {
    name: "a failed write that is never seen",
    story: `
      a 0-10 write r 1 : ok
      a 20-30 write r 2 : x
      b 40-50 read r : 1`,
  },
  {
    name: "concurrent writes, read in either order",
    story: `
      a 0-100 write r 1 : ok
      b 0-100 write r 2 : ok
      c 10-20 read r : 2
      c 30-40 read r : 1
      c 110-120 read r : 1`,
  },
  {
    name: "answers and sendings at the same instant are concurrent",
    story: `
      a 0-10 write r 1 : ok
      b 10-20 read r : null
      b 30-40 read r : 1`,
  },
  {
    name: "write skew: each of two read what the other wrote, before it was written (snapshot isolation permits it)",
    story: `
      a 0-10 read x : null
      b 0-10 read y : null
      a 20-30 write y 1 : ok
      b 20-30 write x 2 : ok
      a 40-50 read x : 2
      b 40-50 read y : 1`,
  },
  {
    name: "write skew in a bank: a rule over two accounts, each kept by whoever looked, broken by both, and the sum kept",
    bank: { opening: [60, 60, 0], mayOverdraw: true },
    story: `
      a 0-10 balances k : 60,60,0
      b 0-10 balances k : 60,60,0
      a 20-40 transfer k 0 2 100 : yes
      b 20-40 transfer k 1 2 100 : yes
      a 50-60 balances k : -40,-40,200`,
  },
  {
    name: "a failover: one term after the other, unknown outcomes between, a read of the old term that was answered late",
    story: `
      a 0-10 append l 1 : ok west@1
      b 5-15 append l 2 : ok west@1
      c 18-200 list l : 1,2 west@1
      a 20-120 append l 3 : ?
      b 100-130 append l 4 : ok north@2
      b 140-150 list l : 1,2,3,4 north@2`,
  },
];

for (const { name, story, bank } of good)
  test(`accepted: ${name}`, () => {
    const verdict = checkHistory(historyOf(story, bank));
    assert.equal(verdict.verdict, "valid", JSON.stringify(verdict, null, 2));
  });

test("a history without an acknowledged write is unknown, not valid", () => {
  for (const story of ["", "a 0-10 read r : null", "a 0-10 write r 1 : ?\nb 20-30 read r : null"]) {
    const verdict = checkHistory(historyOf(story));
    assert.equal(verdict.verdict, "unknown");
    assert.match(verdict.problems.join(), /no write was acknowledged/);
  }
});

test("a write that nobody looked for afterwards is unknown, not valid", () => {
  const verdict = checkHistory(historyOf("a 0-10 append l 1 : ok\nb 5-20 list l : 1"));
  assert.equal(verdict.verdict, "unknown");
  assert.match(verdict.problems.join(), /nobody looked after the last acknowledged write of l/);
});

test("a search that reaches its bound is unknown, and says so", () => {
  const lines = Array.from(
    { length: 12 },
    (_, i) => `${String.fromCharCode(97 + i)} 0-100 write r ${i} : ok`,
  );
  const verdict = checkHistory(historyOf([...lines, "z 110-120 read r : 3"].join("\n")), { stepsMax: 10 });
  assert.equal(verdict.verdict, "unknown");
  assert.match(verdict.problems.join(), /^r: no answer within 10 steps of the search over 13 operations/);
});
