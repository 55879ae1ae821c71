/** T1, T2: a seal that is told directly counts as one that is read in the store, until the store says more. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "../../../src/core/machine/command.ts";
import { type LeaseRecord, recordKeys, type ToldReport } from "../../../src/core/model/record.ts";
import { storeName } from "../../../src/sim/shapes.ts";
import { startAgent } from "../parts/agent.ts";
import { committedLease } from "../parts/lease.ts";
import { agentRecord, reportOn, sightOf } from "../parts/member.ts";

const member = "pg-central";
const end = 110;
const vacantAt = 9;
const vacant: LeaseRecord = {
  ...committedLease,
  phase: "vacant",
  because: "PostgreSQL of pg-west is stopped",
};

const east = reportOn("e#1", { position: 105 });

const sealed: ToldReport = {
  boot: "east-1",
  beat: 40,
  report: { ...east, seal: { basis: vacantAt, position: 105 }, streaming: false },
};

/** Its own copy is sealed against the vacant lease, and the store says of pg-east that it streams. */
function sealedAgent(beat = 40): { tell: ReturnType<typeof startAgent>["tell"]; said: readonly Command[] } {
  const agent = startAgent("central");
  const written = agentRecord("east", { beat, members: { "pg-east": east } });
  const said: Command[] = [];
  const tell: typeof agent.tell = (body) => {
    const commands = agent.tell(body);
    said.push(...commands);
    return commands;
  };
  tell({ kind: "record-changed", key: recordKeys.agent("east"), revision: 7, record: written });
  tell({ kind: "record-changed", key: recordKeys.lease(storeName), revision: vacantAt, record: vacant });
  tell({ kind: "store-loaded" });
  tell({ kind: "member-inspected", member, startedAt: agent.at, seen: sightOf("c#1", { position: end }) });
  const seal = said.find((command) => command.kind === "member");
  assert.ok(seal?.kind === "member" && seal.op.kind === "seal");
  tell({
    kind: "member-replied",
    member,
    id: seal.id,
    outcome: { kind: "succeeded", op: "seal", position: end },
  });
  return { tell, said };
}

const claims = (commands: readonly Command[]) =>
  commands.filter((command) => command.kind === "write" && command.key === recordKeys.lease(storeName))
    .length;

test("an agent tells the others of its seal, and that of no beat that it has not written", () => {
  const { said } = sealedAgent();
  const [told, ...more] = said.filter((command) => command.kind === "tell-seal");
  assert.equal(more.length, 0);
  assert.deepEqual([...(told?.regions ?? [])].sort(), ["east", "west"]);
  assert.deepEqual(told?.told.report.seal, { basis: vacantAt, position: end });
  const beats = said.flatMap((command) =>
    command.kind === "write" && "beat" in command.record ? command.record.beat : [],
  );
  assert.ok((told?.told.beat ?? Number.NaN) <= Math.max(...beats));
});

test("a claim goes by a seal that was told, and its quorum too", () => {
  const { tell, said } = sealedAgent();
  assert.equal(claims(said), 0);
  assert.equal(claims(tell({ kind: "seal-told", member: "pg-east", told: sealed })), 1);
});

test("what the store says since counts instead, and so does another life", () => {
  for (const told of [
    { ...sealed, beat: 39 },
    { ...sealed, boot: "east-0" },
    { ...sealed, report: { ...sealed.report, seal: null } },
    { ...sealed, report: { ...sealed.report, seal: { basis: vacantAt - 1, position: 105 } } },
    { ...sealed, report: { ...sealed.report, incarnation: "e#0" } },
  ]) {
    const { tell } = sealedAgent();
    assert.equal(claims(tell({ kind: "seal-told", member: "pg-east", told })), 0, JSON.stringify(told));
  }
});
