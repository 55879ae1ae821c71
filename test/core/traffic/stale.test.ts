/** What may be kept, and when it may be served old (RFC 9111, RFC 5861). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { mayKeep, mayServe, parseCacheControl } from "../../../src/core/traffic/stale.ts";

const minute = 60_000;
const facts = (cacheControl: string, more: Partial<Parameters<typeof mayKeep>[0]> = {}) => ({
  status: 200,
  cacheControl: parseCacheControl(cacheControl),
  setsCookie: false,
  authorized: false,
  vary: [],
  ...more,
});

test("what is one person's, what is forbidden and what nobody allowed is not kept", () => {
  const rows = [
    ["max-age=60", {}, true],
    ["public", {}, true],
    ["max-age=60, stale-if-error=600", {}, true],
    ["", {}, false],
    ["max-age=60, private", {}, false],
    ["no-store, max-age=60", {}, false],
    ["max-age=60, no-cache", {}, false],
    ["max-age=60, must-revalidate", {}, false],
    ["max-age=60, proxy-revalidate", {}, false],
    ["s-maxage=60", {}, false],
    ["MAX-AGE=60, Private", {}, false],
    ["max-age=60", { authorized: true }, false],
    ["max-age=60, public", { authorized: true }, true],
    ["max-age=60", { setsCookie: true }, false],
    ["max-age=60", { vary: ["*"] }, false],
    ["max-age=60", { status: 500 }, false],
    ["max-age=60", { status: 206 }, false],
    ["max-age=60", { status: 404 }, true],
  ] as const;
  for (const [said, more, expected] of rows)
    assert.equal(mayKeep(facts(said, more), minute) !== null, expected, `${said} ${JSON.stringify(more)}`);
  assert.equal(mayKeep(facts("max-age=60"), 0), null);
});

test("it is served as long as the rules, the response and the client allow", () => {
  const keeping = mayKeep(facts("max-age=10, stale-if-error=30"), minute);
  assert.deepEqual(keeping, { freshForMs: 10_000, ageMs: 0, staleForMs: 30_000 });
  const serve = (now: number, asked = "", staleMaxMs = minute) =>
    mayServe(keeping!, 0, now, parseCacheControl(asked), staleMaxMs).kind;
  assert.equal(serve(0), "serve");
  assert.equal(serve(40_000), "serve");
  assert.equal(serve(40_001), "refuse");
  assert.equal(serve(20_000, "", 9000), "refuse");
  assert.equal(serve(0, "no-cache"), "refuse");
  assert.equal(serve(0, "max-age=0"), "refuse");
  assert.deepEqual(mayServe(keeping!, 0, 15_000, new Map(), minute), {
    kind: "serve",
    ageMs: 15_000,
    ttlMs: -5000,
  });
  assert.equal(mayKeep(facts("max-age=10"), minute)?.staleForMs, minute);
});

test("directives are read with quotes, blanks and in any case", () => {
  const read = [...parseCacheControl('Max-Age = 5 , private="set-cookie, x", no-store').entries()];
  assert.deepEqual(read, [
    ["max-age", "5"],
    ["private", "set-cookie, x"],
    ["no-store", ""],
  ]);
});
