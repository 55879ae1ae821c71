/** The workload on a real PostgreSQL: killed and started again it is valid, and it is not when somebody tampers with rows. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { FindingKind } from "../../../src/lab/history/finding.ts";
import { checkHistory } from "../../../src/lab/history/history.ts";
import { runWorkload } from "../../../src/lab/history/workload.ts";
import { startWorkload } from "../../../src/lab/history/workload-process.ts";
import { startPostgres } from "../../examples/postgres.ts";
import { eventually } from "../demo-process.ts";

const folder = mkdtempSync(join(tmpdir(), "hf-history-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("a history over a kill -9 of PostgreSQL is valid, and has operations of unknown outcome or failed", {
  timeout: 180_000,
}, async () => {
  await using postgres = await startPostgres();
  await postgres.beginEpoch(1, "pg-west");
  const running = startWorkload({
    run: "kill",
    places: [postgres.url],
    forMs: 120_000,
    operationsMax: 100_000,
    historyFile: join(folder, "kill.jsonl"),
  });
  const rows = async (atLeast: number) =>
    await eventually("rows", 60_000, async () => {
      const answer = await postgres
        .sql("SELECT coalesce(sum(cardinality(elements)), 0)::int AS count FROM history_lists")
        .catch(() => []);
      return atLeast <= Number(answer[0]?.count ?? 0);
    });
  await rows(100);
  await postgres.kill();
  await postgres.start();
  await rows(250);
  running.stop();
  const { history, problems } = await running.result;
  assert.deepEqual(problems, []);
  const verdict = checkHistory(history);
  const why = JSON.stringify(verdict, null, 2);
  console.log(why);
  assert.equal(verdict.verdict, "valid", why);
  assert.ok(0 < verdict.outcomes.unknown + verdict.outcomes.failed, why);
});

const lies: readonly (readonly [what: string, sql: string, expected: readonly FindingKind[]])[] = [
  [
    "an element disappears",
    "UPDATE history_lists SET elements = elements[2:] WHERE 3 < cardinality(elements)",
    ["lost-write", "split-order"],
  ],
  ["an element is doubled", "UPDATE history_lists SET elements = elements || elements[1]", ["doubled-write"]],
  [
    "a register goes back",
    "UPDATE history_registers SET value = 1 WHERE value <> 1",
    ["stale-read", "lost-write", "never-written", "not-linearizable"],
  ],
  ["money appears", "UPDATE history_accounts SET balance = balance + 1 WHERE account = 0", ["sum-changed"]],
  [
    "another member acknowledges in the same epoch",
    "UPDATE holdfast.epoch SET member = 'pg-north'",
    ["epoch-shared", "overlap"],
  ],
];

for (const [what, sql, expected] of lies)
  test(`a history is invalid when ${what} under it`, { timeout: 120_000 }, async () => {
    await using postgres = await startPostgres();
    await postgres.beginEpoch(1, "pg-west");
    const stopping = new AbortController();
    const running = runWorkload({
      run: "lie",
      places: [postgres.url],
      clients: 4,
      forMs: 60_000,
      operationsMax: 400,
      signal: stopping.signal,
    });
    await eventually("operations", 60_000, async () => {
      const rows = await postgres
        .sql("SELECT 1 FROM history_lists, history_accounts WHERE 10 < cardinality(elements)")
        .catch(() => []);
      return 0 < rows.length;
    });
    // Again and again: what is written over before anybody reads it was never told.
    let hasEnded = false;
    const ended = running.finally(() => {
      hasEnded = true;
    });
    for (; !hasEnded; await sleep(20)) await postgres.sql(sql);
    const { history } = await ended;
    const { verdict, found } = checkHistory(history);
    assert.equal(verdict, "invalid");
    assert.ok(
      expected.some((kind) => 0 < (found[kind] ?? 0)),
      JSON.stringify(found),
    );
  });
