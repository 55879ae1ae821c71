/** The oracle must be hard to please: each known-bad history is rejected, for the right reason. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { LoadHistory, RequestRecord } from "../../src/lab/load-record.ts";
import { type EventWindow, type Findings, judgeRun } from "../../src/lab/oracle.ts";
import type { OrderRow, StoredOrders } from "../../src/lab/oracle-evidence.ts";

const failoverAt = 1_000;
const failover: EventWindow = { name: "region lost", at: failoverAt, until: 3_000 };

interface Shape {
  readonly number: number;
  readonly sentAt: number;
  readonly doneAt: number;
  readonly by: string;
  readonly failure?: string;
  readonly unsafe?: boolean;
}

function order({ number, sentAt, doneAt, by, failure = "", unsafe = false }: Shape): RequestRecord {
  const [member = "", epoch = "0"] = by.split("@");
  return {
    number,
    kind: unsafe ? "unsafe-order" : "order",
    place: "west",
    dueAt: sentAt,
    lastTryAt: sentAt,
    doneAt,
    status: failure === "" ? 201 : 0,
    failure,
    edge: "http://edge-west",
    region: "west",
    tries: 1,
    heldMs: 0,
    receipt:
      failure === ""
        ? {
            id: `id-${number}`,
            member,
            epoch: Number(epoch),
            byMember: member,
            byEpoch: Number(epoch),
            replayed: false,
          }
        : null,
  };
}

function historyOf(requests: readonly RequestRecord[]): LoadHistory {
  return { schema: 1, run: "r", startedAt: 0, stoppedAt: 3_000, endedAt: 3_100, problems: [], requests };
}

function rowOf(request: RequestRecord): OrderRow {
  const tag = `r-${request.number}`;
  const { receipt } = request;
  return {
    id: receipt?.id ?? `id-${request.number}`,
    key: request.kind === "order" ? tag : null,
    item: tag,
    epoch: receipt?.epoch ?? 1,
    member: receipt?.member ?? "a",
  };
}

function storedFor(requests: readonly RequestRecord[]): StoredOrders {
  const orders = requests.filter(({ receipt }) => receipt !== null).map(rowOf);
  return {
    orders,
    keys: orders.flatMap(({ key, id }) => (key === null ? [] : [{ key, orderId: id }])),
  };
}

/** An order every 100 ms, 10 ms each: by a@1 until the fault at 1000, by b@2 from 1500 to 3000. Every fifth has no key. */
const good: readonly RequestRecord[] = Array.from({ length: 26 }, (_, number) => {
  const sentAt = number <= 9 ? number * 100 : number * 100 + 500 - 100;
  return order({
    number,
    sentAt,
    doneAt: sentAt + 10,
    by: number <= 9 ? "a@1" : "b@2",
    unsafe: number % 5 === 4,
  });
});

function judge(requests: readonly RequestRecord[], stored = storedFor(requests)): Findings {
  return judgeRun(historyOf(requests), stored, [failover]);
}

test("a good history is found good, with its figures", () => {
  const found = judge(good);
  assert.deepEqual(found.violations, []);
  assert.deepEqual(found.problems, []);
  assert.deepEqual(found.orders, {
    asked: 26,
    acknowledged: 26,
    lost: 0,
    lostAgeMs: 0,
    doubled: 0,
    fabricated: 0,
    unacknowledged: { applied: 0, absent: 0 },
  });
  assert.deepEqual(found.writers, {
    overlapMs: 0,
    overlapProvenMs: 0,
    terms: [
      { member: "a", epoch: 1, firstAckAt: 10, lastAckAt: 910, acknowledged: 10 },
      { member: "b", epoch: 2, firstAckAt: 1410, lastAckAt: 2910, acknowledged: 16 },
    ],
  });
  assert.deepEqual(found.windows, [
    { name: "region lost", writeGapMs: 500, resumedAfterMs: 410, safeFailed: 0, unsafeFailed: 0 },
  ]);
  assert.deepEqual(found.requests, {
    total: 26,
    safeFailed: 0,
    unsafeFailed: 0,
    held: 0,
    longestWaitMs: 10,
    failures: { safe: {}, unsafe: {} },
  });
});

