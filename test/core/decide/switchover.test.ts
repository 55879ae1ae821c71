/** Which requests for a planned change are taken up, and which are refused and why. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decideSwitchover, type SwitchoverFacts } from "../../../src/core/decide/switchover.ts";
import type { MemberReport, RequestRecord } from "../../../src/core/model/record.ts";
import { plainShape, topologyOf } from "../../../src/sim/shapes.ts";
import { committedLease as lease } from "../parts/lease.ts";
import { requestFor } from "../parts/request.ts";

const topology = topologyOf(plainShape);
const [dataStore] = topology.dataStores;
assert.ok(dataStore);
const store = dataStore;

const request = requestFor("switchover", "east", { why: "maintenance" });

const following = (incarnation: string, more: Partial<MemberReport> = {}): MemberReport => ({
  state: "standby",
  incarnation,
  timeline: 1,
  position: 1000,
  epoch: 3,
  floor: 0,
  seal: null,
  streaming: true,
  ...more,
});

function decide(more: Partial<SwitchoverFacts> = {}, asked: Partial<RequestRecord> = {}) {
  return decideSwitchover({
    request: { ...request, ...asked },
    lease,
    dataStore: store,
    regions: topology.regions,
    reports: new Map([
      ["pg-central", following("c#1")],
      ["pg-east", following("e#1")],
    ]),
    position: 1000,
    lagMaxBytes: 500,
    ...more,
  });
}

function refuses(decision: ReturnType<typeof decideSwitchover>, pattern: RegExp): void {
  assert.equal(decision.kind, "refuse");
  assert.match(decision.because, pattern);
}

test("a target that streams, is close and is published is handed over to", () => {
  assert.deepEqual(decide(), {
    kind: "hand-over",
    to: "pg-east",
    because: "switchover asked by ann: maintenance",
  });
});

test("without a region the first that can in the order of the topology is taken", () => {
  const decision = decide({}, { toRegion: null });
  assert.ok(decision.kind === "hand-over");
  assert.equal(decision.to, "pg-central");
});

test("what was asked for another epoch is refused", () => {
  refuses(decide({}, { ifEpoch: 2 }), /asked for epoch 2, but .* is at epoch 3/);
  assert.equal(decide({}, { ifEpoch: 3 }).kind, "hand-over");
});

test("where it leads already, or has no member, it is not handed over", () => {
  refuses(decide({}, { toRegion: "west" }), /is led by pg-west in west already/);
  refuses(decide({}, { toRegion: "mars" }), /has no member in mars/);
});

test("a target that does not stream, lags, is rebuilt, damaged or may not have the rows is refused, with the reason", () => {
  const east = (report: MemberReport) => decide({ reports: new Map([["pg-east", report]]) });
  refuses(east(following("e#1", { streaming: false })), /does not stream from epoch 3/);
  refuses(east(following("e#1", { epoch: 2 })), /does not stream from epoch 3/);
  refuses(east(following("e#1", { position: 499 })), /501 bytes behind, at most 500/);
  assert.equal(east(following("e#1", { position: 500 })).kind, "hand-over");
  refuses(east(following("e#2")), /not among the published copies/);
  refuses(east(following("e#1", { damaged: { failures: 1, since: 0 } })), /the copy of pg-east is damaged/);
  refuses(decide({ dataStore: { ...store, jurisdictions: ["there"] } }), /jurisdiction here, allowed: there/);
  refuses(
    decide({
      dataStore: { ...store, members: store.members.map((member) => ({ ...member, promotable: false })) },
    }),
    /not promotable/,
  );
});
