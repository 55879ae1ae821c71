/** H2: a holder that gives up while a renewal is on its way does not wait for what comes of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "../../../src/core/machine/command.ts";
import { recordKeys } from "../../../src/core/model/record.ts";
import { storeName } from "../../../src/sim/shapes.ts";
import { startAgent } from "../parts/agent.ts";
import { committedLease } from "../parts/lease.ts";
import { leadingSight, sightOf } from "../parts/member.ts";

const key = recordKeys.lease(storeName);
const primary = leadingSight();
const stopped = sightOf("w#1", { state: "stopped", streaming: false, position: 200 });

type Write = Extract<Command, { kind: "write" }>;
const leaseWrites = (commands: readonly Command[]): Write[] =>
  commands.filter((command): command is Write => command.kind === "write" && command.key === key);

/** It leads, and its next renewal is on its way. */
function renewing() {
  const { tell, look } = startAgent("west");
  tell({ kind: "record-changed", key, revision: 9, record: committedLease });
  tell({ kind: "store-loaded" });
  const [renewal] = leaseWrites(look("pg-west", primary));
  assert.ok(renewal, "it renews");
  return { tell, look, renewal };
}

/** PostgreSQL is gone, and its end is confirmed: what the agent wants then. */
function crashed() {
  const { tell, look, renewal } = renewing();
  const ending = look("pg-west", stopped).find(
    (command) => command.kind === "member" && command.op.kind === "end",
  );
  assert.ok(ending?.kind === "member", "it is ended for good");
  const after = tell({
    kind: "member-replied",
    id: ending.id,
    member: "pg-west",
    outcome: { kind: "succeeded", op: "end", position: 200 },
  });
  const [vacating, ...others] = leaseWrites(after);
  assert.ok(vacating && others.length === 0, JSON.stringify(after));
  return { tell, renewal, vacating };
}

test("the lease is vacated over a renewal that is on its way", () => {
  const { renewal, vacating } = crashed();
  assert.deepEqual(vacating.over, renewal.record);
  assert.equal(vacating.expect, renewal.expect);
  assert.ok("phase" in vacating.record && vacating.record.phase === "vacant");
  assert.ok("renewal" in renewal.record && vacating.record.renewal === renewal.record.renewal + 1);
});

test("what comes of the renewal afterwards changes nothing", () => {
  for (const outcome of [
    { kind: "succeeded", revision: 10 },
    { kind: "conflict" },
    { kind: "unknown", because: "no answer" },
  ] as const) {
    const { tell, renewal } = crashed();
    assert.deepEqual(leaseWrites(tell({ kind: "write-replied", id: renewal.id, outcome })), []);
  }
});

/** An earlier renewal, taken for lost, stands: neither what was known nor the last one. */
function conflicting() {
  const { tell, vacating } = crashed();
  const standing = { ...committedLease, stamp: "west-1/77" };
  const reply = () => tell({ kind: "write-replied", id: vacating.id, outcome: { kind: "conflict" } });
  return { tell, reply, standing };
}

test("where the vacating write found neither, it is sent again at once, against what stands", () => {
  const { tell, reply, standing } = conflicting();
  tell({ kind: "record-changed", key, revision: 12, record: standing });
  const [again] = leaseWrites(reply());
  assert.deepEqual([again?.expect, again?.over], [12, undefined]);
});

test("where nothing new is known of what stands, it is sent again after a pause", () => {
  const { tell, reply } = conflicting();
  assert.deepEqual(leaseWrites(reply()), []);
  let turns = 0;
  let again: Write | undefined;
  for (; again === undefined && turns < 100; turns++) [again] = leaseWrites(tell({ kind: "woken" }));
  assert.ok(again && turns > 1, `${turns}`);
});
