/** L6, A1: no agent promises to wait that has called the lease expired, in this life or in the one before. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type AgentRecord, recordKeys } from "../../../src/core/model/record.ts";
import { storeName } from "../../../src/sim/shapes.ts";
import { startAgent } from "../parts/agent.ts";
import { committedLease } from "../parts/lease.ts";
import { agentRecord } from "../parts/member.ts";

const revision = 9;

/** What an agent says to the holder that was started anew, has read the store, and does not see it any more. */
function answerOf(expired: AgentRecord["expired"]): boolean | undefined {
  const agent = startAgent("central");
  const hear = (key: string, at: number, record: AgentRecord | typeof committedLease) =>
    agent.tell({ kind: "record-changed", key, revision: at, record });
  hear(recordKeys.agent("central"), 8, agentRecord("central", { expired }));
  hear(recordKeys.lease(storeName), revision, committedLease);
  agent.tell({ kind: "store-loaded" });
  const blindFrom = agent.at + 2000;
  while (agent.at < blindFrom) agent.tell({ kind: "woken" });
  const answer = agent
    .tell({
      kind: "peer-asked",
      id: 1,
      from: "west",
      dataStore: storeName,
      epoch: committedLease.epoch,
      revision,
    })
    .find((command) => command.kind === "answer-peer");
  return answer?.kind === "answer-peer" ? answer.promised : undefined;
}

test("an agent that sees no store promises a holder to wait", () => {
  assert.equal(answerOf({}), true);
  assert.equal(answerOf({ [storeName]: revision - 1 }), true);
});

test("an agent whose life before called this very lease expired does not, as long as that stands in the store", () => {
  assert.equal(answerOf({ [storeName]: revision }), false);
});
