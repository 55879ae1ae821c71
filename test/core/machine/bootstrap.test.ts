/** The first primary is made where there was never one, and not where all that is left of one is that it was seen. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "../../../src/core/machine/command.ts";
import type { AgentEventBody } from "../../../src/core/machine/event.ts";
import { type LeaseRecord, recordKeys } from "../../../src/core/model/record.ts";
import type { RoutingTable, SignedTable } from "../../../src/core/model/routing.ts";
import { storeName } from "../../../src/sim/shapes.ts";
import { startAgent } from "../parts/agent.ts";
import { committedLease } from "../parts/lease.ts";
import { agentRecord, reportOn, sightOf } from "../parts/member.ts";

const lease = recordKeys.lease(storeName);
const empty = {
  state: "absent",
  incarnation: null,
  floor: 0,
  epoch: 0,
  position: 0,
  streaming: false,
} as const;

/** What the agent of the first member writes of the lease when it finds every member empty, after what it has read. */
function begins(read: readonly AgentEventBody[]): LeaseRecord | undefined {
  const agent = startAgent("west");
  const said: Command[] = [];
  const tell = (body: AgentEventBody) => said.push(...agent.tell(body));
  for (const event of read) tell(event);
  for (const region of ["central", "east"]) {
    const record = agentRecord(region, { members: { [`pg-${region}`]: reportOn("", empty) } });
    tell({ kind: "record-changed", key: recordKeys.agent(region), revision: 30, record });
  }
  tell({ kind: "store-loaded" });
  said.push(...agent.look("pg-west", sightOf("", empty)));
  for (let turns = 0; turns < 1000; turns++) tell({ kind: "woken" });
  const written = said.find((command) => command.kind === "write" && command.key === lease);
  return written?.kind === "write" ? (written.record as LeaseRecord) : undefined;
}

test("where no lease was ever seen, and every member is empty, the first member is made the first primary", () => {
  const record = begins([]);
  assert.deepEqual([record?.epoch, record?.phase, record?.holder], [1, "claimed", "pg-west"]);
});

test("whoever has seen a lease does not begin anew when it has gone, whatever became of the copies", () => {
  const seen = { kind: "record-changed", key: lease, revision: 9, record: committedLease } as const;
  assert.equal(begins([seen, { ...seen, revision: 10, record: null }]), undefined);
});

test("whoever reads of a primary in the routing table does not, either", () => {
  const store = { epoch: 2, writer: null, changing: true };
  const table = {
    schema: 1,
    generation: 4,
    epoch: 2,
    stores: { [storeName]: store },
    regions: {},
    services: {},
  };
  const record: SignedTable = { table: table as unknown as RoutingTable, keyId: "", signature: "" };
  assert.equal(begins([{ kind: "record-changed", key: recordKeys.routing, revision: 8, record }]), undefined);
});
