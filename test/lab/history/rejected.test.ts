/** The checker must be hard to please: each known-bad history is rejected, for the right reason. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { FindingKind } from "../../../src/lab/history/finding.ts";
import { checkHistory } from "../../../src/lab/history/history.ts";
import type { BankRules } from "../../../src/lab/history/operation.ts";
import { historyOf } from "./story.ts";

interface Bad {
  readonly name: string;
  readonly kind: FindingKind;
  readonly story: string;
  /** Numbers of the operations that contradict one another; left out: nobody can say which. */
  readonly witness?: readonly number[];
  readonly bank?: BankRules;
}

const bad: readonly Bad[] = [
  {
    name: "an acknowledged append that no read ever shows",
    kind: "lost-write",
    story: `
      a 0-10 append l 1 : ok
      b 0-10 append l 2 : ok
      a 20-30 list l : 2`,
    witness: [0, 2, 2],
  },
  {
    name: "an acknowledged append that was there, and is gone after a failover",
    kind: "lost-write",
    story: `
      a 0-10 append l 1 : ok
      a 12-14 append l 2 : ok
      b 20-30 list l : 1,2
      b 40-50 list l : 1 north@2`,
    witness: [1, 3, 3],
  },
  {
    name: "an append that was lost, told only by a later one that does not follow it",
    kind: "lost-write",
    story: `
      a 0-10 append l 1 : ok
      c 5-40 list l : 2
      b 20-30 append l 2 : ok`,
    witness: [0, 1, 2],
  },
  {
    name: "the first append is lost though it was the only one",
    kind: "lost-write",
    story: `
      a 0-10 append l 1 : ok
      a 20-30 list l : []`,
  },
  {
    name: "a list read that misses what was acknowledged before it was sent",
    kind: "stale-read",
    story: `
      a 0-10 append l 1 : ok
      b 20-30 list l : []
      b 40-50 list l : 1`,
    witness: [0, 1],
  },
  {
    name: "a doubled append",
    kind: "doubled-write",
    story: `
      a 0-10 append l 1 : ok
      a 20-30 list l : 1,1`,
    witness: [0, 1],
  },
  {
    name: "an append of unknown outcome that took effect twice",
    kind: "doubled-write",
    story: `
      a 0-10 append l 1 : ?
      b 5-10 append l 2 : ok
      a 20-30 list l : 1,2,1`,
  },
  {
    name: "a list read of what nobody appended",
    kind: "never-written",
    story: `
      a 0-10 append l 1 : ok
      a 20-30 list l : 1,9`,
    witness: [1],
  },
  {
    name: "a list read of an append that had failed",
    kind: "failed-write-read",
    story: `
      a 0-10 append l 1 : ok
      b 0-10 append l 2 : x
      a 20-30 list l : 1,2`,
    witness: [1, 2],
  },
  {
    name: "two list reads whose orders exclude one another",
    kind: "split-order",
    story: `
      a 0-100 append l 1 : ok
      b 0-100 append l 2 : ok
      c 10-20 list l : 1
      d 30-40 list l : 2
      c 110-120 list l : 1,2`,
    witness: [3, 4],
  },
  {
    name: "two sides of a cut, each with its own append",
    kind: "split-order",
    story: `
      a 0-10 append l 1 : ok
      a 20-100 append l 2 : ?
      b 20-100 append l 3 : ?
      c 110-120 list l : 1,2
      d 110-120 list l : 1,3`,
  },
  {
    name: "appends in the reverse of the order in which they were acknowledged",
    kind: "not-linearizable",
    story: `
      a 0-10 append l 1 : ok
      b 20-30 append l 2 : ok
      c 40-50 list l : 2,1`,
    witness: [0, 1, 2],
  },
  {
    name: "a list that was read longer before it was read shorter",
    kind: "not-linearizable",
    story: `
      a 0-100 append l 1 : ok
      b 10-20 list l : 1
      c 30-40 list l : []
      b 110-120 list l : 1`,
    witness: [1, 2],
  },
  {
    name: "an element that was read before it was appended",
    kind: "not-linearizable",
    story: `
      a 0-10 list l : 1
      b 20-30 append l 1 : ok
      a 40-50 list l : 1`,
    witness: [0, 1],
  },
  {
    name: "a stale read after an acknowledged write",
    kind: "stale-read",
    story: `
      a 0-10 write r 1 : ok
      a 20-30 write r 2 : ok
      b 40-50 read r : 1
      b 60-70 read r : 2`,
    witness: [0, 1, 2],
  },
  {
    name: "a read of nothing after the first write was acknowledged",
    kind: "stale-read",
    story: `
      a 0-10 write r 1 : ok
      b 20-30 read r : null
      b 40-50 read r : 1`,
    witness: [0, 1],
  },
  {
    name: "an acknowledged write that is gone after a failover",
    kind: "lost-write",
    story: `
      a 0-10 write r 1 : ok
      a 20-30 write r 2 : ok
      b 40-50 read r : 2
      b 60-70 read r : 1 north@2`,
    witness: [0, 1, 3],
  },
  {
    name: "a read of a value that nobody wrote",
    kind: "never-written",
    story: `
      a 0-10 write r 1 : ok
      b 20-30 read r : 7`,
    witness: [1],
  },
  {
    name: "a read of a value whose write had failed",
    kind: "failed-write-read",
    story: `
      a 0-10 write r 1 : ok
      a 20-30 write r 2 : x
      b 40-50 read r : 2`,
    witness: [1, 2],
  },
  {
    name: "a read of what a refused swap wanted to write",
    kind: "never-written",
    story: `
      a 0-10 write r 1 : ok
      a 20-30 swap r 5 6 : no
      b 40-50 read r : 6`,
  },
  {
    name: "two swaps that both found the one value (a lost update)",
    kind: "not-linearizable",
    story: `
      a 0-10 write r 1 : ok
      b 20-40 swap r 1 2 : yes
      c 20-40 swap r 1 3 : yes
      a 50-60 read r : 3`,
    witness: [0, 1, 2],
  },
  {
    name: "a swap that was refused though its value had been there all the time",
    kind: "not-linearizable",
    story: `
      a 0-10 write r 1 : ok
      b 20-30 swap r 1 2 : no
      a 40-50 read r : 1`,
    witness: [0, 1],
  },
  {
    name: "a swap that found what had been overwritten",
    kind: "stale-read",
    story: `
      a 0-10 write r 1 : ok
      a 20-30 write r 2 : ok
      b 40-50 swap r 1 3 : yes
      a 60-70 read r : 3`,
  },
  {
    name: "a new value read, then the old one, while the write is under way",
    kind: "not-linearizable",
    story: `
      a 0-10 write r 1 : ok
      a 20-100 write r 2 : ok
      b 30-40 read r : 2
      c 50-60 read r : 1
      b 110-120 read r : 2`,
    witness: [0, 1, 2, 3],
  },
  {
    name: "a write of unknown outcome that was seen, and then vanished",
    kind: "not-linearizable",
    story: `
      a 0-10 write r 1 : ok
      a 20-30 write r 2 : ?
      b 40-50 read r : 2
      b 60-70 read r : 1 north@2`,
    witness: [0, 1, 2, 3],
  },
  {
    name: "a write of unknown outcome that took effect before it was sent",
    kind: "not-linearizable",
    story: `
      a 0-10 write r 1 : ok
      b 20-30 read r : 2
      a 40-50 write r 2 : ?
      b 60-70 read r : 2`,
    witness: [1, 2],
  },
  {
    name: "a write of unknown outcome that took effect twice",
    kind: "not-linearizable",
    story: `
      a 0-10 write r 1 : ?
      b 20-30 read r : 1
      b 40-50 write r 2 : ok
      b 60-70 read r : 1
      b 80-90 read r : 2`,
  },
  {
    name: "two readers who saw two concurrent writes in different orders",
    kind: "not-linearizable",
    story: `
      a 0-100 write r 1 : ok
      b 0-100 write r 2 : ok
      c 10-20 read r : 1
      d 30-40 read r : 2
      c 50-60 read r : 1
      c 110-120 read r : 1`,
  },
  {
    name: "a snapshot of half a transfer",
    kind: "sum-changed",
    story: `
      a 0-100 transfer k 0 1 30 : yes
      b 10-20 balances k : 70,100
      b 110-120 balances k : 70,130`,
    witness: [1],
  },
  {
    name: "a bank that lost an account",
    kind: "sum-changed",
    story: `
      a 0-10 transfer k 0 1 100 : yes
      b 20-30 balances k : 200`,
  },
  {
    name: "an account that was overdrawn though that is forbidden",
    kind: "overdrawn",
    story: `
      a 0-100 transfer k 0 1 80 : yes
      b 0-100 transfer k 0 1 80 : yes
      c 110-120 balances k : -60,260`,
    witness: [2],
  },
  {
    name: "an acknowledged transfer that is gone, which keeps the sum",
    kind: "not-linearizable",
    story: `
      a 0-10 transfer k 0 1 30 : yes
      b 20-30 balances k : 100,100`,
    witness: [0, 1],
  },
  {
    name: "a transfer that was made twice, which keeps the sum",
    kind: "not-linearizable",
    story: `
      a 0-10 transfer k 0 1 30 : yes
      b 20-30 balances k : 40,160`,
  },
  {
    name: "a transfer that was refused though it was covered",
    kind: "not-linearizable",
    story: `
      a 0-10 transfer k 0 1 30 : no
      b 20-30 balances k : 100,100`,
    witness: [0],
  },
  {
    name: "a transfer of unknown outcome that was seen, and then vanished",
    kind: "not-linearizable",
    story: `
      a 0-10 transfer k 0 1 30 : ?
      c 0-10 transfer k 0 1 5 : yes
      b 20-30 balances k : 65,135
      b 40-50 balances k : 95,105 north@2`,
  },
  {
    name: "two snapshots that saw two transfers in different orders (a long fork)",
    kind: "not-linearizable",
    story: `
      a 0-100 transfer k 0 1 30 : yes
      b 0-100 transfer k 0 1 7 : yes
      c 10-50 balances k : 70,130
      d 10-50 balances k : 93,107
      c 110-120 balances k : 63,137`,
    witness: [0, 1, 2, 3],
  },
  {
    name: "two members that acknowledge in overlapping windows",
    kind: "overlap",
    story: `
      a 0-10 append l 1 : ok west@1
      b 15-30 append l 2 : ok north@2
      a 20-40 append l 3 : ok west@1
      b 50-60 list l : 1,2,3 north@2`,
  },
  {
    name: "an acknowledgement of the old member that came late, though it was sent in time",
    kind: "overlap",
    story: `
      a 0-40 append l 1 : ok west@1
      c 0-10 append l 2 : ok west@1
      b 15-30 append l 3 : ok north@2
      b 50-60 list l : 2,1,3 north@2`,
  },
  {
    name: "an epoch that goes back for one client",
    kind: "epoch-went-down",
    story: `
      a 0-10 write r 1 : ok north@2
      a 20-30 read r : 1 west@1`,
    witness: [0, 1],
  },
  {
    name: "an epoch that goes back from one client to another",
    kind: "epoch-went-down",
    story: `
      a 0-10 write r 1 : ok north@2
      b 20-30 read r : 1 west@1`,
    witness: [0, 1],
  },
  {
    name: "an epoch that two members acknowledge in",
    kind: "epoch-shared",
    story: `
      a 0-10 write r 1 : ok west@1
      a 20-30 read r : 1 north@1`,
    witness: [0, 1],
  },
];

for (const { name, kind, story, witness, bank } of bad)
  test(`rejected: ${name}`, () => {
    const verdict = checkHistory(historyOf(story, bank));
    const why = JSON.stringify(verdict, null, 2);
    assert.equal(verdict.verdict, "invalid", why);
    const finding = verdict.findings.find((one) => one.kind === kind);
    assert.ok(finding, `${kind} expected: ${why}`);
    if (witness) assert.deepEqual(finding.witness, witness, why);
  });
