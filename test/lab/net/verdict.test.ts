/** The verdict of a scenario rejects what it must: two writers, late acknowledgements, losses, open gaps, promotions that nobody wanted. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { LoadHistory, RequestRecord } from "../../../src/lab/load-record.ts";
import type { Asked } from "../../../src/lab/net/ask.ts";
import { readScenario, type Scenario } from "../../../src/lab/net/scenario.ts";
import { type Evidence, judge } from "../../../src/lab/net/verdict.ts";
import { describeVerdict, tableOf } from "../../../src/lab/net/verdict-text.ts";

const regionOf = { "pg-west": "west", "pg-central": "central" };
const faultAt = 10_000;

interface Said {
  readonly sentAt: number;
  readonly doneAt: number;
  readonly member: keyof typeof regionOf;
  readonly epoch: number;
}

function order(number: number, said: Said, region: string = regionOf[said.member]): RequestRecord {
  const { member, epoch, sentAt, doneAt } = said;
  return {
    number,
    kind: "order",
    place: "p",
    dueAt: sentAt,
    lastTryAt: sentAt,
    doneAt,
    status: 201,
    failure: "",
    edge: "",
    region,
    tries: 1,
    heldMs: 0,
    receipt: {
      id: `id-${said.member}-${number}-${doneAt}`,
      member,
      epoch,
      byMember: member,
      byEpoch: epoch,
      replayed: false,
    },
  };
}

function history(run: string, requests: readonly RequestRecord[]): LoadHistory {
  return { schema: 1, run, startedAt: 0, stoppedAt: 27_500, endedAt: 27_500, problems: [], requests };
}

function scenarioWith(expect: string): Scenario {
  const read = readScenario(
    `name: a
about: Something happens to somebody somewhere.
faults: [{ fault: blackhole, at: primary, for: 8s }]
expect: { ${expect} }
`,
    "a",
  );
  assert.ok(read.kind === "valid", JSON.stringify(read));
  return read.scenario;
}

const required = "promotion: required, leaderChangesMax: 1, writeGapMax: 3s, oldPrimaryAcksMax: 1400ms";

/** Every 500 ms: the old primary until 1 s after the fault, the new one from 2 s after it. */
const good: readonly Said[] = [
  ...Array.from(
    { length: 22 },
    (_, i) => ({ sentAt: 490 + i * 500, doneAt: 500 + i * 500, member: "pg-west", epoch: 1 }) as const,
  ),
  ...Array.from(
    { length: 30 },
    (_, i) =>
      ({ sentAt: 12_490 + i * 500, doneAt: 12_500 + i * 500, member: "pg-central", epoch: 2 }) as const,
  ),
];

/** All of it was stored as it was acknowledged, except what is `lost`. */
function evidence(
  outside: readonly RequestRecord[],
  inside: readonly RequestRecord[] = [],
  change: Partial<Evidence> = {},
): Evidence {
  const groups = [
    { inside: null, history: history("out", outside) },
    { inside: "west", history: history("in", inside) },
  ];
  const rows = groups.flatMap(({ history }) =>
    history.requests.flatMap(({ number, receipt }) =>
      receipt === null ? [] : [{ tag: `${history.run}-${number}`, ...receipt }],
    ),
  );
  return {
    scenario: scenarioWith(required),
    groups,
    stored: {
      orders: rows.map(({ id, tag, epoch, member }) => ({ id, key: tag, item: tag, epoch, member })),
      keys: rows.map(({ id, tag }) => ({ key: tag, orderId: id })),
    },
    regionOf,
    faultAt,
    healedAt: 20_000,
    wholeAt: 22_000,
    epoch: { before: 1, after: 2 },
    loadAverage: 0,
    stalls: { disk: null, cpu: null },
    statusSaid: null,
    asked: [],
    history: null,
    ...change,
  };
}

const requests = good.map((said, number) => order(number, said));
const missedIn = (verdict: ReturnType<typeof judge>) =>
  verdict.checks.filter(({ met }) => !met).map(({ id }) => id);

function failback(ends: "succeeded" | "refused", answer: Asked["answer"]): Pick<Evidence, "asked"> {
  const wish = {
    fault: "request",
    kind: "failback",
    to: null,
    because: "behind",
    after: 0,
    for: 5000,
  } as const;
  return { asked: [{ wish: { ...wish, ends }, answer }] };
}

