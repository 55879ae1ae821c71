/** Which copies may be made anew, and which are kept, and why. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decideReseed, type ReseedFacts } from "../../../src/core/decide/reseed.ts";
import type { CopyRef, LeaseRecord, MemberReport, RequestRecord } from "../../../src/core/model/record.ts";
import { plainShape, topologyOf } from "../../../src/sim/shapes.ts";
import { committedLease } from "../parts/lease.ts";
import { reportOn } from "../parts/member.ts";
import { requestFor } from "../parts/request.ts";

const [dataStore] = topologyOf(plainShape).dataStores;
assert.ok(dataStore);
const store = dataStore;

const damaged = { failures: 2, since: 0 };
const request = requestFor("reseed", "east");

/** pg-central alone is published, if nothing else is said. */
const [central, east] = committedLease.durable.standbys;
assert.ok(central && east);
const leaseWith = (...standbys: readonly CopyRef[]): LeaseRecord => ({
  ...committedLease,
  durable: { ...committedLease.durable, standbys },
});
const lease = leaseWith(central);

function check(
  expected: "reseed" | "wait" | RegExp,
  asked: Partial<RequestRecord> = {},
  more: Readonly<Record<string, Partial<MemberReport>>> = {},
  world: Partial<Pick<ReseedFacts, "lease" | "dataStore">> = {},
): void {
  const reports: ReseedFacts["reports"] = new Map([
    ["pg-west", reportOn("w#1", { state: "primary", ...more["pg-west"] })],
    ["pg-central", reportOn("c#1", more["pg-central"])],
    ["pg-east", reportOn("e#1", { damaged, ...more["pg-east"] })],
  ]);
  const facts = { request: { ...request, ...asked }, lease, dataStore: store, reports, ...world };
  const decision = decideReseed(facts);
  if (typeof expected === "string") assert.deepEqual(decision, { kind: expected });
  else assert.match(decision.kind === "refuse" ? decision.because : "it is taken up", expected);
}

test("a damaged copy of a standby that streams is made anew", () => {
  check("reseed");
  check("reseed", { ifEpoch: lease.epoch });
});

test("one that does not stream may have what nobody else has: it is brought back first", () => {
  check(
    /pg-east does not stream from epoch 3 \(it is stopped\)/,
    {},
    {
      "pg-east": { state: "stopped", streaming: false },
    },
  );
  check(/does not stream from epoch 3/, {}, { "pg-east": { epoch: 2 } });
});

test("a copy that nothing is known against is kept", () => {
  check(/the copy of pg-central is not known to be damaged/, { toRegion: "central" });
});

test("the primary's is never given up, damaged or not", () => {
  check(/pg-west is the primary: hand .* over/, { toRegion: "west" });
  check(/pg-west is the primary/, { toRegion: "west" }, { "pg-west": { damaged } });
});

test("from a primary that is damaged as well nothing is made", () => {
  check(/the copy of the primary, pg-west, is damaged as well/, {}, { "pg-west": { damaged } });
});

test("what is asked for another epoch, or of a region without a copy, is refused", () => {
  check(/asked for epoch 9, but .* is at epoch 3/, { ifEpoch: 9 });
  check(/has no member in north/, { toRegion: "north" });
  check(/has no member in a region that is not named/, { toRegion: null });
});

test("D1: a published copy is left out first, and where that may not be it stays", () => {
  const published = leaseWith(central, east);
  check("wait", {}, {}, { lease: published });
  const strict = { ...store, strict: true };
  check(/commits wait for pg-east, and orders-db is strict/, {}, {}, { lease: published, dataStore: strict });
  check("reseed", {}, {}, { dataStore: strict });
  const asynchronous = { ...store, replication: "asynchronous" } as const;
  check("reseed", {}, {}, { lease: published, dataStore: asynchronous });
});
