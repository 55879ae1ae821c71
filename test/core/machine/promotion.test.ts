/** H5, H6: what is promoted is the copy that was proven, and not before every promise to a holder is over. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "../../../src/core/machine/command.ts";
import type { AgentEventBody, MemberSight } from "../../../src/core/machine/event.ts";
import type { Lsn } from "../../../src/core/model/lsn.ts";
import { type LeaseRecord, recordKeys } from "../../../src/core/model/record.ts";
import type { InstantMs } from "../../../src/core/model/time.ts";
import { plainShape, storeName, topologyOf } from "../../../src/sim/shapes.ts";
import { startAgent } from "../parts/agent.ts";
import { committedLease } from "../parts/lease.ts";
import { agentRecord, reportOn, sightOf } from "../parts/member.ts";

const { leaseMs } = topologyOf(plainShape).profile;
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

const told = agentRecord("central", {
  expired: { [storeName]: basis },
  members: {
    [member]: reportOn("c#1", {
      position: provenAt,
      floor: claim.epoch,
      seal: { basis, position: provenAt },
      streaming: false,
    }),
  },
});

function standbyAt(position: Lsn): MemberSight {
  const seal = { sealedBasis: basis, sealedPosition: position };
  return sightOf("c#1", { position, inserted: position, floor: claim.epoch, streaming: false, ...seal });
}

interface Ordered {
  readonly at: InstantMs;
  readonly command: Command;
}

/**
 * What an agent orders within a lease and a half that was started anew in the middle of its claim, and finds its copy at
 * `position`. The store takes all that it writes.
 */
function afterRestart(position: Lsn): {
  readonly startedAt: InstantMs;
  readonly ordered: readonly Ordered[];
  readonly tell: (body: AgentEventBody) => void;
} {
  const agent = startAgent("central");
  const startedAt = agent.at;
  const ordered: Ordered[] = [];
  let revision = 9;
  const tell = (body: AgentEventBody): void => {
    const commands = agent.tell(body);
    ordered.push(...commands.map((command) => ({ at: agent.at, command })));
    for (const command of commands)
      if (command.kind === "write")
        tell({ kind: "write-replied", id: command.id, outcome: { kind: "succeeded", revision: ++revision } });
  };
  tell({ kind: "record-changed", key: recordKeys.agent("central"), revision: 8, record: told });
  tell({ kind: "record-changed", key: recordKeys.lease(storeName), revision, record: claim });
  tell({ kind: "store-loaded" });
  tell({ kind: "member-inspected", member, startedAt: agent.at, seen: standbyAt(position) });
  while (agent.at < startedAt + 1.5 * leaseMs) tell({ kind: "woken" });
  return { startedAt, ordered, tell };
}

const opsOf = (ordered: readonly Ordered[]) =>
  ordered.flatMap(({ at, command }) => (command.kind === "member" ? [{ at, op: command.op.kind }] : []));

test("a copy that still has what it was claimed for is promoted, when no promise of a life before can still hold", () => {
  const { startedAt, ordered } = afterRestart(provenAt);
  const [first, ...others] = opsOf(ordered);
  assert.deepEqual([first?.op, others], ["promote", []]);
  const afterMs = (first?.at ?? 0) - startedAt;
  assert.ok(leaseMs < afterMs && afterMs < 1.1 * leaseMs, `after ${afterMs} ms`);
});

test("a copy that was put back between claim and promotion is not promoted: the claim is given up", () => {
  const { ordered } = afterRestart(provenAt - 1);
  assert.equal(opsOf(ordered)[0]?.op, "end");
  assert.equal(
    opsOf(ordered).some(({ op }) => op === "promote"),
    false,
  );
  const alarms = ordered.flatMap(({ command }) =>
    command.kind === "note" && command.level === "alarm" ? command.text : [],
  );
  assert.match(alarms.join("\n"), /ends at 109, and it was claimed for what it had before: it was put back/);
});

test("the table that names the new writer is sent with the commit, and after it", () => {
  const { ordered, tell } = afterRestart(provenAt);
  const promotion = ordered.findLast(({ command }) => command.kind === "member")?.command;
  assert.ok(promotion?.kind === "member" && promotion.op.kind === "promote");
  const before = ordered.length;
  const outcome = {
    kind: "succeeded",
    op: "promote",
    position: provenAt + 10,
    incarnation: "c#1",
    timeline: 2,
  } as const;
  tell({ kind: "member-replied", member, id: promotion.id, outcome });
  const since = ordered.slice(before);
  const commit = since.findIndex(
    ({ command }) => command.kind === "write" && command.key === recordKeys.lease(storeName),
  );
  const table = since.findIndex(({ command }) => command.kind === "publish");
  const { command: written, at } = since[commit] as Ordered;
  const { command: published, at: publishedAt } = since[table] as Ordered;
  assert.ok(written.kind === "write" && published.kind === "publish");
  assert.equal((written.record as LeaseRecord).phase, "committed");
  assert.deepEqual(published.table.stores[storeName], {
    epoch: claim.epoch,
    changing: false,
    writer: { member, region: "central", gate: topologyOf(plainShape).dataStores[0]?.members[1]?.gate },
  });
  assert.ok(commit < table);
  assert.equal(publishedAt, at);
});
