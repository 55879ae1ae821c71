/** Real disks that break: what a writer is told, how long it waits, what is left, and that each fault ends by itself. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { open, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  breakDisk,
  bringBack,
  type DiskFault,
  endDiskFaultsBelow,
  isDisk,
  loseUnsynced,
  makeDisk,
  removeDisksBelow,
} from "../../../src/lab/net/disk.ts";
import { eventually } from "../demo-process.ts";
import { isLeftOut } from "./place-probe.ts";

const longMs = 600_000;
const patience = AbortSignal.timeout(120_000);

function withDisk(name: string, body: (disk: string, folder: string) => Promise<void>): void {
  test(name, { timeout: 120_000 }, async (context: TestContext) => {
    if (isLeftOut(context)) return;
    const folder = mkdtempSync(join(tmpdir(), "holdfast-disk-"));
    const disk = join(folder, "disk");
    try {
      makeDisk(disk, true);
      await body(disk, folder);
    } finally {
      removeDisksBelow(folder);
      rmSync(folder, { recursive: true });
    }
  });
}

/** How long it took, in ms. */
async function writeSynced(path: string, text: string): Promise<number> {
  const from = performance.now();
  const file = await open(path, "w");
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  return performance.now() - from;
}

withDisk("what was synced is there after a power cut, and what was not is gone", async (disk) => {
  mkdirSync(join(disk, "data"));
  await writeSynced(join(disk, "data", "kept"), "kept");
  await writeFile(join(disk, "data", "lost"), "lost");
  loseUnsynced(disk);
  await bringBack(disk, patience);
  assert.equal(readFileSync(join(disk, "data", "kept"), "utf8"), "kept");
  assert.equal(existsSync(join(disk, "data", "lost")), false);
  assert.ok((await writeSynced(join(disk, "data", "new"), "new")) < 30_000);
});

withDisk(
  "a disk that fails tells so, and is well afterwards though a file of it is still open",
  async (disk) => {
    const path = join(disk, "file");
    await writeSynced(path, "before");
    const held = await open(path, "r+");
    try {
      const broken = breakDisk(disk, { kind: "disk-fails" }, longMs);
      await assert.rejects(writeSynced(path, "during"), { code: "EIO" });
      await assert.rejects(held.sync(), { code: "EIO" });
      await broken.end(patience);
      assert.equal(await readFile(path, "utf8"), "before");
      await writeSynced(path, "after");
      await assert.rejects(held.sync(), { code: "EIO" }, "who has it open from before has the dead one");
      assert.equal(await readFile(path, "utf8"), "after");
    } finally {
      await held.close().catch(() => undefined);
    }
  },
);

withDisk(
  "a slow disk takes up to what was asked for, again and again, and is quick afterwards",
  async (disk) => {
    const upToMs = 700;
    const broken = breakDisk(disk, { kind: "disk-slow", upTo: upToMs }, longMs);
    const tookMs: number[] = [];
    await eventually(
      "it is slow",
      30_000,
      async () => 0.5 * upToMs < (await writeSynced(join(disk, "file"), "")),
    );
    for (let n = 0; n < 20; n++) {
      tookMs.push(await writeSynced(join(disk, "file"), String(n)));
      // Elsewhere in the span each time.
      await sleep(37 * n);
    }
    const slow = tookMs.filter((ms) => 0.3 * upToMs < ms);
    assert.ok(5 <= slow.length, `${tookMs}`);
    assert.ok(Math.max(...tookMs) < 3 * upToMs, `${tookMs}`);
    await broken.end(patience);
    for (let n = 0; n < 5; n++) assert.ok((await writeSynced(join(disk, "file"), "")) < upToMs);
  },
);

for (const fault of [
  { kind: "disk-full" },
  { kind: "disk-hang" },
  { kind: "disk-slow", upTo: 300_000 },
  { kind: "disk-fails" },
] as const satisfies readonly DiskFault[]) {
  const script = `
    import { breakDisk } from ${JSON.stringify(fileURLToPath(new URL("../../../src/lab/net/disk.ts", import.meta.url)))};
    breakDisk(process.argv[1], JSON.parse(process.argv[2]), Number(process.argv[3]));
    process.stdout.write("broken");
    setInterval(() => {}, 1000);`;
  /** Whoever broke it is killed at once. */
  const breakAndDie = async (disk: string, forMs: number) => {
    const args = ["--input-type=module-typescript", "-e", script, disk, JSON.stringify(fault), String(forMs)];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    for await (const _ of child.stdout) break;
    child.kill("SIGKILL");
  };
  const isWell = (disk: string) =>
    writeSynced(join(disk, "file"), "x".repeat(8192)).then(
      () => true,
      () => false,
    );

  withDisk(`${fault.kind} ends by itself when whoever began it was killed`, async (disk) => {
    await breakAndDie(disk, 6000);
    await eventually("it is broken", 30_000, async () => {
      const from = performance.now();
      // A disk that hangs keeps who writes to it: how long it took tells.
      return !(await isWell(disk)) || 1000 < performance.now() - from;
    });
    await eventually("it is well", 60_000, () => isWell(disk));
  });

  withDisk(
    `${fault.kind} can be ended early by somebody else, and goes with its folder`,
    async (disk, folder) => {
      await breakAndDie(disk, longMs);
      endDiskFaultsBelow(folder);
      await eventually("it is well", 60_000, () => isWell(disk));
      await breakAndDie(disk, longMs);
      removeDisksBelow(folder);
      assert.equal(isDisk(disk), false);
      assert.throws(() => breakDisk(disk, fault, 1000), /no disk is mounted/);
    },
  );
}

test("a folder beside is nobody's disk", () => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-disk-"));
  try {
    writeFileSync(join(folder, "file"), "");
    removeDisksBelow(folder);
    assert.ok(existsSync(join(folder, "file")));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
