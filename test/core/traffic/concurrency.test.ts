/** How an upstream's limit is learnt, and who is let in when it is short. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { priorityOf } from "../../../src/core/traffic/classes.ts";
import {
  afterAnswer,
  type ConcurrencyLimit,
  concurrencyRules,
  firstLimit,
  mayEnter,
} from "../../../src/core/traffic/concurrency.ts";
import { serve } from "./pool.ts";
import { compile } from "./tables.ts";

const twentyMs = { workers: 16, serviceMs: () => 20 };
/** What it takes without a queue: 800 a second. */
const easy = { fromMs: 0, forMs: 5000, perSecond: 200, priority: "standard" } as const;

test("an idle upstream's limit stays, and a busy and fast one's grows to what is asked of it", () => {
  assert.equal(serve(firstLimit, twentyMs, easy).limit.limit, firstLimit.limit);
  const busy = serve(
    firstLimit,
    { workers: 1000, serviceMs: () => 20 },
    { ...easy, perSecond: 10_000, forMs: 10_000 },
  );
  assert.ok(200 < busy.limit.limit && busy.limit.limit < 500, `${busy.limit.limit}`);
  assert.equal(busy.longestMs, 20);
});

test("an overload of ten minutes is not taken for usual: answers stay fast, and the upstream stays busy", () => {
  const before = serve(firstLimit, twentyMs, easy);
  for (const priority of ["sheddable", "critical"] as const) {
    const load = { fromMs: 5000, forMs: 600_000, perSecond: 2400, priority };
    const after = serve(before.limit, twentyMs, load);
    assert.ok(after.longestMs <= 80, `${priority}: ${after.longestMs} ms`);
    assert.ok(0.97 * 800 * 600 <= after.answered, `${priority}: ${after.answered} answers`);
  }
});

test("at three times the capacity what matters most is let in, trials or not, and the upstream is kept busy", () => {
  const before = serve(firstLimit, twentyMs, easy);
  // 0.4 of the capacity critical, 0.4 standard, and 2.2 sheddable.
  const priority = (n: number) => (n % 15 < 2 ? "critical" : n % 15 < 4 ? "standard" : "sheddable");
  const after = serve(before.limit, twentyMs, { fromMs: 5000, forMs: 120_000, perSecond: 2400, priority });
  // Of what finds no room an edge holds all but the sheddable, for some milliseconds.
  assert.ok(after.refusedBy.critical <= 0.003 * 320 * 120, `critical: ${after.refusedBy.critical}`);
  assert.ok(after.refusedBy.standard <= 0.02 * 320 * 120, `standard: ${after.refusedBy.standard}`);
  assert.ok(0.97 * 800 * 120 <= after.answered, `${after.answered} answers`);
  assert.ok(after.longestMs <= 80, `${after.longestMs} ms`);
});

test("an overload right from the start, or one that was learnt in a jam, is found out by trials", () => {
  const load = { fromMs: 0, forMs: 60_000, perSecond: 2400, priority: "critical" as const };
  assert.ok(serve(firstLimit, twentyMs, load).longestMs <= 80);
  const jammed = { ...firstLimit, limit: 512, usualMs: 640, learnt: 100 };
  const after = serve(jammed, twentyMs, load);
  assert.ok(after.longestMs <= 80, `${after.longestMs} ms, usual ${after.limit.usualMs}`);
});

test("a service that became slower, but can take as many at once, is not kept small for long", () => {
  const before = serve(firstLimit, { workers: 1000, serviceMs: () => 20 }, easy);
  const slower = { workers: 1000, serviceMs: () => 200 };
  // 200 under way at once, all the time.
  const load = { ...easy, fromMs: 5000, perSecond: 1000 };
  const after = serve(before.limit, slower, { ...load, forMs: 30_000 });
  const later = serve(after.limit, slower, { ...load, fromMs: 35_000, forMs: 10_000 });
  assert.equal(later.refused, 0, `limit ${after.limit.limit}`);
});

test("answers that differ a hundredfold by themselves are no queue", () => {
  const mixed = { workers: 1000, serviceMs: (n: number) => (n % 2 === 0 ? 1 : 100) };
  const load = { ...easy, perSecond: 2000 };
  const before = serve(firstLimit, mixed, load);
  const grown = serve(before.limit, mixed, { ...load, fromMs: 5000, forMs: 10_000 });
  const after = serve(grown.limit, mixed, { ...load, fromMs: 15_000, forMs: 20_000 });
  assert.equal(after.refused, 0, `limit ${after.limit.limit}, usual ${after.limit.usualMs}`);
});

test("a few milliseconds more are no queue: what is fast and asked by 64 at once is not held back", () => {
  let limit: ConcurrencyLimit = { ...firstLimit, usualMs: 0.3, learnt: 100 };
  for (let n = 0; n < 20_000; n++)
    limit = afterAnswer(limit, { now: n / 20, tookMs: 2, inFlight: 64, dropped: false }, concurrencyRules);
  assert.ok(128 <= limit.limit, `${limit.limit}`);
});

test("the limit never leaves its bounds, whatever is answered", () => {
  let limit = firstLimit;
  for (let n = 0; n < 1000; n++)
    limit = afterAnswer(limit, { now: n, tookMs: 1, inFlight: 1, dropped: true }, concurrencyRules);
  assert.equal(limit.limit, concurrencyRules.least);
  for (let n = 0; n < 200_000; n++)
    limit = afterAnswer(limit, { now: n, tookMs: 0, inFlight: 1000, dropped: false }, concurrencyRules);
  assert.equal(limit.limit, concurrencyRules.most);
});

test("when a jam is over, what was usual in it is forgotten", () => {
  const after = serve({ ...firstLimit, usualMs: 2000, learnt: 100 }, twentyMs, easy);
  assert.ok(after.limit.usualMs < 25, `${after.limit.usualMs}`);
});

test("sheddable requests leave room for standard ones, and those for critical ones", () => {
  const rows = [
    [69, "sheddable", true],
    [70, "sheddable", false],
    [89, "standard", true],
    [90, "standard", false],
    [99, "critical", true],
    [100, "critical", false],
  ] as const;
  for (const [inFlight, priority, expected] of rows)
    assert.equal(mayEnter(100, inFlight, priority), expected);
  assert.equal(mayEnter(1, 0, "sheddable"), true);
});

test("the first class that matches decides, and without one a request is standard", () => {
  const route = {
    ...compile().services.orders!,
    classes: [
      { name: "checkout", priority: "critical" as const, methods: ["POST"], pathPrefix: "/orders" },
      { name: "crawlers", priority: "sheddable" as const, header: { name: "x-crawler", value: null } },
      { name: "batch", priority: "sheddable" as const, header: { name: "x-kind", value: "batch" } },
    ],
  };
  const rows = [
    ["POST", "/orders/1", [], "critical"],
    ["GET", "/orders/1", [], "standard"],
    ["POST", "/stock", ["X-Crawler", "yes"], "sheddable"],
    ["POST", "/orders", ["X-Crawler", "yes"], "critical"],
    ["GET", "/", ["x-kind", "batch"], "sheddable"],
    ["GET", "/", ["x-kind", "other"], "standard"],
  ] as const;
  for (const [method, path, headers, expected] of rows)
    assert.equal(priorityOf(route, { method, path, headers }), expected);
});
