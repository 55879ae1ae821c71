/** When backups are as they were asked for, and what is said where they are not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BackupTest, KeptBackup } from "../../../src/core/model/backup.ts";
import { fitBackups } from "../../../src/core/spec/fit-backups.ts";

const policy = { region: "west", folder: "/backups", maxAgeMs: 26 * 3_600_000, testMaxAgeMs: 8 * 86_400_000 };
const now = 1_795_348_800_000;
const ago = (hours: number) => now - hours * 3_600_000;

function backup(
  hours: number,
  tested?: readonly [hours: number, outcome: BackupTest["outcome"]],
): KeptBackup {
  const name = `${hours} h`;
  return {
    name,
    folder: `/backups/orders-db/${name}`,
    record: {
      schema: 1,
      topology: "orders",
      store: "orders-db",
      member: "pg-west",
      region: "west",
      role: "standby",
      epoch: 1,
      systemId: "1",
      takenAt: ago(hours),
      tookMs: 1000,
      bytes: 1,
      major: 15,
      by: "0.1.0",
      unlisted: [],
    },
    test: tested
      ? {
          schema: 1,
          backup: name,
          outcome: tested[1],
          damages: tested[1] === "failed" ? [{ file: "data/base/1/2", because: "it is missing" }] : [],
          testedAt: ago(tested[0]),
          by: "0.1.0",
          postgres: "15.1",
          restoreMs: 1,
          tookMs: 1,
          bytes: 1,
          pagesChecked: 1,
          tables: 1,
          rows: 1,
          rowsOf: {},
          lastCommitAt: null,
        }
      : null,
  };
}

function check(what: string, kept: readonly KeptBackup[], fit: string, advice: RegExp): void {
  test(what, () => {
    const verdict = fitBackups(policy, kept, now);
    assert.equal(verdict.fit, fit, verdict.advice);
    assert.match(verdict.advice, advice);
  });
}

check("no backup at all is a problem", [], "problem", /there is none/);
check("a newest one that is too old is a problem", [backup(26.1, [1, "passed"])], "problem", /too old/);
check("one as old as may be is none", [backup(26, [1, "passed"])], "ok", /^$/);
check("one from the future is a problem", [backup(-1, [1, "passed"])], "problem", /ahead: see the clocks/);
check(
  "backups of which none was tested are a problem",
  [backup(25), backup(1)],
  "problem",
  /none was tested/,
);
check(
  "a test from the future is a problem",
  [backup(5, [-1, "passed"])],
  "problem",
  /1 h ahead|60 min ahead/,
);
check(
  "an instant that is no number is never young enough",
  [backup(Number.NaN, [1, "passed"])],
  "problem",
  /too old/,
);
check(
  "an older one that passed lately carries a younger one that was not tested",
  [backup(60, [50, "passed"]), backup(1)],
  "ok",
  /^$/,
);
check(
  "a test that is too long ago is a problem",
  [backup(200, [192.1, "passed"]), backup(1)],
  "problem",
  /the last test was 192 h ago/,
);
check(
  "the last test counts, not the best: a failed one is a problem, and names the file",
  [backup(30, [2, "passed"]), backup(5, [1, "failed"])],
  "problem",
  /failed its test, data\/base\/1\/2: it is missing/,
);
check(
  "one that passes after another has failed makes it good",
  [backup(30, [2, "failed"]), backup(5, [1, "passed"])],
  "ok",
  /^$/,
);
check(
  "one whose description cannot be read is a warning beside a good one",
  [{ ...backup(30), record: null }, backup(5, [1, "passed"])],
  "warning",
  /backup\.json cannot be read/,
);
check(
  "one whose description cannot be read is none",
  [{ ...backup(5, [1, "passed"]), record: null }],
  "problem",
  /there is none/,
);
