/** Two topologies in, what changed between them out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { diffTopologies } from "../../../src/core/spec/diff.ts";
import { topologyArb } from "./arbitrary.ts";
import { edit, exampleText, topologyOf } from "./text.ts";

const three = exampleText("three-regions.yaml");

function check(
  name: string,
  after: string,
  expected: readonly [kind: string, path: string, beware: RegExp][],
) {
  test(name, () => {
    const changes = diffTopologies(topologyOf(three), topologyOf(after));
    assert.deepEqual(
      changes.map(({ kind, path }) => [kind, path]),
      expected.map(([kind, path]) => [kind, path]),
    );
    for (const [index, [, , beware]] of expected.entries()) assert.match(changes[index]!.beware, beware);
  });
}

check("comments and layout are no change", `# hello\n${three}`, []);
check("a changed objective is one change", edit(three, "rto: 15s", "rto: 20s"), [
  ["changed", "Service/orders objectives.rtoMs", /^$/],
]);
check(
  "limits of requests are a warning",
  edit(
    three,
    "  dataStores: [orders-db]",
    "  sovereignty: { requests: { limits: [{ when: { path: { prefix: /eu } }, regions: [eu-west] }] } }\n  dataStores: [orders-db]",
  ),
  [["added", "Service/orders traffic", /may be served changes/]],
);
check(
  "a member that goes is one change, and a warning",
  edit(three, / {4}- name: pg-north\n(?: {6}.*\n)+/.exec(three)![0], ""),
  [["removed", "DataStore/orders-db members.pg-north", /one copy less/]],
);
check("fewer acknowledgements are a warning", three, []);
check(
  "going asynchronous is a warning",
  edit(three, "    synchronous:\n      acknowledgements: 1", "    asynchronous:\n      rpo: 5s"),
  [
    ["changed", "DataStore/orders-db replication", /may be lost/],
    ["changed", "DataStore/orders-db acknowledgements", /fewer copies/],
    ["changed", "DataStore/orders-db rpoMs", /^$/],
  ],
);
check("a moved data folder is a warning", edit(three, "./data/pg-west", "./elsewhere"), [
  ["changed", "DataStore/orders-db members.pg-west dataDir".replace(" dataDir", ".dataDir"), /not moved/],
]);

test("the order of regions is the failover plan, so that its change is told", () => {
  const before = topologyOf(three);
  const after = { ...before, regions: before.regions.toReversed() };
  assert.deepEqual(
    diffTopologies(before, after).map(({ kind, path }) => [kind, path]),
    [["reordered", "Regions"]],
  );
});

test("a topology does not differ from itself, and two that differ say so in both directions", () => {
  fc.assert(
    fc.property(topologyArb, topologyArb, (one, other) => {
      const [before, after] = [
        { ...one, digest: "1" },
        { ...other, digest: "2" },
      ];
      assert.deepEqual(diffTopologies(before, { ...before, digest: "3" }), []);
      const [forth, back] = [diffTopologies(before, after), diffTopologies(after, before)];
      assert.equal(forth.length > 0, JSON.stringify(one) !== JSON.stringify(other));
      assert.deepEqual(forth.map(({ path }) => path).sort(), back.map(({ path }) => path).sort());
    }),
    { numRuns: 50 },
  );
});
