/** What people are told of a copy whose pages fail their checksum. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeRecord } from "../../src/agent/decode.ts";
import { agentMetrics } from "../../src/agent/metrics.ts";
import { viewStatus } from "../../src/agent/view.ts";
import type { AgentEventBody } from "../../src/core/machine/event.ts";
import { transition } from "../../src/core/machine/machine.ts";
import { type AgentState, initialState } from "../../src/core/machine/state.ts";
import { type LeaseRecord, type MemberReport, recordKeys } from "../../src/core/model/record.ts";
import { plainShape, storeName, topologyOf } from "../../src/sim/shapes.ts";
import { committedLease } from "../core/parts/lease.ts";
import { agentRecord, reportOn } from "../core/parts/member.ts";

const damaged = { failures: 3, since: Date.UTC(2026, 10, 22) };

/** As pg-east's agent shows it, told so of the members. */
function stateWith(reports: Readonly<Record<string, Partial<MemberReport>>>, lease: LeaseRecord): AgentState {
  const topology = topologyOf(plainShape);
  let state = initialState({ self: "east", boot: "east-2", topology, at: 1000 });
  const tell = (body: AgentEventBody) => {
    state = transition(state, { ...body, at: 1010, wall: 1010 }, { digest: () => "" }).state;
  };
  tell({ kind: "record-changed", key: recordKeys.lease(storeName), revision: 9, record: lease });
  for (const region of ["west", "central", "east"]) {
    const report = reportOn(`${region[0]}#1`, {
      ...(region === "west" && { state: "primary", streaming: false }),
      ...reports[region],
    });
    const key = recordKeys.agent(region);
    const written = agentRecord(region, { members: { [`pg-${region}`]: report } });
    const decoded = decodeRecord(key, JSON.stringify(written));
    assert.ok(decoded.kind === "decoded");
    tell({ kind: "record-changed", key, revision: 8, record: decoded.record });
  }
  tell({ kind: "store-loaded" });
  return state;
}

function view(reports: Readonly<Record<string, Partial<MemberReport>>>, lease = committedLease) {
  const { servedBy, dataStores } = viewStatus(stateWith(reports, lease), 1010);
  return { servedBy, damaged: dataStores[0]?.members.map((member) => member.damaged ?? "") };
}

test("while every copy is whole nothing is said of damage", () => {
  const seen = view({});
  assert.deepEqual(seen.damaged, ["", "", ""]);
  assert.match(seen.servedBy, /if it dies now, central takes over/);
});

test("a standby's damage is told with what to do, and it is not said to take over", () => {
  const seen = view({ central: { damaged } });
  assert.match(
    seen.damaged?.[1] ?? "",
    /^copy damaged: at least 3 checksums of pages failed on pg-central since 2026-11-22T00:00:00.000Z; commits wait for it, .*"holdfast reseed orders-db --region central"/,
  );
  const [, east] = committedLease.durable.standbys;
  assert.ok(east);
  const without = { ...committedLease, durable: { ...committedLease.durable, standbys: [east] } };
  assert.match(view({ central: { damaged } }, without).damaged?.[1] ?? "", /; no commit waits for it/);
  assert.match(seen.servedBy, /if it dies now, east takes over/);
});

test("where every published copy is damaged, nobody takes over without a person", () => {
  const seen = view({ central: { damaged }, east: { damaged } });
  assert.match(seen.servedBy, /nobody can take over without a person: .* are damaged/);
});

test("a primary's damage is told with the way out", () => {
  const seen = view({ west: { damaged } });
  assert.match(seen.damaged?.[0] ?? "", /it goes on leading.*"holdfast switchover orders-db"/);
});

test("a disk that is full or nearly is told, with what is left, and measured", () => {
  const lease = committedLease;
  const state = stateWith(
    { west: { freePercent: 9 }, central: { full: true, freePercent: 0 }, east: {} },
    lease,
  );
  const [west, central, east] = viewStatus(state, 1010).dataStores[0]?.members ?? [];
  assert.equal(west?.disk, "disk nearly full: 9 % left; make room");
  assert.match(central?.disk ?? "", /^disk full: it takes not a page more/);
  assert.deepEqual([east?.disk, east?.freePercent], [undefined, null]);
  const text = agentMetrics(state, 1010, { transitions: 0, commands: 0 });
  assert.match(text, /^holdfast_member_disk_free_ratio\{data_store="orders-db",member="pg-west"\} 0\.09$/m);
  assert.doesNotMatch(text, /disk_free_ratio\{[^}]*pg-east/);
});

test("a metric says of which member pages failed", () => {
  const text = agentMetrics(stateWith({ central: { damaged } }, committedLease), 1010, {
    transitions: 0,
    commands: 0,
  });
  assert.match(text, /^holdfast_member_damaged\{data_store="orders-db",member="pg-west"\} 0$/m);
  assert.match(text, /^holdfast_member_damaged\{data_store="orders-db",member="pg-central"\} 1$/m);
});
