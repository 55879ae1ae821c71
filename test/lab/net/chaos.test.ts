/** What chaos draws: the same from the same seed, every kind in time, and each with an end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { chanceFrom } from "../../../src/lab/chance.ts";
import { drawRound } from "../../../src/lab/net/chaos.ts";

const topology = { profile: "balanced", witness: false, replication: "synchronous", rpo: 1000 } as const;
const links = { delay: 0, jitter: 0, lossPercent: 0, rateMbit: 0 };

function rounds(seed: number, count: number) {
  const chance = chanceFrom(seed);
  return Array.from({ length: count }, (_, n) => drawRound(chance, n + 1, topology, links));
}

test("the same seed draws the same rounds, another seed draws others", () => {
  assert.deepEqual(rounds(7, 50), rounds(7, 50));
  assert.notDeepEqual(rounds(7, 50), rounds(8, 50));
});

test("every fault ends within seconds, and writes are given until after the last of them", () => {
  const drawn = rounds(1, 500);
  for (const { faults, expect } of drawn)
    for (const fault of faults) {
      assert.ok(fault.for >= 500 && fault.for <= 15_000, `${fault.fault} for ${fault.for} ms`);
      assert.ok(expect.writeGapMax > fault.after + fault.for);
    }
  assert.equal(new Set(drawn.flatMap(({ faults }) => faults.map(({ fault }) => fault))).size, 13);
  assert.ok(drawn.some(({ faults }) => faults.length === 2));
});

test("nothing is done to the leader of etcd while every member of it is dead", () => {
  const together = rounds(25, 5000).filter(({ faults }) =>
    faults.some(({ fault }) => fault === "store-kill"),
  );
  assert.ok(together.some(({ faults }) => faults.length === 2));
  assert.deepEqual(
    together.filter(({ faults }) =>
      faults.some(
        (fault) => fault.fault === "etcd-leader-moved" || ("at" in fault && fault.at === "etcd-leader"),
      ),
    ),
    [],
  );
});
