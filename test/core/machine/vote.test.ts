/** An agent whose member was never seen, because its disk is dead, is a region that only votes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "../../../src/core/machine/command.ts";
import { type AgentRecord, recordKeys } from "../../../src/core/model/record.ts";
import { plainShape, storeName, topologyOf } from "../../../src/sim/shapes.ts";
import { startAgent } from "../parts/agent.ts";
import { committedLease } from "../parts/lease.ts";

const { leaseMs } = topologyOf(plainShape).profile;
const lease = recordKeys.lease(storeName);

test("an agent that has never seen its member votes that the lease has expired, and claims nothing", () => {
  const agent = startAgent("central");
  let revision = 9;
  const written: { key: string; record: unknown }[] = [];
  const answer = (commands: readonly Command[]): void => {
    for (const command of commands)
      if (command.kind === "write") {
        written.push(command);
        const outcome = { kind: "succeeded", revision: ++revision } as const;
        answer(agent.tell({ kind: "write-replied", id: command.id, outcome }));
      }
  };
  answer(agent.tell({ kind: "record-changed", key: lease, revision, record: committedLease }));
  answer(agent.tell({ kind: "store-loaded" }));
  const votes = () =>
    written
      .filter(({ key }) => key === recordKeys.agent("central"))
      .map(({ record }) => (record as AgentRecord).expired[storeName]);
  const waitUntil = (at: number) => {
    while (agent.at < at) answer(agent.tell({ kind: "woken" }));
  };
  const seenAt = agent.at;
  waitUntil(seenAt + 0.9 * leaseMs);
  assert.deepEqual(new Set(votes()), new Set([undefined]));
  waitUntil(seenAt + 2 * leaseMs);
  assert.equal(votes().at(-1), 9);
  assert.ok(written.every(({ key }) => key !== lease));
});
