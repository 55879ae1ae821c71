/** H7: a primary whose disk is full gives up, where each copy that a proof may need has room. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AgentEventBody, MemberSight } from "../../../src/core/machine/event.ts";
import { timing } from "../../../src/core/machine/timing.ts";
import { type AgentRecord, type MemberReport, recordKeys } from "../../../src/core/model/record.ts";
import { plainShape, storeName, topologyOf } from "../../../src/sim/shapes.ts";
import { startAgent } from "../parts/agent.ts";
import { committedLease } from "../parts/lease.ts";

const { hungMs } = timing(topologyOf(plainShape).profile);

const primary: MemberSight = {
  state: "primary",
  incarnation: "w#1",
  timeline: 1,
  position: 100,
  inserted: 100,
  epoch: committedLease.epoch,
  floor: committedLease.epoch,
  streaming: false,
  frozen: false,
  sealedBasis: 0,
  sealedPosition: 0,
  replicas: ["pg-central", "pg-east"].map((member) => ({ member, streaming: true, flushed: 100 })),
  waitsFor: { acknowledgements: 1, standbys: ["pg-central", "pg-east"] },
  problem: "",
};

const standby: MemberReport = {
  state: "standby",
  incarnation: "e#1",
  timeline: 1,
  position: 100,
  epoch: committedLease.epoch,
  floor: committedLease.epoch,
  seal: null,
  streaming: true,
};

function recordOf(region: string, report: MemberReport, beat: number): AgentRecord {
  return {
    schema: 1,
    region,
    boot: `${region}-1`,
    beat,
    expired: {},
    members: { [`pg-${region}`]: report },
    sees: {},
    applied: 1,
    topology: topologyOf(plainShape).digest,
    holding: {},
  };
}

/** How long the primary's agent leaves it alone, in ms; null: for longer than it waits. */
function endedAfter(full: (afterMs: number) => boolean, east: Partial<MemberReport>): number | null {
  const agent = startAgent("west");
  let revision = 9;
  let ended = false;
  const tell = (body: AgentEventBody): void => {
    for (const command of agent.tell(body)) {
      if (command.kind === "write")
        tell({ kind: "write-replied", id: command.id, outcome: { kind: "succeeded", revision: ++revision } });
      if (command.kind === "member" && command.op.kind === "end") ended = true;
    }
  };
  tell({ kind: "record-changed", key: recordKeys.lease(storeName), revision, record: committedLease });
  tell({ kind: "store-loaded" });
  const begunAt = agent.at;
  for (let beat = 1; agent.at < begunAt + 2 * hungMs && !ended; beat++) {
    for (const [region, report] of [
      ["central", { ...standby, incarnation: "c#1" }],
      ["east", { ...standby, ...east }],
    ] as const) {
      const record = recordOf(region, report, beat);
      tell({ kind: "record-changed", key: recordKeys.agent(region), revision: ++revision, record });
    }
    const seen = { ...primary, full: full(agent.at - begunAt) };
    tell({ kind: "member-inspected", member: "pg-west", startedAt: agent.at, seen });
  }
  return ended ? agent.at - begunAt : null;
}

test("a primary whose disk is full is given up after a while", () => {
  const afterMs = endedAfter(() => true, {});
  assert.ok(afterMs !== null && hungMs < afterMs && afterMs < 1.2 * hungMs, `${afterMs}`);
});

test("one that has room, or has it again, is left alone", () => {
  assert.equal(
    endedAfter(() => false, {}),
    null,
  );
  assert.equal(
    endedAfter((afterMs) => afterMs % hungMs < hungMs / 2, {}),
    null,
  );
});

test("one is left alone, too, when a copy that is needed has no room, does not stream, or is another", () => {
  for (const east of [{ full: true }, { streaming: false }, { incarnation: "e#2" }] as const)
    assert.equal(
      endedAfter(() => true, east),
      null,
      JSON.stringify(east),
    );
});
