/** N1, N2: publications are remembered beside each member, and a primary publishes beyond what anybody remembers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "../../../src/core/machine/command.ts";
import type { MemberSight } from "../../../src/core/machine/event.ts";
import { type LeaseRecord, recordKeys } from "../../../src/core/model/record.ts";
import { storeName } from "../../../src/sim/shapes.ts";
import { startAgent } from "../parts/agent.ts";
import { committedLease } from "../parts/lease.ts";
import { agentRecord, leadingSight, reportOn, sightOf } from "../parts/member.ts";

const key = recordKeys.lease(storeName);
const { epoch, durable } = committedLease;
const published = (publication: number): LeaseRecord => ({
  ...committedLease,
  durable: { ...durable, publication },
});
const isRemembering = (command: Command) => command.kind === "remember";

/** The agent of `region` has read the store; `look` is what it orders when it sees its member. */
function agentOf(region: string, member: string, lease: LeaseRecord) {
  const agent = startAgent(region);
  const { tell } = agent;
  const look = (seen: MemberSight) => agent.look(member, seen);
  tell({ kind: "record-changed", key, revision: 9, record: lease });
  tell({ kind: "store-loaded" });
  return { tell, look };
}

test("N1: a standby's disk is given each publication that stands, until a look shows that it has it", () => {
  const { look } = agentOf("central", "pg-central", published(4));
  const first = look(sightOf("c#1")).filter(isRemembering);
  assert.deepEqual(first, [{ kind: "remember", member: "pg-central", epoch, publication: 4 }]);
  assert.deepEqual(look(sightOf("c#1")).filter(isRemembering), [], "not with every look");
  let looks = 0;
  let again: readonly Command[] = [];
  for (; again.length === 0 && looks < 1000; looks++) again = look(sightOf("c#1")).filter(isRemembering);
  assert.deepEqual(again, first, "again, when the disk did not take it");
  const seen = sightOf("c#1", { publication: 4 });
  assert.deepEqual(Array.from({ length: looks * 2 }, () => look(seen).filter(isRemembering)).flat(), []);
});

test("N1: what a member that was never in this epoch remembers is of another", () => {
  const { look } = agentOf("central", "pg-central", published(4));
  assert.deepEqual(look(sightOf("c#1", { floor: epoch - 1 })).filter(isRemembering), []);
});

test("N2: a primary that finds an older store publishes anew, beyond what anybody remembers, from where it is by then", () => {
  const { tell, look } = agentOf("west", "pg-west", published(1));
  const standby = (name: string, publication: number) =>
    agentRecord(name, { members: { [`pg-${name}`]: reportOn(`${name[0]}#1`, { publication }) } });
  const primary = leadingSight({ inserted: 230 });
  const writes: LeaseRecord[] = [];
  let revision = 20;
  const answer = (commands: readonly Command[]): void => {
    for (const command of commands)
      if (command.kind === "write") {
        if (command.key === key) writes.push(command.record as LeaseRecord);
        const outcome = { kind: "succeeded", revision: ++revision } as const;
        answer(tell({ kind: "write-replied", id: command.id, outcome }));
      }
  };
  for (const [region, publication] of [
    ["central", 1],
    ["east", 3],
  ] as const)
    answer(
      tell({
        kind: "record-changed",
        key: recordKeys.agent(region),
        revision: ++revision,
        record: standby(region, publication),
      }),
    );
  for (let looks = 0; looks < 5; looks++) answer(look(primary));
  const last = writes.findLast((record) => record.durable.publication !== 1);
  assert.deepEqual(last?.durable, { ...durable, position: 230, publication: 4 });
});
