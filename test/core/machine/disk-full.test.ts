/** H7: a primary whose disk is full gives up, where each copy that a proof may need has room. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AgentEventBody } from "../../../src/core/machine/event.ts";
import { timing } from "../../../src/core/machine/timing.ts";
import { type MemberReport, recordKeys } from "../../../src/core/model/record.ts";
import { plainShape, storeName, topologyOf } from "../../../src/sim/shapes.ts";
import { startAgent } from "../parts/agent.ts";
import { committedLease } from "../parts/lease.ts";
import { agentRecord, reportOn, sightOf } from "../parts/member.ts";

const { hungMs } = timing(topologyOf(plainShape).profile);

const primary = sightOf("w#1", {
  state: "primary",
  streaming: false,
  replicas: ["pg-central", "pg-east"].map((member) => ({ member, streaming: true, flushed: 100 })),
  waitsFor: { acknowledgements: 1, standbys: ["pg-central", "pg-east"] },
});

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
      ["central", reportOn("c#1")],
      ["east", reportOn("e#1", east)],
    ] as const) {
      const record = agentRecord(region, { beat, members: { [`pg-${region}`]: report } });
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

test("one is left alone, too, when a copy that is needed has no room, does not stream, is another, or damaged", () => {
  const damaged = { failures: 1, since: 0 };
  for (const east of [{ full: true }, { streaming: false }, { incarnation: "e#2" }, { damaged }] as const)
    assert.equal(
      endedAfter(() => true, east),
      null,
      JSON.stringify(east),
    );
});

test("a person is told once when little is left, and again when nothing is", () => {
  const agent = startAgent("central");
  agent.tell({
    kind: "record-changed",
    key: recordKeys.lease(storeName),
    revision: 9,
    record: committedLease,
  });
  agent.tell({ kind: "store-loaded" });
  const told = [null, 40, 10, 9, 8, 0, 0, 30, 9].map((freePercent) =>
    agent
      .look("pg-central", sightOf("c#1", { freePercent, full: freePercent === 0 }))
      .flatMap((command) =>
        command.kind === "note" && /the disk of pg-central/.test(command.text)
          ? `${command.level}: ${command.text}`
          : [],
      ),
  );
  const low = ["warning: the disk of pg-central has 9 % left"];
  const full = ["alarm: the disk of pg-central is full: it takes not a page more"];
  assert.deepEqual(told, [[], [], [], low, [], full, [], [], low]);
});
