/** L1: a renewal whose answer was not waited for stands, as the store tells later: the holder counts from when it was sent. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "../../../src/core/machine/command.ts";
import { leaseProfiles } from "../../../src/core/model/profile.ts";
import { type LeaseRecord, recordKeys } from "../../../src/core/model/record.ts";
import { plainShape, storeName } from "../../../src/sim/shapes.ts";
import { startAgent } from "../parts/agent.ts";
import { committedLease } from "../parts/lease.ts";
import { leadingSight } from "../parts/member.ts";

const { stopMs } = leaseProfiles[plainShape.profile];
const key = recordKeys.lease(storeName);
const primary = leadingSight();

/** It leads; one renewal had no answer, and the next is on its way. */
function unanswered() {
  const agent = startAgent("west");
  const renewals: { readonly id: number; readonly sentAt: number; readonly record: LeaseRecord }[] = [];
  const note = (commands: readonly Command[]): readonly Command[] => {
    for (const command of commands)
      if (command.kind === "write" && command.key === key)
        renewals.push({ id: command.id, sentAt: agent.at, record: command.record as LeaseRecord });
    return commands;
  };
  agent.tell({ kind: "record-changed", key, revision: 9, record: committedLease });
  agent.tell({ kind: "store-loaded" });
  note(agent.look("pg-west", primary));
  const outcome = { kind: "unknown", because: "no answer" } as const;
  note(agent.tell({ kind: "write-replied", id: renewals[0]?.id ?? 0, outcome }));
  while (renewals.length < 2) note(agent.tell({ kind: "woken" }));
  const [first, second] = renewals;
  assert.ok(first && second);
  const hear = (record: LeaseRecord) => agent.tell({ kind: "record-changed", key, revision: 10, record });
  return { agent, first, second, hear };
}

const deadlines = (commands: readonly Command[]) =>
  commands.flatMap((command) => (command.kind === "pet" ? [command.deadline] : []));

test("the fencer is petted up to a stop span after it was sent", () => {
  const { agent, first, hear } = unanswered();
  assert.ok(first.sentAt < agent.at - 100, "it is seen a while after it was sent, or nothing is shown");
  assert.deepEqual(deadlines(hear(first.record)), [first.sentAt + stopMs]);
});

test("the one that is on its way is not taken for it", () => {
  const { agent, first, second, hear } = unanswered();
  hear(first.record);
  const later = agent.tell({
    kind: "write-replied",
    id: second.id,
    outcome: { kind: "succeeded", revision: 11 },
  });
  assert.deepEqual(deadlines(later), [second.sentAt + stopMs]);
});

test("what an agent of before wrote, or another one, renews nothing", () => {
  const { first, hear } = unanswered();
  assert.deepEqual(deadlines(hear({ ...first.record, stamp: "west-1/1" })), []);
});
