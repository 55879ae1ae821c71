/** What the guide of the SDK says, compared with what there is. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as sdk from "../../src/sdk/sdk.ts";

const guide = readFileSync(new URL("../../docs/guide/08-sdk.md", import.meta.url), "utf8");

test("the guide's table is the one that the migration makes", () => {
  const [, sql] = /```sql\n([\s\S]*?)```/.exec(guide) ?? [];
  assert.equal(sql, sdk.idempotencyMigration());
});

test("the guide names everything that the SDK exports but its listeners", () => {
  const untold = Object.keys(sdk).filter((name) => !guide.includes(name));
  assert.deepEqual(untold, ["onRequestContext"]);
});
