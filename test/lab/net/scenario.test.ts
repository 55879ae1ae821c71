/** Scenario files: those that come with Holdfast are valid, and what is wrong with one is told. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { readScenario } from "../../../src/lab/net/scenario.ts";

const folder = new URL("../../../scenarios/", import.meta.url);
const files = readdirSync(folder).filter((file) => file.endsWith(".yaml"));

const valid = `name: a
about: Something happens to somebody somewhere.
faults: [{ fault: blackhole, at: primary, for: 8s }]
expect: { promotion: required, leaderChangesMax: 1, writeGapMax: 3s }
`;

test("every scenario that comes with Holdfast can be read, and bears the name of its file", () => {
  assert.ok(files.length >= 20, `${files.length} scenarios`);
  for (const file of files) {
    const read = readScenario(readFileSync(new URL(file, folder), "utf8"), file.replace(/\.yaml$/, ""));
    assert.deepEqual(read.kind === "invalid" ? read.problems : [], [], file);
  }
});

test("what a scenario leaves out has the value that costs nothing", () => {
  const read = readScenario(valid, "a");
  assert.ok(read.kind === "valid");
  const { topology, links, expect, faults } = read.scenario;
  assert.equal(topology.replication, "synchronous");
  assert.deepEqual(links, { delay: 0, jitter: 0, lossPercent: 0, rateMbit: 0 });
  assert.deepEqual([expect.lostMax, expect.safeFailedMax], [0, 0]);
  assert.deepEqual(faults, [{ fault: "blackhole", at: "primary", after: 0, for: 8000 }]);
});

for (const [what, from, to, says] of [
  ["a fault that is not known", "blackhole", "earthquake", /faults\.0\.fault/],
  ["a word that is not known", "at: primary", "at: primary, gently: true", /gently/],
  ["a span without a unit", "for: 8s", "for: 8", /for/],
  [
    "a clock that is wrong by nothing in particular",
    "fault: blackhole, at: primary,",
    "fault: clock-wrong, at: primary, by: 1h,",
    /faults\.0\.by: a difference such as \+1h/,
  ],
  [
    "a slow disk that does not say how slow",
    "fault: blackhole, at: primary,",
    "fault: disk-slow, at: primary,",
    /faults\.0\.upTo/,
  ],
  ["a span of another kind", "for: 8s", "for: soon", /500ms, 8s or 2m/],
  ["a name that is not the file's", "name: a", "name: b", /but the file is a\.yaml/],
  [
    "a required promotion that may not change the leader",
    "leaderChangesMax: 1",
    "leaderChangesMax: 0",
    /at least 1/,
  ],
  ["losses where the data is synchronous", "writeGapMax: 3s", "writeGapMax: 3s, lostMax: 1", /lostMax/],
  ["a pattern that is none", "writeGapMax: 3s", 'writeGapMax: 3s, statusSays: "("', /statusSays/],
  [
    "a request of a kind that nobody serves",
    "fault: blackhole, at: primary,",
    "fault: request, kind: fail-over, ends: refused,",
    /faults\.0\.kind/,
  ],
  [
    "an answer that is no pattern",
    "fault: blackhole, at: primary,",
    'fault: request, kind: failback, ends: refused, because: "(",',
    /faults\.0\.because/,
  ],
  [
    "a backup that is damaged in a way that nobody knows",
    "fault: blackhole, at: primary,",
    "fault: backup, damage: burnt, ends: failed,",
    /faults\.0\.damage/,
  ],
  [
    "a power cut beside another fault of a disk",
    "[{ fault: blackhole, at: primary, for: 8s }]",
    "[{ fault: power-cut, at: primary, for: 8s }, { fault: disk-full, at: standby, for: 8s }]",
    /no other fault of a disk/,
  ],
  ["a fault that never ends", ", for: 8s", "", /for/],
] as const)
  test(`${what} is refused with its place`, () => {
    assert.ok(valid.includes(from));
    const read = readScenario(valid.replace(from, to), "a");
    assert.ok(read.kind === "invalid", what);
    assert.match(read.problems.join("\n"), says);
  });