/** One lie each. */
const bad: readonly {
  readonly name: string;
  readonly kind: string;
  readonly spoil: (requests: readonly RequestRecord[], stored: StoredOrders) => Findings;
}[] = [
  {
    name: "an acknowledged order that is not there",
    kind: "lost",
    spoil: (requests, stored) =>
      judge(requests, {
        orders: stored.orders.filter(({ id }) => id !== "id-3"),
        keys: stored.keys.filter(({ orderId }) => orderId !== "id-3"),
      }),
  },
  {
    name: "an acknowledged order without a key that is not there",
    kind: "lost",
    spoil: (requests, stored) =>
      judge(requests, { ...stored, orders: stored.orders.filter(({ id }) => id !== "id-4") }),
  },
  {
    name: "an order that is there under another id than its client was told",
    kind: "lost",
    spoil: (requests, stored) =>
      judge(requests, {
        orders: stored.orders.map((row) => (row.id === "id-3" ? { ...row, id: "id-x" } : row)),
        keys: stored.keys.map((row) => (row.orderId === "id-3" ? { ...row, orderId: "id-x" } : row)),
      }),
  },
  {
    name: "a repetition that made a second row",
    kind: "doubled",
    spoil: (requests, stored) =>
      judge(requests, {
        ...stored,
        orders: [...stored.orders, ...stored.orders.slice(3, 4).map((row) => ({ ...row, id: "id-3b" }))],
      }),
  },
  {
    name: "an order without a key that somebody repeated",
    kind: "doubled",
    spoil: (requests, stored) =>
      judge(requests, {
        ...stored,
        orders: [...stored.orders, ...stored.orders.slice(4, 5).map((row) => ({ ...row, id: "id-4b" }))],
      }),
  },
  {
    name: "an order that nobody asked for",
    kind: "fabricated",
    spoil: (requests, stored) =>
      judge(requests, {
        ...stored,
        orders: [...stored.orders, { id: "id-z", key: null, item: "r-999", epoch: 1, member: "a" }],
      }),
  },
  {
    name: "an order that was never sent",
    kind: "fabricated",
    spoil: (requests, stored) =>
      judge(
        [
          ...requests,
          { ...order({ number: 99, sentAt: 1, doneAt: 1, by: "a@1", failure: "overloaded" }), tries: 0 },
        ],
        {
          orders: [...stored.orders, { id: "id-99", key: "r-99", item: "r-99", epoch: 1, member: "a" }],
          keys: [...stored.keys, { key: "r-99", orderId: "id-99" }],
        },
      ),
  },
  {
    name: "a row that names another member than the acknowledgement did",
    kind: "altered",
    spoil: (requests, stored) =>
      judge(requests, {
        ...stored,
        orders: stored.orders.map((row) => (row.id === "id-3" ? { ...row, member: "b" } : row)),
      }),
  },
  {
    name: "a row that holds another item",
    kind: "altered",
    spoil: (requests, stored) =>
      judge(requests, {
        ...stored,
        orders: stored.orders.map((row) => (row.id === "id-3" ? { ...row, item: "r-2" } : row)),
      }),
  },
  {
    name: "a key without its order",
    kind: "torn",
    spoil: (requests, stored) =>
      judge(requests, { ...stored, keys: [...stored.keys, { key: "r-77", orderId: "id-77" }] }),
  },
  {
    name: "an order without its key",
    kind: "torn",
    spoil: (requests, stored) => judge(requests, { ...stored, keys: stored.keys.slice(1) }),
  },
  {
    name: "an old primary that still acknowledges",
    kind: "overlap",
    spoil: (requests) => judge([...requests, order({ number: 50, sentAt: 1_450, doneAt: 1_460, by: "a@1" })]),
  },
  {
    name: "two members that acknowledge at the very same instant",
    kind: "overlap",
    spoil: (requests) => judge([...requests, order({ number: 50, sentAt: 1_400, doneAt: 1_410, by: "a@1" })]),
  },
  {
    name: "a single acknowledgement inside another's term",
    kind: "overlap",
    spoil: (requests) => judge([...requests, order({ number: 50, sentAt: 500, doneAt: 505, by: "c@2" })]),
  },
  {
    name: "an old primary that comes back after the new one",
    kind: "epoch-went-down",
    spoil: (requests) => judge([...requests, order({ number: 50, sentAt: 2_950, doneAt: 2_960, by: "c@1" })]),
  },
  {
    name: "one epoch with two members, one after the other",
    kind: "epoch-shared",
    spoil: (requests) => judge([...requests, order({ number: 50, sentAt: 2_950, doneAt: 2_960, by: "a@2" })]),
  },
];

