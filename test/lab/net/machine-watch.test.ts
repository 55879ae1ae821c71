/** A disk that stands still and a process that does not run are seen, and one that is merely busy is not. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { monotonicMs } from "../../../src/lab/monotonic.ts";
import { breakDisk, makeDisk, removeDisksBelow } from "../../../src/lab/net/disk.ts";
import { MachineWatch } from "../../../src/lab/net/machine-watch.ts";
import { eventually } from "../demo-process.ts";
import { isLeftOut } from "./place-probe.ts";

const standsMs = 800;
const watchFile = new URL("../../../src/lab/net/machine-watch.ts", import.meta.url).href;

test("a flush that a disk holds up is told with its moment", { timeout: 60_000 }, async (context) => {
  if (isLeftOut(context)) return;
  const folder = mkdtempSync(join(tmpdir(), "holdfast-watch-"));
  const disk = join(folder, "disk");
  try {
    makeDisk(disk, false);
    await using watch = await MachineWatch.start(disk);
    await eventually("it has looked", 10_000, () => watch.longest.disk !== null);
    const from = monotonicMs();
    const hangs = breakDisk(disk, { kind: "disk-hang" }, 30_000);
    await sleep(standsMs);
    const until = monotonicMs();
    await hangs.end(AbortSignal.timeout(30_000));
    await eventually("the flush is told", 10_000, () => (watch.longest.disk?.ms ?? 0) > standsMs / 2);
    const { at, ms } = watch.longest.disk ?? { at: 0, ms: 0 };
    assert.ok(at < until && until < at + ms, `${at - from} to ${at + ms - from} of ${until - from}`);
  } finally {
    removeDisksBelow(folder);
    rmSync(folder, { recursive: true });
  }
});

test("a lab that is busy itself is not told as a machine that stands still", {
  timeout: 60_000,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-watch-"));
  try {
    await using watch = await MachineWatch.start(folder);
    await eventually("it has looked", 10_000, () => watch.longest.cpu !== null);
    const busyMs = 2000;
    const from = monotonicMs();
    while (monotonicMs() - from < busyMs);
    // What the thread has told meanwhile is read now.
    await sleep(200);
    assert.ok((watch.longest.cpu?.ms ?? busyMs) < busyMs / 2, JSON.stringify(watch.longest));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a process that is stopped is told, as one or the other", { timeout: 60_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-watch-"));
  const code = `
    const { MachineWatch } = await import(${JSON.stringify(watchFile)});
    const watch = await MachineWatch.start(${JSON.stringify(folder)});
    setInterval(() => console.log(JSON.stringify(watch.longest)), 50);
  `;
  // A file: a thread inherits the options of its process, and takes no `--input-type`.
  const script = join(folder, "watch.mjs");
  writeFileSync(script, code);
  const child = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
  let watches = false;
  let longestMs = 0;
  createInterface(child.stdout).on("line", (line) => {
    const { disk, cpu } = JSON.parse(line) as MachineWatch["longest"];
    watches ||= disk !== null;
    longestMs = Math.max(disk?.ms ?? 0, cpu?.ms ?? 0);
  });
  try {
    await eventually("it watches", 20_000, () => watches);
    child.kill("SIGSTOP");
    await sleep(standsMs);
    child.kill("SIGCONT");
    await eventually("the stop is told", 10_000, () => longestMs > standsMs / 2);
  } finally {
    child.kill("SIGKILL");
    await once(child, "close");
    rmSync(folder, { recursive: true });
  }
});