function backup(answer: Asked["answer"]): Pick<Evidence, "asked"> {
  const wish = {
    damage: "byte-flipped",
    ends: "failed",
    because: "readiness problem",
    after: 0,
    for: 5000,
  } as const;
  return { asked: [{ wish: { fault: "backup", ...wish }, answer }] };
}

test("a run in which everything went as it must is accepted, and measured", () => {
  const verdict = judge(evidence(requests));
  assert.deepEqual(missedIn(verdict), []);
  assert.equal(verdict.figures.writeGapMs, 1500);
  assert.equal(verdict.figures.oldPrimaryAcksMs, 990);
  assert.equal(verdict.figures.newPrimaryAcksMs, 2500);
});

test("what the machine itself did is told beside the figures, a long stall with its moment", () => {
  const stalls = { disk: { at: faultAt + 10_300, ms: 1692 }, cpu: { at: faultAt + 40, ms: 12 } };
  const verdict = judge(evidence(requests, [], { stalls }));
  assert.deepEqual(verdict.figures.stalls.disk, { at: 10_300, ms: 1692 });
  const text = describeVerdict(verdict, (_, plain) => plain);
  assert.match(text, /1692 ms \(10\.3 s after the fault\) for a flush of its disk, 12 ms too late/);
  const early = { ...stalls, disk: { at: faultAt - 1400, ms: 1340 } };
  assert.match(
    describeVerdict(judge(evidence(requests, [], { stalls: early })), (_, plain) => plain),
    /1340 ms \(1\.4 s before the fault\)/,
  );
  const table = tableOf([{ name: "one", verdict, because: null }]);
  assert.match(table, /disk's longest ms\n.* 1692\n/);
});

test("asynchronous data is judged by the age of what is lost, counted from who heard the old primary last", () => {
  // Outside it was heard until 1 s after the fault, and inside of its region for 300 ms more.
  const inside = [order(900, { sentAt: 11_290, doneAt: 11_300, member: "pg-west", epoch: 1 })];
  const all = evidence(requests, inside);
  const missedWithout = (lost: (doneAt: number) => boolean) => {
    const gone = new Set(
      requests
        .filter(({ receipt, doneAt }) => receipt?.epoch === 1 && lost(doneAt))
        .map(({ receipt }) => receipt?.id),
    );
    assert.ok(gone.size > 0);
    const stored = {
      orders: all.stored.orders.filter(({ id }) => !gone.has(id)),
      keys: all.stored.keys.filter(({ orderId }) => !gone.has(orderId)),
    };
    const { scenario } = all;
    const topology = { ...scenario.topology, replication: "asynchronous", rpo: 1000 } as const;
    const expect = { ...scenario.expect, lostMax: 5 };
    return missedIn(judge({ ...all, stored, scenario: { ...scenario, topology, expect } }));
  };
  assert.deepEqual(
    missedWithout((doneAt) => doneAt >= 10_500),
    [],
  );
  assert.deepEqual(
    missedWithout((doneAt) => doneAt >= 10_000),
    ["lost-age"],
    "1.3 s",
  );
});

for (const [what, changed, missed] of [
  [
    "an acknowledged order that is gone",
    () => {
      const all = evidence(requests);
      return { ...all, stored: { orders: all.stored.orders.slice(1), keys: all.stored.keys.slice(1) } };
    },
    "lost",
  ],
  [
    "an order that is there twice",
    () => {
      const all = evidence(requests);
      const [first] = all.stored.orders;
      assert.ok(first);
      return {
        ...all,
        stored: { ...all.stored, orders: [...all.stored.orders, { ...first, id: "another" }] },
      };
    },
    "doubled",
  ],
  [
    "a gap that is too long",
    () => evidence(requests.filter(({ doneAt }) => doneAt < 11_100 || 15_000 < doneAt)),
    "write-gap",
  ],
  ["writes that never resume", () => evidence(requests.filter(({ doneAt }) => doneAt < 11_100)), "write-gap"],
  [
    "an acknowledgement of the old primary to its own region, after its stop deadline",
    () => evidence(requests, [order(0, { sentAt: 11_300, doneAt: 11_500, member: "pg-west", epoch: 1 })]),
    "old-primary",
  ],
  [
    "an acknowledgement to its own region after the next primary's first",
    () => evidence(requests, [order(0, { sentAt: 11_300, doneAt: 12_600, member: "pg-west", epoch: 1 })]),
    "overlap",
  ],
  [
    "a request that was sent to the old primary when the next had acknowledged, and was acknowledged",
    () =>
      evidence([...requests, order(900, { sentAt: 12_700, doneAt: 12_800, member: "pg-west", epoch: 1 })]),
    "overlap",
  ],
  [
    "an epoch with two members",
    () => evidence([...requests, order(900, { sentAt: 5000, doneAt: 5001, member: "pg-central", epoch: 1 })]),
    "epoch-shared",
  ],
  [
    "a promotion that did not come",
    () => evidence(requests, [], { epoch: { before: 1, after: 1 } }),
    "no-promotion",
  ],
  [
    "two changes where one was allowed",
    () => evidence(requests, [], { epoch: { before: 1, after: 3 } }),
    "leader-changes",
  ],
  ["standbys that never stream again", () => evidence(requests, [], { wholeAt: null }), "whole"],
  [
    "a repeatable request that failed outside",
    () =>
      evidence([
        ...requests,
        {
          ...order(900, { sentAt: 11_000, doneAt: 12_000, member: "pg-west", epoch: 1 }),
          receipt: null,
          failure: "timeout",
          status: 0,
        },
      ]),
    "safe-failed",
  ],
  [
    "a status that is silent about it",
    () =>
      evidence(requests, [], {
        scenario: scenarioWith(`${required}, statusSays: blind`),
        statusSaid: "all is well",
      }),
    "status",
  ],
  [
    "a failback that was to be refused, and was done",
    () => evidence(requests, [], failback("refused", { status: "succeeded", detail: "not behind" })),
    "requests",
  ],
  [
    "a failback that was refused for another reason",
    () => evidence(requests, [], failback("refused", { status: "refused", detail: "not promotable" })),
    "requests",
  ],
  [
    "a damaged backup that passed its test",
    () => evidence(requests, [], backup({ status: "passed", detail: "readiness problem" })),
    "requests",
  ],
  [
    "a damaged backup whose test named another file",
    () => evidence(requests, [], backup({ status: "failed without naming it", detail: "readiness problem" })),
    "requests",
  ],
  [
    "a damaged backup after which readiness was green",
    () => evidence(requests, [], backup({ status: "failed", detail: "readiness ok" })),
    "requests",
  ],
  [
    "a failback that nobody answered",
    () => evidence(requests, [], failback("succeeded", { status: "unanswered", detail: "behind" })),
    "requests",
  ],
] as const)
  test(`${what} is not accepted`, () => {
    assert.ok(missedIn(judge(changed())).includes(missed), missedIn(judge(changed())).join());
  });

test("a failback that ended as it must is accepted, and told", () => {
  const verdict = judge(
    evidence(requests, [], failback("refused", { status: "refused", detail: "pg-west is 20 MB Behind" })),
  );
  assert.deepEqual(missedIn(verdict), []);
  assert.deepEqual(verdict.figures.requested, ["failback refused: pg-west is 20 MB Behind"]);
});

test("a damaged backup that was found is accepted, and told by its damage", () => {
  const verdict = judge(evidence(requests, [], backup({ status: "failed", detail: "readiness problem: x" })));
  assert.deepEqual(missedIn(verdict), []);
  assert.deepEqual(verdict.figures.requested, ["backup (byte-flipped) failed: readiness problem: x"]);
});

test("an answer that the network kept and delivered late is no second writer", () => {
  // Sent before the cut, given in time, and heard by a client outside only when the network was whole again.
  const late = order(900, { sentAt: 9990, doneAt: 20_100, member: "pg-west", epoch: 1 });
  const verdict = judge(
    evidence([...requests, late], [], {
      scenario: scenarioWith(required),
    }),
  );
  assert.deepEqual(missedIn(verdict), []);
});

test("a scenario that could not be played keeps its row on one line, whatever log stands behind it", () => {
  const because = `etcd eu-central did not become ready within 180 s; the end of its log:\n${"x".repeat(3000)}`;
  const [head, row, ...more] = tableOf([{ name: "round-102", verdict: null, because }])
    .trimEnd()
    .split("\n");
  assert.match(head ?? "", /^scenario /);
  assert.match(row ?? "", /^round-102 +not played +etcd eu-central did not become ready within 180 s/);
  assert.ok((row ?? "").length < 200);
  assert.deepEqual(more, []);
});

test("a scenario that was left out is told apart from one that could not be played", () => {
  const because = "only root may mount disks that can break";
  const [, row = ""] = tableOf([{ name: "disk-full", verdict: null, because, isLeftOut: true }]).split("\n");
  assert.match(row, /^disk-full +left out +only root/);
});
