/** The journal on real files: order, bounds, a disk that is full. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FileJournal } from "../../../src/adapters/system/journal.ts";
import { temporaryFolder } from "./temporary-folder.ts";

test("lines stand in the order in which they were given, over all files, the oldest gone", async (t) => {
  const path = join(temporaryFolder(t), "journal");
  const journal = new FileJournal({ path, fileBytesMax: 1000, filesMax: 3 });
  const all: Promise<void>[] = [];
  for (let n = 0; n < 500; n += 1) {
    all.push(journal.append(JSON.stringify({ n })));
    if (n % 7 === 0) await all.at(-1);
  }
  await Promise.all(all);
  await journal.close();
  const files = [`${path}.2`, `${path}.1`, path];
  const text = files.map((file) => readFileSync(file, "utf8")).join("");
  const numbers = text
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { n: number }).n);
  assert.equal(numbers.at(-1), 499);
  assert.deepEqual(
    numbers,
    Array.from({ length: numbers.length }, (_, i) => 500 - numbers.length + i),
  );
  assert.equal(existsSync(`${path}.3`), false);
  assert.ok(text.length < 3 * 1200);
});

test("a full disk rejects nothing, is counted, and leaves a line that says how many are missing", async (t) => {
  const path = join(temporaryFolder(t), "journal");
  symlinkSync("/dev/full", path);
  const journal = new FileJournal({ path });
  await journal.append("{}");
  await Promise.all([journal.append("{}"), journal.append("{}")]);
  assert.equal(journal.dropped, 3);
  assert.match(journal.problem, /ENOSPC/);
  rmSync(path);
  await journal.append(`{"kind":"beat"}`);
  assert.equal(journal.problem, "");
  await journal.close();
  const lines = readFileSync(path, "utf8").split("\n").filter(Boolean);
  assert.deepEqual(lines, [`{"kind":"journal-gap","dropped":3}`, `{"kind":"beat"}`]);
});

test("what the life before wrote half stays a line of its own", async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, "journal");
  writeFileSync(path, `{"n":1}\n{"n":`);
  const journal = new FileJournal({ path });
  await journal.append(`{"n":2}`);
  await journal.close();
  await journal.append(`{"n":3}`);
  assert.equal(journal.dropped, 1);
  assert.equal(readFileSync(path, "utf8"), `{"n":1}\n{"n":\n{"n":2}\n`);
  assert.deepEqual(readdirSync(folder), ["journal"]);
});

test("what waits for the disk is bounded", async (t) => {
  const journal = new FileJournal({ path: join(temporaryFolder(t), "journal"), waitingMax: 10 });
  await Promise.all(Array.from({ length: 25 }, () => journal.append("{}")));
  assert.equal(journal.dropped, 15);
  await journal.close();
});
