/** What the fencer keeps: torn writes, long texts, files that lost their contents. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { newFuse } from "../../src/fencer/fuse.ts";
import { FencerMemory, type Kept } from "../../src/fencer/memory.ts";

function keptAt(epoch: number): Kept {
  return {
    boot: "b".repeat(36),
    fuse: { ...newFuse, kind: "armed", epoch, deadline: 1e9 + 0.5 },
    fired: 0,
    lastFiring: "",
  };
}

test("whatever byte of the newest slot is torn, the one before it is read; what was never written is new", async () => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-memory-"));
  const path = join(folder, "state");
  try {
    const first = await FencerMemory.open(path);
    assert.equal(first.kept, null);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    await first.memory.close();
    const again = await FencerMemory.open(path);
    assert.equal(again.kept, null);
    await again.memory.keepDurably(keptAt(1));
    await again.memory.keepDurably(keptAt(2));
    await again.memory.close();
    const whole = readFileSync(path);
    for (const at of [0, 9, 40, 200]) {
      const torn = Buffer.from(whole);
      torn.fill(0, at, 1024); // Sequence 2 stands in slot 0.
      writeFileSync(path, torn);
      const { memory, kept } = await FencerMemory.open(path);
      await memory.close();
      assert.deepEqual(kept, keptAt(1), `torn at ${at}`);
    }
    writeFileSync(path, Buffer.alloc(8192));
    const lost = await FencerMemory.open(path);
    await lost.memory.close();
    assert.equal(lost.kept, "unreadable");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the longest text fits: a slot never reaches into the other", async () => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-memory-"));
  const path = join(folder, "state");
  try {
    const { memory } = await FencerMemory.open(path);
    const longest = { ...keptAt(2 ** 53 - 1), lastFiring: "\u0001".repeat(500) };
    assert.equal(await memory.keepDurably(longest), true);
    await memory.close();
    const { memory: second, kept } = await FencerMemory.open(path);
    await second.close();
    assert.deepEqual(kept, { ...longest, lastFiring: "\u0001".repeat(100) });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
