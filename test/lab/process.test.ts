/** A process of the lab that is waited for: ready, dead by itself, or ended on purpose by a fault that came in between. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { LabProcess } from "../../src/lab/process.ts";

test("one that is killed while it is waited for is left to whoever killed it, and comes back", {
  timeout: 30_000,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-process-"));
  const script = "setTimeout(() => console.log('it is ready'), 300); setInterval(() => undefined, 1000)";
  const one = new LabProcess({
    name: "etcd eu-central",
    role: "etcd",
    region: "eu-central",
    args: ["-e", script],
    env: {},
    logFile: join(folder, "log"),
    readyText: "it is ready",
  });
  const { signal } = new AbortController();
  try {
    one.start();
    const first = one.ready(signal);
    one.kill("SIGKILL");
    assert.equal(await first, false);
    await one.gone();
    one.start();
    assert.equal(await one.ready(signal), true);
  } finally {
    await one.end();
    rmSync(folder, { recursive: true });
  }
});
