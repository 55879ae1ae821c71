/** The thread of `machine-watch.ts`. Nothing else runs on it: what is late here, the machine made late. */
import { fdatasyncSync, openSync, writeSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { monotonicMs } from "../monotonic.ts";

/** Often enough that a stall of a tenth of a second is rarely missed; a block each time is nothing to a disk. */
const everyMs = 100;
const block = Buffer.alloc(4096);
const file = openSync(workerData as string, "w");
const nobodyWakes = new Int32Array(new SharedArrayBuffer(4));

for (;;) {
  const flushedFrom = monotonicMs();
  writeSync(file, block, 0, block.length, 0);
  fdatasyncSync(file);
  const flushed = monotonicMs();
  Atomics.wait(nobodyWakes, 0, 0, everyMs);
  const dueAt = flushed + everyMs;
  parentPort?.postMessage({
    disk: { at: flushedFrom, ms: flushed - flushedFrom },
    cpu: { at: dueAt, ms: Math.max(0, monotonicMs() - dueAt) },
  });
}