for (const { name, kind, spoil } of bad)
  test(`rejected as ${kind}: ${name}`, () => {
    const found = spoil(good, storedFor(good));
    assert.ok((found.violated[kind as keyof Findings["violated"]] ?? 0) > 0, JSON.stringify(found.violated));
    assert.ok(found.violations.some((violation) => violation.kind === kind && violation.because !== ""));
  });

test("a lost order is as old as it was when its member acknowledged for the last time", () => {
  const stored = storedFor(good);
  const ageWithout = (doneAt: readonly number[]) => {
    const gone = new Set(good.filter((one) => doneAt.includes(one.doneAt)).map(({ receipt }) => receipt?.id));
    assert.equal(gone.size, doneAt.length);
    const orders = stored.orders.filter(({ id }) => !gone.has(id));
    return judge(good, { ...stored, orders }).orders.lostAgeMs;
  };
  assert.deepEqual([[910], [810, 910], [610], [610, 2510]].map(ageWithout), [0, 100, 300, 400]);
});

test("each figure counts what it says", () => {
  const lost = judge(good, { orders: [], keys: [] });
  assert.equal(lost.orders.lost, 26);
  assert.equal(lost.violations.length, 20, "examples are bounded");
  assert.equal(lost.violated.lost, 26, "counts are not");
  assert.equal(lost.orders.lostAgeMs, 1500, "in each term for itself: that of b lasted longer");
  const stored = storedFor(good);
  const thrice = [...stored.orders, { ...stored.orders[0], id: "x" }, { ...stored.orders[0], id: "y" }];
  assert.equal(judge(good, { ...stored, orders: thrice as OrderRow[] }).orders.doubled, 2);
});

test("an answer that was sent before and delivered after counts as overlap, and is told from two writers", () => {
  const late = judge([...good, order({ number: 50, sentAt: 905, doneAt: 1_700, by: "a@1" })]);
  assert.deepEqual([late.writers.overlapMs, late.writers.overlapProvenMs], [290, 0]);
  const proven = judge([...good, order({ number: 50, sentAt: 1_650, doneAt: 1_700, by: "a@1" })]);
  assert.deepEqual([proven.writers.overlapMs, proven.writers.overlapProvenMs], [290, 240]);
});

test("a replay is the acknowledgement of whoever confirms it, not of whoever took the order", () => {
  const replay = order({ number: 50, sentAt: 905, doneAt: 1_700, by: "b@2" });
  const requests = [
    ...good,
    { ...replay, receipt: replay.receipt && { ...replay.receipt, member: "a", epoch: 1, replayed: true } },
  ];
  assert.deepEqual(judge(requests).violations, []);
});

test("what clients gave up on is resolved from the database: applied or absent, once at most", () => {
  const applied = order({ number: 60, sentAt: 950, doneAt: 2_000, by: "", failure: "timeout" });
  const absent = order({ number: 61, sentAt: 950, doneAt: 2_000, by: "", failure: "reset", unsafe: true });
  const requests = [...good, applied, absent];
  const stored = storedFor(requests);
  const row = rowOf(applied);
  const once = {
    orders: [...stored.orders, row],
    keys: [...stored.keys, { key: "r-60", orderId: row.id }],
  };
  const found = judge(requests, once);
  assert.deepEqual(found.orders.unacknowledged, { applied: 1, absent: 1 });
  assert.deepEqual(found.violations, []);
  assert.deepEqual(found.requests.failures, { safe: { timeout: 1 }, unsafe: { reset: 1 } });
  assert.deepEqual([found.windows[0]?.safeFailed, found.windows[0]?.unsafeFailed], [1, 1]);
  const twice = judge(requests, { ...once, orders: [...once.orders, { ...row, id: "id-60b" }] });
  assert.equal(twice.orders.doubled, 1);
});

