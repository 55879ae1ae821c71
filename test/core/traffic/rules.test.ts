/** The small rules of the data plane, as tables. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RegionState } from "../../../src/core/model/routing.ts";
import {
  afterFailure,
  afterProbeFailure,
  afterSuccess,
  type Breaker,
  breakerLimits,
  closedBreaker,
  isOpen,
  mayProbe,
} from "../../../src/core/traffic/breaker.ts";
import { mayRepeat } from "../../../src/core/traffic/budget.ts";
import { canonicalJson, inCanonicalOrder } from "../../../src/core/traffic/canonical.ts";
import { orderTargets } from "../../../src/core/traffic/choose.ts";
import { decideHold } from "../../../src/core/traffic/hold.ts";
import { admitByMode, holdForWriter } from "../../../src/core/traffic/mode.ts";
import { afterTry, isIdempotent, type RetryHint, type TryEnd } from "../../../src/core/traffic/repeat.ts";
import { serviceFor } from "../../../src/core/traffic/service.ts";
import { compile } from "./tables.ts";

const table = compile();
const orders = table.services.orders!;

test("canonical JSON is one text for equal values, whatever the order of keys", () => {
  assert.equal(
    canonicalJson({ b: [1, { d: null, c: "ü" }], a: undefined, A: 1.5 }),
    '{"A":1.5,"b":[1,{"c":"ü","d":null}]}',
  );
  for (const wrong of [{ a: Number.NaN }, { a: [() => 1] }, [undefined], undefined])
    assert.throws(() => canonicalJson(wrong));
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
      const reversed = Object.fromEntries(Object.entries(value).reverse());
      assert.equal(canonicalJson(reversed), canonicalJson(value));
      // What lies in order takes a shorter way to the same text.
      assert.equal(canonicalJson(inCanonicalOrder(value)), canonicalJson(reversed));
      assert.deepEqual(
        JSON.parse(JSON.stringify(inCanonicalOrder(value))),
        JSON.parse(JSON.stringify(value)),
      );
      assert.deepEqual(JSON.parse(canonicalJson(value)), JSON.parse(JSON.stringify(value)));
    }),
  );
});

test("own region first, ejected last, drained, forbidden, fenced and weightless never", () => {
  const order = (regions: Record<string, RegionState>, ejected: readonly string[], own = "central") =>
    orderTargets({
      table: { ...table, regions },
      targets: orders.targets,
      allow: orders.allow,
      ownRegion: own,
      isEjected: ({ region }) => ejected.includes(region),
    }).map(({ region }) => region);
  const all = { west: "active", central: "active", east: "active" } as const;
  assert.deepEqual(order(all, []), ["central", "west", "east"]);
  assert.deepEqual(order(all, ["central"]), ["west", "east", "central"]);
  assert.deepEqual(order(all, ["west", "central", "east"]), ["central", "west", "east"]);
  assert.deepEqual(order({ ...all, central: "standby" }, []), ["west", "east", "central"]);
  assert.deepEqual(order({ ...all, central: "draining" }, []), ["west", "east", "central"]);
  for (const state of ["drained", "forbidden", "fenced"] as const)
    assert.deepEqual(order({ ...all, central: state }, ["west", "east"]), ["west", "east"]);
});

test("three failures in a row eject, a success in between does not let it come to that", () => {
  const fail = (breaker: Breaker, now = 0) => afterFailure(breaker, now, breakerLimits);
  let breaker = fail(afterSuccess(fail(fail(closedBreaker)), 0));
  assert.equal(isOpen(breaker), false);
  breaker = fail(fail(breaker));
  assert.equal(isOpen(breaker), true);
  assert.equal(mayProbe(breaker, 499), false);
  assert.equal(mayProbe(breaker, 500), true);
  breaker = afterProbeFailure(breaker, 500, breakerLimits);
  assert.equal(breaker.openUntil, 1500);
  for (let n = 0; n < 100; n++) breaker = afterProbeFailure(breaker, 0, breakerLimits);
  assert.equal(breaker.openUntil, breakerLimits.maxEjectionMs);
  assert.equal(isOpen(afterSuccess(breaker, 0)), false);
});

test("repeats are a fifth of the requests under way, and three at least", () => {
  const budget = { ratio: 0.2, atLeast: 3 };
  const rows: readonly (readonly [active: number, repeating: number, expected: boolean])[] = [
    [1, 2, true],
    [1, 3, false],
    [100, 19, true],
    [100, 20, false],
  ];
  for (const [active, repeating, expected] of rows)
    assert.equal(mayRepeat(budget, active, repeating), expected);
});

test("pauses double up to 100 ms and end with the hold", () => {
  const rules = { ...orders.rules, holdMaxMs: 1000, holdMaxCount: 10 };
  const decide = (now: number, pauses: number, held = 0) =>
    decideHold(rules, { now, arrivedAt: 0, pauses, held });
  const pauses = [0, 1, 2, 3, 4, 5, 50].map((n) => decide(0, n));
  assert.deepEqual(
    pauses.map((decision) => decision.kind === "wait" && decision.pauseMs),
    [5, 10, 20, 40, 80, 100, 100],
  );
  assert.deepEqual(decide(990, 9), { kind: "wait", pauseMs: 10 });
  assert.equal(decide(1000, 9).kind, "give-up");
  assert.equal(decide(0, 0, 10).kind, "give-up");
});

test("modes let through what they say", () => {
  const rows = [
    ["rw", true, "admit"],
    ["rw", false, "admit"],
    ["ro", true, "admit"],
    ["ro", false, "HOLDFAST_READ_ONLY"],
    ["static", true, "HOLDFAST_STATIC"],
    ["off", true, "HOLDFAST_OFF"],
  ] as const;
  for (const [mode, safe, expected] of rows) {
    const admission = admitByMode(mode, safe);
    assert.equal(admission.kind === "refuse" ? admission.code : admission.kind, expected);
  }
});

test("writes wait while a change is announced, and while the writer is seen failing", () => {
  const changing = { ...table, stores: { "orders-db": { ...table.stores["orders-db"]!, changing: true } } };
  const get = { safe: true, idempotent: true };
  const put = { safe: false, idempotent: true };
  const post = { safe: false, idempotent: false };
  const rows = [
    [changing, get, false, "admit"],
    [changing, put, false, "hold"],
    [changing, post, false, "hold"],
    [table, get, true, "admit"],
    [table, put, true, "hold"],
    [table, post, true, "hold"],
    [table, post, false, "admit"],
  ] as const;
  for (const [of, request, writerFailing, expected] of rows)
    assert.equal(holdForWriter(of, orders, { ...request, writerFailing }).kind, expected);
});

test("what may have been sent is repeated only when that is safe", () => {
  const keyed = { idempotent: true, replayable: true };
  const unkeyed = { idempotent: false, replayable: true };
  const streamed = { idempotent: true, replayable: false };
  const said = (status: number, hint: RetryHint): TryEnd => ({ kind: "answered", status, hint });
  const rows = [
    [unkeyed, { kind: "not-sent" }, "repeat"],
    [streamed, { kind: "not-sent" }, "repeat"],
    [keyed, { kind: "no-answer" }, "repeat"],
    [unkeyed, { kind: "no-answer" }, "fail"],
    [streamed, { kind: "no-answer" }, "fail"],
    [keyed, said(200, "writer-changing"), "answer"],
    [keyed, said(503, "writer-changing"), "hold"],
    [unkeyed, said(503, "writer-changing"), "answer"],
    [unkeyed, said(503, "nothing-done"), "hold"],
    [streamed, said(503, "nothing-done"), "answer"],
    [keyed, said(503, "retry-after"), "repeat"],
    [unkeyed, said(503, "retry-after"), "answer"],
    [keyed, said(502, "none"), "repeat"],
    [keyed, said(503, "none"), "answer"],
    [keyed, said(500, "retry-after"), "answer"],
  ] as const satisfies readonly (readonly [typeof keyed, TryEnd, string])[];
  for (const [request, end, expected] of rows)
    assert.equal(afterTry(request, end).kind, expected, JSON.stringify([request, end]));
  assert.deepEqual(
    ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"].map((method) => isIdempotent(method, false)),
    [true, true, true, true, true, false, false],
  );
  assert.equal(isIdempotent("POST", true), true);
});

test("with one service it gets all, with several the host decides, then the path", () => {
  const two = { ...table, services: { orders, stock: orders } };
  const rows = [
    [table, "anything", "/", "orders"],
    [two, "stock.example.com:8080", "/", "stock"],
    [two, "STOCK", "/orders/1", "stock"],
    [two, "example.com", "/orders/1?x", "orders"],
    [two, "example.com", "/orders", "orders"],
    [two, "example.com", "/other", null],
    [two, "__proto__", "/constructor", null],
  ] as const;
  for (const [of, host, path, expected] of rows) assert.equal(serviceFor(of, host, path), expected);
});
