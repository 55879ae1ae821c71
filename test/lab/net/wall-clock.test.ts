/** Wall clocks that the lab sets wrong: by how much, and what stays right. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { findAccount } from "../../../src/adapters/postgres/account.ts";
import { findBinaries } from "../../../src/adapters/postgres/binaries.ts";
import {
  clockPrefix,
  dropClocksOfTheDead,
  findFaketime,
  setClock,
  wrapPostgres,
} from "../../../src/lab/net/wall-clock.ts";

const hour = 3_600_000;

/** null: left out, loudly. */
function libraryFor(context: TestContext): string | null {
  const library = findFaketime();
  if (library !== null) return library;
  const because = "LEFT OUT: libfaketime is not installed; run scripts/install-test-parts.sh";
  if (process.env.CI === "true") throw new Error(because);
  console.error(`${context.name}: ${because}`);
  context.skip(because);
  return null;
}

const teller = `setInterval(() => console.log(JSON.stringify({ wall: Date.now(), own: performance.now() })), 50)`;

for (const [way, byMs] of [
  ["ahead", hour],
  ["behind", -hour],
] as const)
  test(`a process whose wall clock is set an hour ${way}, and right again, counts its spans on`, {
    timeout: 60_000,
  }, async (context) => {
    const library = libraryFor(context);
    if (library === null) return;
    const folder = mkdtempSync(join(tmpdir(), "holdfast-clock-"));
    const file = join(folder, "clock");
    setClock(file, 0);
    const [command, ...args] = [...clockPrefix(library, file), process.execPath, "-e", teller];
    const child = spawn(command as string, args, { stdio: ["ignore", "pipe", "inherit"] });
    try {
      let before: { wall: number; own: number } | null = null;
      const steps = [0, byMs, 0];
      for await (const line of createInterface(child.stdout)) {
        const now = JSON.parse(line) as { wall: number; own: number };
        if (before !== null)
          assert.ok(Math.abs(now.own - before.own - 50) < 2000, "the monotonic clock jumped");
        before = now;
        if (Math.abs(now.wall - Date.now() - (steps[0] as number)) > 2000) continue;
        steps.shift();
        if (steps.length === 0) break;
        setClock(file, steps[0] as number);
      }
      assert.deepEqual(steps, []);
    } finally {
      child.kill("SIGKILL");
      await new Promise((resolve) => child.once("exit", resolve));
      rmSync(folder, { recursive: true, force: true });
    }
    const left = () =>
      [`faketime_shm_${child.pid}`, `sem.faketime_sem_${child.pid}`].filter((name) =>
        existsSync(join("/dev/shm", name)),
      );
    dropClocksOfTheDead();
    assert.deepEqual(left(), []);
  });

test("a wrapped PostgreSQL is found as it is, and its server goes by the clock that is set", {
  timeout: 60_000,
}, async (context) => {
  const library = libraryFor(context);
  if (library === null) return;
  const folder = mkdtempSync(join(tmpdir(), "holdfast-clock-"));
  try {
    const account = findAccount(undefined);
    const real = await findBinaries({ account });
    const file = join(folder, "clock");
    setClock(file, hour);
    const prefix = clockPrefix(library, file);
    const found = await findBinaries({
      account,
      binDir: wrapPostgres(join(folder, "a"), real.binDir, prefix),
    });
    assert.equal(found.version, real.version);
    assert.equal(found.pgRewind === null, real.pgRewind === null);

    const programs = join(folder, "programs");
    mkdirSync(programs);
    writeFileSync(join(programs, "postgres"), '#!/bin/sh\nexec date "$@"\n', { mode: 0o755 });
    const server = join(wrapPostgres(join(folder, "b"), programs, prefix), "postgres");
    const told = Number(execFileSync(server, ["+%s"], { encoding: "utf8" })) * 1000;
    assert.ok(Math.abs(told - Date.now() - hour) < 5000, `${told - Date.now()} ms off`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    dropClocksOfTheDead();
  }
});