test("rows of other runs are none of its business", () => {
  const stored = storedFor(good);
  const foreign: OrderRow = { id: "f", key: "other-1", item: "other-1", epoch: 9, member: "z" };
  const namesake: OrderRow = { id: "n", key: "r-2-17", item: "r-2-17", epoch: 9, member: "z" };
  const found = judge(good, {
    orders: [...stored.orders, foreign, namesake],
    keys: [...stored.keys, { key: "r-2-17", orderId: "n" }],
  });
  assert.deepEqual(found.violations, []);
});

test("the write gap is the largest that touches the window, from the last acknowledgement before", () => {
  const at = (doneAts: readonly number[], window = failover) =>
    judgeRun(
      historyOf(doneAts.map((doneAt, number) => order({ number, sentAt: doneAt - 1, doneAt, by: "a@1" }))),
      { orders: [], keys: [] },
      [window],
    ).windows[0];
  const check = (doneAts: readonly number[], gap: number, resumed: number | null, window = failover) => {
    const figures = at(doneAts, window);
    assert.deepEqual([figures?.writeGapMs, figures?.resumedAfterMs], [gap, resumed]);
  };
  check([900, 1_600, 2_000, 2_999], 999, 1_999);
  check([100, 900, 1_100, 1_600, 2_000, 2_500, 2_900], 500, 600);
  // A longer gap that ended before the window, or began after it, is another's.
  check([10, 800, 990, 1_010, 1_020, 2_950], 20, 10, { ...failover, until: 1_015 });
  check([10, 990, 1_400], 1_600, null);
  check([10, 500], 2_500, null);
  // The pause of a failback that begins with the window's end does not count for the fault before it.
  check([10, 990, 1_200, 1_490, 2_000], 290, 490, { ...failover, until: 1_500 });
});

test("a run that could not have failed has not succeeded", () => {
  assert.match(judge([]).problems.join("; "), /no order was acknowledged/);
  const after = [order({ number: 0, sentAt: 1_100, doneAt: 1_110, by: "a@1" })];
  assert.match(judge(after).problems.join("; "), /before "region lost"/);
  const found = judgeRun({ ...historyOf(good), problems: ["too busy"] }, storedFor(good), [failover]);
  assert.deepEqual(found.problems, ["too busy"]);
});

const interval = fc.record({
  first: fc.integer({ min: 0, max: 30 }),
  length: fc.integer({ min: 0, max: 30 }),
});

test("property: overlap is reported exactly when two closed intervals meet, whatever the order of the records", () => {
  fc.assert(
    fc.property(interval, interval, fc.boolean(), (a, b, flip) => {
      const acks = [
        order({ number: 0, sentAt: 0, doneAt: a.first, by: "a@1" }),
        order({ number: 1, sentAt: 0, doneAt: a.first + a.length, by: "a@1" }),
        order({ number: 2, sentAt: 0, doneAt: b.first, by: "b@2" }),
        order({ number: 3, sentAt: 0, doneAt: b.first + b.length, by: "b@2" }),
      ];
      const found = judge(flip ? acks.toReversed() : acks);
      const meet = a.first <= b.first + b.length && b.first <= a.first + a.length;
      assert.equal(found.writers.overlapMs > 0, meet);
      assert.equal((found.violated.overlap ?? 0) > 0, meet);
    }),
  );
});

test("property: lost and doubled are exactly the rows taken away and added", () => {
  const numbers = fc.uniqueArray(fc.integer({ min: 0, max: 25 }), { maxLength: 10 });
  fc.assert(
    fc.property(numbers, numbers, (gone, again) => {
      const stored = storedFor(good);
      const doubled = again.filter((number) => !gone.includes(number));
      const left = stored.orders.filter(({ id }) => !gone.some((number) => id === `id-${number}`));
      const added = left
        .filter(({ id }) => doubled.some((number) => id === `id-${number}`))
        .map((row) => ({ ...row, id: `${row.id}-again` }));
      const found = judge(good, { ...stored, orders: [...left, ...added] });
      assert.deepEqual([found.orders.lost, found.orders.doubled], [gone.length, doubled.length]);
    }),
  );
});
