/** L6, A1: who promises a holder to wait: nobody who has called the lease expired, nor who sees that the store takes writes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "../../../src/core/machine/command.ts";
import { timing } from "../../../src/core/machine/timing.ts";
import { type AgentRecord, recordKeys } from "../../../src/core/model/record.ts";
import { plainShape, storeName, topologyOf } from "../../../src/sim/shapes.ts";
import { startAgent, type ToldAgent } from "../parts/agent.ts";
import { committedLease } from "../parts/lease.ts";
import { agentRecord, sightOf } from "../parts/member.ts";

const revision = 9;
const leaseKey = recordKeys.lease(storeName);

/** What an agent says to the holder that was started anew, has read the store, and does not see it any more. */
function answerOf(expired: AgentRecord["expired"], hears: "woken" | "store-heard" = "woken") {
  const agent = startAgent("central");
  load(agent, expired);
  const blindFrom = agent.at + 2000;
  while (agent.at < blindFrom) agent.tell({ kind: hears });
  return ask(agent);
}

function load(agent: ToldAgent, expired: AgentRecord["expired"] = {}): readonly Command[] {
  const hear = (key: string, at: number, record: AgentRecord | typeof committedLease) =>
    agent.tell({ kind: "record-changed", key, revision: at, record });
  hear(recordKeys.agent("central"), 8, agentRecord("central", { expired }));
  hear(leaseKey, revision, committedLease);
  return agent.tell({ kind: "store-loaded" });
}

function ask(agent: ToldAgent): boolean | undefined {
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

test("a member of etcd that says that nothing is new is no store: it says so without a leader, too", () => {
  assert.equal(answerOf({}, "store-heard"), true);
});

test("a store that is far, and not asked while a lease may expire, is not taken for one that is gone", () => {
  const { leaseMs, maxClockDriftRatio } = topologyOf(plainShape).profile;
  const lostMs = timing(topologyOf(plainShape).profile).storeLostMs;
  let longestUnseenMs = 0;
  for (let phase = 0; phase < 1000; phase += 50) {
    const agent = startAgent("central");
    let seenAt = agent.at;
    let next = 100;
    const replies: { readonly at: number; readonly id: number }[] = [];
    const answerLater = (commands: readonly Command[]) => {
      for (const command of commands)
        if (command.kind === "write") replies.push({ at: agent.at + 800, id: command.id });
    };
    const live = (untilMs: number) => {
      while (agent.at < untilMs) {
        const due = replies[0] && replies[0].at <= agent.at ? replies.shift() : undefined;
        if (due) seenAt = agent.at;
        const outcome = { kind: "succeeded", revision: ++next } as const;
        answerLater(agent.tell(due ? { kind: "write-replied", id: due.id, outcome } : { kind: "woken" }));
      }
    };
    answerLater(load(agent));
    live(agent.at + 10_000 + phase);
    // The last that is heard of the holder.
    agent.tell({ kind: "record-changed", key: leaseKey, revision: ++next, record: committedLease });
    const expiry = agent.at + leaseMs * (1 + maxClockDriftRatio);
    live(expiry - 20);
    longestUnseenMs = Math.max(longestUnseenMs, agent.at - seenAt);
    assert.equal(ask(agent), false, `the store was seen ${agent.at - seenAt} ms ago`);
  }
  assert.ok(lostMs < longestUnseenMs, `or nothing is shown: ${longestUnseenMs}`);
});

test("a promise ends with the lease that it was given for: whoever asked has given up", () => {
  for (const phase of ["committed", "vacant"] as const) {
    const agent = startAgent("central");
    load(agent);
    agent.look("pg-central", sightOf("c#1", { state: "standby", streaming: true, position: 200 }));
    const blindFrom = agent.at + 2000;
    while (agent.at < blindFrom) agent.tell({ kind: "woken" });
    assert.equal(ask(agent), true);
    const record = { ...committedLease, phase };
    const commands = agent.tell({ kind: "record-changed", key: leaseKey, revision: revision + 1, record });
    const isSealed = commands.some(
      ({ kind, ...rest }) => kind === "member" && "op" in rest && rest.op.kind === "seal",
    );
    assert.equal(isSealed, phase === "vacant", JSON.stringify(commands));
  }
});
