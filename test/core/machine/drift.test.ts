/** D1: what PostgreSQL waits for is not narrowed while a promise of the agent's life before may still be on its way. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "../../../src/core/machine/command.ts";
import type { MemberSight } from "../../../src/core/machine/event.ts";
import { type AgentRecord, type LeaseRecord, recordKeys } from "../../../src/core/model/record.ts";
import { storeName } from "../../../src/sim/shapes.ts";
import { startAgent } from "../parts/agent.ts";
import { committedLease } from "../parts/lease.ts";
import { agentRecord } from "../parts/member.ts";

const key = recordKeys.lease(storeName);
const { epoch } = committedLease;

/** Its life before had made PostgreSQL wait for pg-central alone, and sent the promise of that, when it was killed. */
const primary: MemberSight = {
  state: "primary",
  incarnation: "w#1",
  timeline: 3,
  position: 200,
  inserted: 200,
  epoch,
  floor: epoch,
  streaming: false,
  frozen: false,
  sealedBasis: 0,
  sealedPosition: 0,
  replicas: ["pg-central", "pg-east"].map((member) => ({ member, streaming: true, flushed: 200 })),
  waitsFor: { acknowledgements: 1, standbys: ["pg-central"] },
  problem: "",
};

function told(region: string, member: string, incarnation: string): AgentRecord {
  const standby = { state: "standby", incarnation, timeline: 3, position: 200, epoch, floor: epoch } as const;
  return agentRecord(region, { members: { [member]: { ...standby, seal: null, streaming: true } } });
}

function restarted() {
  const agent = startAgent("west");
  const hear = (key: string, revision: number, record: AgentRecord | LeaseRecord) =>
    agent.tell({ kind: "record-changed", key, revision, record });
  hear(recordKeys.agent("central"), 5, told("central", "pg-central", "c#1"));
  hear(recordKeys.agent("east"), 6, told("east", "pg-east", "e#1"));
  hear(key, 9, committedLease);
  agent.tell({ kind: "store-loaded" });
  const look = () => agent.look("pg-west", primary);
  return { tell: agent.tell, look };
}

const setsQuorum = (commands: readonly Command[]) =>
  commands.some((command) => command.kind === "member" && command.op.kind === "set-quorum");
const renewal = (commands: readonly Command[]) =>
  commands.find((command) => command.kind === "write" && command.key === key) as Extract<
    Command,
    { kind: "write" }
  >;

test("an agent that was started anew does not let commits wait for less before a renewal of its own stands", () => {
  const { tell, look } = restarted();
  const first = look();
  const sent = renewal(first);
  assert.ok(sent, "it renews");
  assert.equal(setsQuorum([...first, ...look()]), false);

  // The promise of the life before comes first: everything acknowledged is on pg-central.
  const late: LeaseRecord = {
    ...committedLease,
    stamp: "west-1/77",
    durable: { ...committedLease.durable, standbys: [{ member: "pg-central", incarnation: "c#1" }] },
  };
  const after = [
    ...tell({ kind: "record-changed", key, revision: 10, record: late }),
    ...tell({ kind: "write-replied", id: sent.id, outcome: { kind: "conflict" } }),
  ];
  assert.equal(setsQuorum(after), false);
});

test("once its renewal stands, an agent that was started anew corrects what commits wait for", () => {
  const { tell, look } = restarted();
  const sent = renewal(look());
  const after = tell({ kind: "write-replied", id: sent.id, outcome: { kind: "succeeded", revision: 10 } });
  assert.equal(setsQuorum(after), true);
});
