/** When a terminal is shown colours, and when it is not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { paintFor } from "../../src/cli/paint.ts";

test("colour is for terminals, and NO_COLOR is heard", (t) => {
  const before = { ...process.env };
  t.after(() => {
    process.env = before;
  });
  process.env = { ...before, TERM: "xterm" };
  delete process.env.NO_COLOR;
  assert.equal(paintFor({ isTTY: true })("red", "x"), "\u001b[31mx\u001b[39m");
  assert.equal(paintFor({ isTTY: false })("red", "x"), "x");
  assert.equal(paintFor({})("red", "x"), "x");
  process.env.NO_COLOR = "1";
  assert.equal(paintFor({ isTTY: true })("red", "x"), "x");
});
