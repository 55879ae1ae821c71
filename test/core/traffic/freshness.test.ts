/** How long an answer is as good as new (RFC 9111 section 4). */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type FreshnessFacts,
  freshnessOf,
  mayReuse,
  parseHttpDate,
} from "../../../src/core/traffic/freshness.ts";
import { parseCacheControl } from "../../../src/core/traffic/stale.ts";

const hour = 3_600_000;
const now = Date.UTC(2026, 10, 21, 12, 0, 0);
const date = (offsetS: number) => new Date(now + offsetS * 1000).toUTCString();
const facts = (cacheControl: string, more: Partial<FreshnessFacts> = {}): FreshnessFacts => ({
  status: 200,
  cacheControl: parseCacheControl(cacheControl),
  expires: [],
  date: [],
  lastModified: [],
  age: [],
  setsCookie: false,
  authorized: false,
  vary: [],
  ...more,
});

test("how long an answer lives is said by s-maxage, max-age, Expires, and last by what is usual", () => {
  const rows: readonly (readonly [string, Partial<FreshnessFacts>, number | null])[] = [
    ["max-age=60", {}, 60],
    ["max-age=60, s-maxage=10", {}, 10],
    ["max-age=60", { expires: [date(5)] }, 60],
    ["", { expires: [date(30)], date: [date(0)] }, 30],
    ["", { expires: [date(30)], date: [date(20)] }, 10],
    ["", { expires: [date(-30)], date: [date(0)] }, 0],
    ["", { expires: ["0"] }, 0],
    ["", { expires: [date(30), date(40)] }, 0],
    ["max-age=-5", {}, 0],
    ["max-age=6e1", {}, 0],
    ["", { lastModified: [date(-100)], date: [date(0)] }, 10],
    ["", { lastModified: [date(-1e9)], date: [date(0)] }, 24 * 3600],
    ["", { lastModified: [date(-100)], date: [date(0)], status: 403 }, null],
    ["public", { lastModified: [date(-100)], date: [date(0)], status: 403 }, 10],
    ["", {}, null],
    ["no-store, max-age=60", {}, null],
    ["private, max-age=60", {}, null],
    ["max-age=60", { vary: ["*"] }, null],
    ["max-age=60", { setsCookie: true }, null],
    ["max-age=60", { status: 206 }, null],
    ["max-age=60, must-understand", { status: 599 }, null],
    ["max-age=60", { authorized: true }, null],
    ["max-age=60, must-revalidate", { authorized: true }, 60],
  ];
  for (const [said, more, seconds] of rows)
    assert.equal(
      freshnessOf(facts(said, more), now, hour)?.freshForMs ?? null,
      seconds === null ? null : seconds * 1000,
      `${said} ${JSON.stringify(more)}`,
    );
});

test("an answer is as old as those before us say, and one whose age cannot be read is old for ever", () => {
  const ageOf = (more: Partial<FreshnessFacts>) => freshnessOf(facts("max-age=60", more), now, hour)?.ageMs;
  assert.equal(ageOf({}), 0);
  assert.equal(ageOf({ age: ["5"] }), 5000);
  assert.equal(ageOf({ age: ["5"], date: [date(-9)] }), 9000);
  assert.equal(ageOf({ date: [date(9)] }), 0);
  for (const age of [["5", "0"], ["5,0"], ["-1"], ["1.5"], ["x"]])
    assert.equal(ageOf({ age }), Number.POSITIVE_INFINITY, String(age));
});

test("what the client asks for counts, and what the service forbids counts more", () => {
  const rows = [
    ["max-age=60", "", 59, "use"],
    ["max-age=60", "", 60, "validate"],
    ["max-age=60", "no-cache", 1, "validate"],
    ["max-age=60", "no-store", 1, "ask"],
    ["max-age=60", "max-age=5", 5, "use"],
    ["max-age=60", "max-age=5", 6, "validate"],
    ["max-age=60", "min-fresh=10", 50, "use"],
    ["max-age=60", "min-fresh=10", 51, "validate"],
    ["max-age=60", "max-stale", 600, "use"],
    ["max-age=60", "max-stale", 3661, "validate"],
    ["max-age=60, stale-while-revalidate=10", "", 69, "use"],
    ["max-age=60, stale-while-revalidate=10", "", 70, "validate"],
    ["max-age=60, stale-while-revalidate=10, must-revalidate", "", 69, "validate"],
    ["max-age=60", "max-stale=10", 70, "use"],
    ["max-age=60", "max-stale=10", 71, "validate"],
    ["max-age=60, must-revalidate", "max-stale=10", 61, "validate"],
    ["s-maxage=60", "max-stale", 61, "validate"],
    ["max-age=60, no-cache", "max-stale", 1, "validate"],
  ] as const;
  for (const [said, asked, ageS, expected] of rows)
    assert.equal(
      mayReuse(freshnessOf(facts(said), now, hour)!, 0, ageS * 1000, parseCacheControl(asked)).kind,
      expected,
      `${said} | ${asked} | ${ageS}`,
    );
});

test("dates are read in the three forms of HTTP, and in no other", () => {
  const expected = Date.UTC(1994, 10, 6, 8, 49, 37);
  for (const text of [
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
  ])
    assert.equal(parseHttpDate(text), expected, text);
  for (let day = 0; day < 400 * 366; day += 29) {
    const at = Date.UTC(1800, 0, 1) + day * 86_400_000 + 45_296_000;
    assert.equal(parseHttpDate(new Date(at).toUTCString()), at);
  }
  for (const text of [
    "",
    "0",
    "Sun, 06 Nox 1994 08:49:37 GMT",
    "Sun, 06 anF 1994 08:49:37 GMT",
    "1994-11-06",
    "Sun, 06 Nov 1994 08:49:37 UTC",
    "Sun, 6 Nov 1994 08:49:37 GMT",
  ])
    assert.equal(parseHttpDate(text), null, text);
});
