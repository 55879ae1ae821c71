/** Who may claim a lease, and why the others hold. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ClaimFacts, decideClaim } from "../../../src/core/decide/claim.ts";
import type { MemberReport } from "../../../src/core/model/record.ts";
import { plainShape, topologyOf } from "../../../src/sim/shapes.ts";
import { committedLease as lease } from "../parts/lease.ts";

const topology = topologyOf(plainShape);
const [dataStore] = topology.dataStores;
assert.ok(dataStore);

const sealed = (position: number, incarnation: string, floor = 3): MemberReport => ({
  state: "standby",
  incarnation,
  timeline: 1,
  position,
  epoch: 0,
  floor,
  seal: { basis: 40, position },
  streaming: false,
});

function facts(more: Partial<ClaimFacts> = {}): ClaimFacts {
  assert.ok(dataStore);
  return {
    lease,
    revision: 40,
    basis: 40,
    dataStore,
    regions: topology.regions,
    mode: "auto",
    member: "pg-central",
    reports: new Map([
      ["pg-central", sealed(200, "c#1")],
      ["pg-east", sealed(150, "e#1")],
    ]),
    votes: new Set(["central", "east"]),
    storeMs: new Map(),
    overSince: 1000,
    now: 1000,
    patienceMs: 2000,
    approval: null,
    ...more,
  };
}

function check(more: Partial<ClaimFacts>, expected: "claim" | RegExp): void {
  const decision = decideClaim(facts(more));
  if (expected === "claim") assert.equal(decision.kind, "claim", decision.because);
  else {
    assert.equal(decision.kind, "hold", decision.because);
    assert.match(decision.because, expected);
  }
}

test("with a majority of votes and enough sealed copies, the furthest claims at once", () => {
  check({}, "claim");
});

test("a minority of votes claims nothing; a vacant lease needs none (L4)", () => {
  check({ votes: new Set(["central"]) }, /1 of 3 regions saw the lease of epoch 3 expire, 2 are needed/);
  check({ votes: new Set(), lease: { ...lease, phase: "vacant" } }, "claim");
});

test("one sealed copy of two that are needed proves nothing, and the way out for a person is named", () => {
  const reports = new Map([["pg-central", sealed(200, "c#1")]]);
  check({ reports }, /1 of 2 published copies are sealed.*--allow-data-loss/s);
  check({ reports, approval: { request: "r1", allowDataLoss: true } }, "claim");
  check({ reports, approval: { request: "r1", allowDataLoss: false } }, /1 of 2/);
});

test("a rebuilt copy is not trusted by its name (trap 4)", () => {
  const reports = new Map([
    ["pg-central", sealed(200, "c#1")],
    ["pg-east", sealed(150, "e#2")],
  ]);
  check({ reports }, /1 of 2 published copies are sealed/);
});

test("S14: a member in a jurisdiction that the rows may not be in never leads, also when it is the only one", () => {
  check({ dataStore: { ...facts().dataStore, jurisdictions: ["elsewhere"] } }, /jurisdiction here/);
  check({ dataStore: { ...facts().dataStore, jurisdictions: ["here"] } }, "claim");
});

test("observe watches, advise says, approve waits for a person", () => {
  check({ mode: "observe" }, /mode is observe/);
  check({ mode: "advise" }, /would have promoted pg-central/);
  check({ mode: "approve" }, /waiting for approval/);
  check({ mode: "approve", approval: { request: "r1", allowDataLoss: false } }, "claim");
});

test("the second best waits for the best, and then goes ahead", () => {
  const reports = new Map([
    ["pg-central", sealed(150, "c#1")],
    ["pg-east", sealed(150, "e#1")],
  ]);
  const second = { reports, member: "pg-east" };
  check({ ...second, now: 1000 }, /pg-central is better placed/);
  check({ ...second, now: 3001 }, "claim");
});

test("of equal copies the one goes first that writes to the store soonest, and a further copy before it", () => {
  const reports = new Map([
    ["pg-central", sealed(150, "c#1")],
    ["pg-east", sealed(150, "e#1")],
  ]);
  const storeMs = new Map([
    ["central", 160],
    ["east", 80],
  ]);
  check({ reports, storeMs }, /pg-east is better placed/);
  check({ reports, storeMs, member: "pg-east" }, "claim");
  check({ storeMs }, "claim");
});

test("S1: a store that is older than what a member has been claimed for is no evidence, and a person is asked", () => {
  const reports = new Map([
    ["pg-central", sealed(200, "c#1")],
    ["pg-east", sealed(150, "e#1", 9)],
  ]);
  check(
    { reports },
    /the store knows epoch 3, and a member has been claimed for epoch 9.*--allow-data-loss/s,
  );
  check({ reports, approval: { request: "r1", allowDataLoss: false } }, /the store knows epoch 3/);
});

test("S1: a store that is older than the last publication that a member remembers is no evidence, and a person is asked", () => {
  const reports = (publication: number, floor?: number) =>
    new Map([
      ["pg-central", sealed(200, "c#1")],
      ["pg-east", { ...sealed(150, "e#1", floor), publication }],
    ]);
  const older = { reports: reports(2, lease.epoch) };
  check(
    older,
    /the store knows publication 0 of epoch 3, and a member remembers publication 2.*--allow-data-loss/s,
  );
  check({ ...older, approval: { request: "r1", allowDataLoss: false } }, /the store knows publication 0/);
  check({ ...older, approval: { request: "r1", allowDataLoss: true } }, "claim");
  check({ reports: reports(2, lease.epoch - 1) }, "claim");
  // D2: but the last primary's own copy is whole whatever the store says of others.
  const own = new Map([...older.reports, ["pg-west", sealed(200, "w#1", lease.epoch)]] as const);
  check({ reports: own, member: "pg-west", now: 60_000 }, "claim");
  check({ reports: reports(0, lease.epoch) }, "claim");
});

test("S3: the next epoch is above every floor, also when the store was restored from an older snapshot", () => {
  const reports = new Map([
    ["pg-central", sealed(200, "c#1")],
    ["pg-east", sealed(150, "e#1", 9)],
  ]);
  const decision = decideClaim(facts({ reports, approval: { request: "r1", allowDataLoss: true } }));
  assert.ok(decision.kind === "claim");
  assert.equal(decision.epoch, 10);
  assert.match(decision.because, /loss accepted by r1/);
});

const damaged = { failures: 2, since: 0 };

test("C1: a damaged copy does not lead, and still counts for the proof of a whole one", () => {
  const reports = (central: number) =>
    new Map([
      ["pg-central", { ...sealed(central, "c#1"), damaged }],
      ["pg-east", sealed(150, "e#1")],
    ]);
  check({ reports: reports(150) }, /the copy of pg-central is damaged/);
  // At once: whoever may not lead is not waited for.
  check({ reports: reports(150), member: "pg-east" }, "claim");
  check({ reports: reports(200), member: "pg-east" }, /1 of 2 published copies are sealed/);
});

test("C1: a handover is not waited for once the copy that it names is damaged", () => {
  const reports = new Map([
    ["pg-central", { ...sealed(150, "c#1"), damaged }],
    ["pg-east", sealed(150, "e#1")],
  ]);
  const handover = { to: "pg-central", request: "r1" };
  check({ reports, member: "pg-east", lease: { ...lease, handover } }, "claim");
});

test("C1: where a person accepts the loss, a damaged copy leads if no whole one is sealed", () => {
  const approval = { request: "r1", allowDataLoss: true };
  const central = { ...sealed(200, "c#1"), damaged };
  check({ reports: new Map([["pg-central", central]]), approval }, "claim");
  check(
    { reports: new Map([["pg-central", central]]), approval: { ...approval, allowDataLoss: false } },
    /is damaged.*--allow-data-loss/,
  );
  const reports = new Map([
    ["pg-central", central],
    ["pg-east", sealed(150, "e#1")],
  ]);
  check({ reports, approval }, /the copy of pg-central is damaged/);
});

test("C1: the last primary's copy, damaged, comes last, and leads again where nobody else can be proven", () => {
  const west = { ...sealed(200, "w#1"), damaged };
  const alone = { ...lease, durable: { ...lease.durable, acknowledgements: 0, standbys: [] } };
  check({ reports: new Map([["pg-west", west]]), member: "pg-west", lease: alone }, "claim");
  const reports = new Map([
    ["pg-west", west],
    ["pg-central", sealed(150, "c#1")],
    ["pg-east", sealed(150, "e#1")],
  ]);
  check({ reports, member: "pg-west" }, /pg-central is better placed/);
});
