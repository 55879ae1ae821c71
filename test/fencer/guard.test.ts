/** The guard with a clock that the test moves: what it does before any timer has woken. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Guard } from "../../src/fencer/guard.ts";
import { FencerMemory } from "../../src/fencer/memory.ts";

async function scene(t: TestContext, end: () => Promise<number>) {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-guard-"));
  const { memory, kept } = await FencerMemory.open(join(folder, "state"));
  const world = { now: 0, said: [] as string[] };
  const parts = {
    now: () => world.now,
    end,
    memory,
    log: (text: string) => world.said.push(text),
    boot: "boot-1",
    aheadMaxMs: 1_000_000,
  };
  const guard = new Guard(parts, kept, 500);
  t.after(async () => {
    await guard.close("the test is over");
    rmSync(folder, { recursive: true });
  });
  return { folder, guard, world };
}

test("a pet that is read after the deadline fires instead of renewing, though no timer has woken", async (t) => {
  let ended = 0;
  const { guard, world } = await scene(t, async () => (ended++ === 0 ? 1 : 0));
  assert.equal((await guard.pet({ epoch: 1, deadline: 500_000 })).done, true);
  world.now = 500_000.5;
  const late = await guard.pet({ epoch: 1, deadline: 900_000 });
  assert.deepEqual(late, { done: false, because: "it has fired in epoch 1" });
  // A higher epoch waits until the member of the last one is seen gone, and is then taken.
  assert.equal((await guard.pet({ epoch: 2, deadline: 900_000 })).done, true);
  assert.equal(guard.state().fired, 1);
  assert.match(guard.state().lastFiring, /not petted in epoch 1, 0.5 ms past its deadline/);
});

test("while the member cannot be ended nothing is armed, and it is tried again until none is left", async (t) => {
  let stuck = 3;
  const { guard, world } = await scene(t, async () => {
    if (stuck === 0) return 0;
    stuck -= 1;
    throw new Error("process 12 hangs in its disk");
  });
  await guard.pet({ epoch: 1, deadline: 500_000 });
  world.now = 500_001;
  assert.equal(guard.isInCommand(), false);
  const answer = await guard.pet({ epoch: 2, deadline: 900_000 });
  assert.equal(answer.done, true);
  assert.equal(stuck, 0);
  assert.equal(guard.isInCommand(), true);
  assert.equal(world.said.filter((line) => line.includes("hangs in its disk")).length, 1);
});

test("after a restart of the host nothing is armed, and what has burnt stays burnt", async (t) => {
  const { folder, guard, world } = await scene(t, async () => 0);
  await guard.pet({ epoch: 6, deadline: 500_000 });
  world.now = 500_001;
  await guard.disarm({ epoch: 6 });
  await guard.pet({ epoch: 7, deadline: 900_000 });
  const { memory, kept } = await FencerMemory.open(join(folder, "state"));
  assert.ok(kept !== null && kept !== "unreadable");
  assert.deepEqual([kept.fuse.kind, kept.fuse.epoch, kept.fuse.burntEpoch], ["armed", 7, 6]);
  const parts = { now: () => 10, end: async () => 0, memory, log: () => {}, boot: "boot-2", aheadMaxMs: 1e6 };
  const next = new Guard(parts, kept, 500);
  assert.equal(next.state().armed, false);
  assert.equal((await next.pet({ epoch: 6, deadline: 1000 })).done, false);
  assert.equal((await next.pet({ epoch: 7, deadline: 1000 })).done, true);
  await next.close("the test is over");
});
