/** H5: what is promoted is the copy that was proven, and no copy that was put back since. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "../../../src/core/machine/command.ts";
import type { AgentEventBody, MemberSight } from "../../../src/core/machine/event.ts";
import type { Lsn } from "../../../src/core/model/lsn.ts";
import { type AgentRecord, type LeaseRecord, recordKeys } from "../../../src/core/model/record.ts";
import { plainShape, storeName, topologyOf } from "../../../src/sim/shapes.ts";
import { startAgent } from "../parts/agent.ts";
import { committedLease } from "../parts/lease.ts";

const member = "pg-central";
const provenAt = 110;
/** Of the lease that the dead primary held last: what the seal refers to. */
const basis = 7;

const claim: LeaseRecord = {
  ...committedLease,
  epoch: committedLease.epoch + 1,
  phase: "claimed",
  holder: member,
  basis,
  because: "the lease expired",
};

const told: AgentRecord = {
  schema: 1,
  region: "central",
  boot: "central-1",
  beat: 40,
  expired: { [storeName]: basis },
  members: {
    [member]: {
      state: "standby",
      incarnation: "c#1",
      timeline: 1,
      position: provenAt,
      epoch: committedLease.epoch,
      floor: claim.epoch,
      seal: { basis, position: provenAt },
      streaming: false,
    },
  },
  sees: {},
  applied: 1,
  topology: topologyOf(plainShape).digest,
  holding: {},
};

function standbyAt(position: Lsn): MemberSight {
  return {
    state: "standby",
    incarnation: "c#1",
    timeline: 1,
    position,
    inserted: position,
    epoch: committedLease.epoch,
    floor: claim.epoch,
    streaming: false,
    frozen: false,
    sealedBasis: basis,
    sealedPosition: position,
    replicas: [],
    waitsFor: null,
    problem: "",
  };
}

/** What an agent orders that was started anew in the middle of its claim, and finds its copy at `position`. */
function afterRestart(position: Lsn): readonly Command[] {
  const agent = startAgent("central");
  const ordered: Command[] = [];
  const tell = (body: AgentEventBody): readonly Command[] => {
    const commands = agent.tell(body);
    ordered.push(...commands);
    return commands;
  };
  tell({ kind: "record-changed", key: recordKeys.agent("central"), revision: 8, record: told });
  tell({ kind: "record-changed", key: recordKeys.lease(storeName), revision: 9, record: claim });
  const afterLoading = tell({ kind: "store-loaded" });
  const afterLooking = tell({
    kind: "member-inspected",
    member,
    startedAt: agent.at,
    seen: standbyAt(position),
  });
  // Nothing is confirmed to who comes back before a renewal is.
  const renewal = [...afterLoading, ...afterLooking].find(
    (command) => command.kind === "write" && command.key === recordKeys.lease(storeName),
  );
  if (renewal?.kind === "write")
    tell({ kind: "write-replied", id: renewal.id, outcome: { kind: "succeeded", revision: 10 } });
  return ordered;
}

const opsOf = (commands: readonly Command[]) =>
  commands.flatMap((command) => (command.kind === "member" ? [command.op.kind] : []));

test("a copy that still has what it was claimed for is promoted", () => {
  assert.deepEqual(opsOf(afterRestart(provenAt)), ["promote"]);
});

test("a copy that was put back between claim and promotion is not promoted: the claim is given up", () => {
  const ordered = afterRestart(provenAt - 1);
  assert.deepEqual(opsOf(ordered), ["end"]);
  const alarms = ordered.flatMap((command) =>
    command.kind === "note" && command.level === "alarm" ? command.text : [],
  );
  assert.match(alarms.join("\n"), /ends at 109, and it was claimed for what it had before: it was put back/);
});
