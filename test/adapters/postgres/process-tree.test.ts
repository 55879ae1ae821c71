/** The fence finds what belongs to a data folder, and nothing else. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { endTree, findTree, isLeft } from "../../../src/adapters/postgres/process-tree.ts";

const started: ChildProcess[] = [];
const folders: string[] = [];

afterEach(() => {
  for (const each of started.splice(0)) each.kill("SIGKILL");
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A copy of /bin/sleep by the name of postgres, at work in a data folder. */
function place() {
  const base = realpathSync(mkdtempSync(join(tmpdir(), "holdfast-tree-")));
  folders.push(base);
  const dataDir = join(base, "data");
  mkdirSync(dataDir);
  const postgres = join(base, "postgres");
  copyFileSync("/bin/sleep", postgres);
  return { base, dataDir, postgres, pidFile: join(dataDir, "postmaster.pid") };
}

async function begin(command: string, args: readonly string[], cwd: string) {
  const child = spawn(command, args, { cwd, stdio: "ignore", detached: true });
  started.push(child);
  await once(child, "spawn");
  return child;
}

void test("a process named postgres in the folder is ended, one in another folder and a person's shell are not", async () => {
  const one = place();
  const two = place();
  const mine = await begin(one.postgres, ["60"], one.dataDir);
  const other = await begin(two.postgres, ["60"], two.dataDir);
  const person = await begin("/bin/sleep", ["60"], one.dataDir);
  writeFileSync(one.pidFile, `${mine.pid}\n`);
  assert.deepEqual(
    findTree(one).map((each) => [each.pid, each.isPostmaster]),
    [[mine.pid, true]],
  );
  assert.deepEqual(await endTree(one, AbortSignal.timeout(2000)), { ended: 1 });
  assert.equal(findTree(one).length, 0);
  assert.equal(findTree(two)[0]?.pid, other.pid);
  assert.equal(person.exitCode, null);
  assert.equal(person.signalCode, null);
});

void test("a stopped process and one without a pid file are ended all the same, and ending nothing ends nobody", async () => {
  const one = place();
  const child = await begin(one.postgres, ["60"], one.dataDir);
  process.kill(child.pid as number, "SIGSTOP");
  const found = findTree(one);
  assert.equal(found.length, 1);
  assert.deepEqual(await endTree(one, AbortSignal.timeout(2000)), { ended: 1 });
  assert.equal(isLeft(found[0] as (typeof found)[0]), false);
  assert.deepEqual(await endTree(one, AbortSignal.timeout(2000)), { ended: 0 });
});

void test("a pid file that names somebody else's process ends nobody", async () => {
  const one = place();
  const stranger = await begin("/bin/sleep", ["60"], one.base);
  writeFileSync(one.pidFile, `${stranger.pid}\n`);
  assert.deepEqual(await endTree(one, AbortSignal.timeout(2000)), { ended: 0 });
  assert.equal(stranger.signalCode, null);
});
