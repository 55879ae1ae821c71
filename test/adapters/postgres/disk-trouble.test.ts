/** A disk that failed is looked at before anything is tried on it again, and left alone for longer each time (T1, T2). */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DatabaseError } from "../../../src/adapters/postgres/database-error.ts";
import { DiskTrouble, isIoError } from "../../../src/adapters/postgres/disk-trouble.ts";

const minuteMs = 60_000;

class Setting implements Disposable {
  readonly stateDir = mkdtempSync(join(tmpdir(), "holdfast-disk-trouble-"));
  at = 0;
  tries = 0;
  fails: Error | null = null;
  readonly trouble = new DiskTrouble({
    member: "pg-a",
    stateDir: this.stateDir,
    account: { name: "me", uid: 0, gid: 0, switches: false },
    now: () => this.at,
  });

  try(): Promise<string> {
    return this.trouble.guard(async () => {
      this.tries += 1;
      if (this.fails) throw this.fails;
      return "done";
    });
  }

  /** What it said instead of trying; null: it tried. */
  async refusal(): Promise<string | null> {
    const before = this.tries;
    const error = await this.try().then(
      () => null,
      (cause: unknown) => cause,
    );
    if (this.tries > before) return null;
    assert.ok(error instanceof DatabaseError);
    assert.equal(error.code, "HOLDFAST_PG_DISK");
    return error.message;
  }

  [Symbol.dispose](): void {
    rmSync(this.stateDir, { recursive: true, force: true });
  }
}

function eio(): Error {
  return Object.assign(new Error("EIO: i/o error, write"), { code: "EIO" });
}

test("a disk that takes nothing is not tried, however long it lasts, and at once when it takes something", async () => {
  using setting = new Setting();
  setting.fails = eio();
  await assert.rejects(setting.try(), { code: "EIO" });
  rmSync(setting.stateDir, { recursive: true });
  for (let n = 0; n < 20; n++) {
    setting.at += minuteMs;
    assert.match(
      (await setting.refusal()) ?? "",
      /disk of pg-a has failed \(EIO.* takes nothing now \(ENOENT.*look at it/,
    );
  }
  mkdirSync(setting.stateDir);
  setting.fails = null;
  assert.equal(await setting.try(), "done");
  assert.deepEqual(readdirSync(setting.stateDir), [], "nothing is left of the look");
});

test("one that takes a small file and fails again is tried ever less, ten minutes apart at last", async () => {
  using setting = new Setting();
  setting.fails = eio();
  const triedAt: number[] = [];
  for (; setting.at < 60 * minuteMs; setting.at += 5000)
    if ((await setting.refusal()) === null) triedAt.push(setting.at);
  const pauses = triedAt.slice(1).map((at, n) => (at - (triedAt[n] ?? 0)) / 1000);
  assert.deepEqual(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600, 600, 600]);
  assert.match((await setting.refusal()) ?? "", /tried again in \d+ s/);
});

test("what went well once is forgotten, and what is no I/O error of ours never counted", async () => {
  using setting = new Setting();
  setting.fails = eio();
  await assert.rejects(setting.try());
  setting.at += minuteMs;
  setting.fails = null;
  await setting.try();
  setting.fails = new Error('the primary says: could not read file "base/1/2": Input/output error');
  await assert.rejects(setting.try());
  assert.equal(await setting.refusal(), null);
});

for (const [what, error, expected] of [
  ["a write of ours", eio(), true],
  ["a file system that became read-only", Object.assign(new Error("EROFS"), { code: "EROFS" }), true],
  [
    "a backup that could not be written",
    new DatabaseError("HOLDFAST_PG_SEED", "not whole", { cause: eio() }),
    true,
  ],
  [
    "a server that could not read its data",
    new DatabaseError(
      "HOLDFAST_PG_START",
      'did not start: FATAL: could not read file "x": Input/output error',
    ),
    true,
  ],
  ["a server whose port is taken", new DatabaseError("HOLDFAST_PG_START", "port 5432 is taken"), false],
  ["a full disk", Object.assign(new Error("ENOSPC"), { code: "ENOSPC" }), false],
] as const)
  test(`${what} is ${expected ? "" : "not "}an I/O error`, () => assert.equal(isIoError(error), expected));
