/** A disk that stands still and a process that does not run are both seen, each as what it is. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { monotonicMs } from "../../../src/lab/monotonic.ts";
import { breakDisk, makeDisk, removeDisksBelow } from "../../../src/lab/net/disk.ts";
import { MachineWatch } from "../../../src/lab/net/machine-watch.ts";
import { isLeftOut } from "./place-probe.ts";

const standsMs = 800;

test("a flush that a disk holds up is told with its moment, and not once it is long over", {
  timeout: 60_000,
}, async (context) => {
  if (isLeftOut(context)) return;
  const folder = mkdtempSync(join(tmpdir(), "holdfast-watch-"));
  const disk = join(folder, "disk");
  try {
    makeDisk(disk, false);
    await using watch = await MachineWatch.start(disk);
    await sleep(300);
    const from = monotonicMs();
    const hangs = breakDisk(disk, { kind: "disk-hang" }, 30_000);
    await sleep(standsMs);
    await hangs.end(AbortSignal.timeout(30_000));
    await sleep(300);
    const { disk: stall } = watch.longest(from);
    assert.ok(stall !== null && stall.ms >= standsMs - 150, JSON.stringify(stall));
    assert.ok(Math.abs(stall.at - from) < 400, `${stall.at - from}`);
    assert.ok((watch.longest(monotonicMs() - 50).disk?.ms ?? 0) < stall.ms);
  } finally {
    removeDisksBelow(folder);
    rmSync(folder, { recursive: true });
  }
});

test("a process that did not run is told by its timers", async () => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-watch-"));
  try {
    await using watch = await MachineWatch.start(folder);
    await sleep(150);
    const from = monotonicMs();
    while (monotonicMs() - from < standsMs);
    await sleep(150);
    const { cpu } = watch.longest(from);
    assert.ok(cpu !== null && cpu.ms >= standsMs - 250, JSON.stringify(cpu));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
