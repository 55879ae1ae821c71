/** `holdfast demo` as a user runs it: what it proves, and that nothing of it is left however it ends. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { DrillReport } from "../../src/lab/report.ts";
import { DemoProcess } from "./demo-process.ts";

/** What is checked here are counts. How quick it is on a quiet machine, `npm run bench:failover` tells. */
const gently = ["--profile", "balanced", "--rto", "60s", "--orders", "20", "--reads", "20"];

/** A run that was starved by others proves nothing, and says so: it is done again; what it lost counts all the same. */
const triesMax = 3;

const rpoMs = 2000;
const drills = [
  { fault: "region-kill", data: "synchronous", more: [] },
  { fault: "region-freeze", data: "synchronous", more: [] },
  { fault: "region-kill", data: "asynchronous", more: ["--rpo", `${rpoMs}ms`] },
] as const;

for (const { fault, data, more } of drills)
  test(`demo --once with ${fault}, ${data}: what was acknowledged, and may be repeated, is kept; nothing is left`, {
    timeout: 400_000,
  }, async () => {
    const { code, report, told } = await provingRun(fault, more);
    assert.deepEqual([report.fault, report.profile], [fault, "balanced"]);
    const { chronicle, requests, orders, writers, epoch, rejoin, failback } = report;
    assert.deepEqual([code, report.objectivesMet, requests.safeFailed], [0, true, 0], told);
    assert.ok(0 < orders.acknowledged && orders.acknowledged <= requests.total);
    assert.ok(0 < requests.held, "writes that came while nobody led were held");
    assert.ok(0 < requests.longestWaitMs && 0 <= requests.unsafeFailed && 0 < report.writeGapMs);
    assert.equal(writers.overlapMs, 0);
    const marks = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8"] as const;
    const reached = marks.map((mark) => chronicle[mark] ?? Number.NaN);
    const forward = [...reached].sort((a, b) => a - b);
    assert.deepEqual(reached, forward, `every mark is reached, in order: ${JSON.stringify(chronicle)}`);
    assert.equal(chronicle.t0, 0);
    assert.ok(epoch.before + 2 <= epoch.after, "taken over, and handed back");
    assert.ok(
      Number(chronicle.t5) < Number(rejoin.asStandbyMs),
      "first somebody leads, then the lost one follows",
    );
    assert.ok(failback.writeGapMs !== null && failback.requestsFailed === 0, JSON.stringify(failback));
  });

async function provingRun(
  fault: string,
  more: readonly string[],
): Promise<{ code: number | null; report: DrillReport; told: string }> {
  for (let tried = 1; ; tried++) {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-report-"));
    const file = join(folder, "r.json");
    const demo = new DemoProcess(["--once", "--fault", fault, "--json", file, ...gently, ...more]);
    try {
      const code = await demo.ended;
      const told = `${demo.printed}\n${demo.said}`;
      await demo.leavesNothing({ withinMs: 5000, files: true });
      assert.ok(existsSync(file), `no report was written:\n${told}`);
      const report = JSON.parse(readFileSync(file, "utf8")) as DrillReport;
      const lost = report.objectives.find(({ id }) => id === "lost");
      assert.deepEqual([lost?.met, report.orders.doubled, report.writers.overlapMs], [true, 0, 0], told);
      if (report.problems.length === 0 || tried === triesMax) return { code, report, told };
    } finally {
      await demo.remove();
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

test("Ctrl-C while regions are being started leaves nothing", { timeout: 120_000 }, async () => {
  const demo = new DemoProcess(["--no-load"]);
  try {
    await demo.says(/starting three regions/, 20_000);
    demo.signal("SIGINT");
    assert.equal(await demo.ended, 130, demo.said);
    await demo.leavesNothing({ withinMs: 2000, files: true });
  } finally {
    await demo.remove();
  }
});

test("Ctrl-C in the middle of a drill, with a region frozen, leaves nothing", {
  timeout: 240_000,
}, async () => {
  const demo = new DemoProcess(["--once", "--fault", "region-freeze", "--for", "30s", ...gently]);
  try {
    await demo.says(/fault: region-freeze/, 120_000);
    demo.signal("SIGINT");
    assert.equal(await demo.ended, 130, demo.said);
    await demo.leavesNothing({ withinMs: 2000, files: true });
  } finally {
    await demo.remove();
  }
});

test("SIGKILL of the demo itself leaves no process and no port after ten seconds", {
  timeout: 240_000,
}, async () => {
  const demo = await DemoProcess.start(["--no-load"]);
  try {
    assert.ok(12 <= demo.state.processes.length, "three whole regions run");
    demo.signal("SIGKILL");
    await demo.ended;
    // Its folder stays: whoever killed it may want to look.
    await demo.leavesNothing({ withinMs: 10_000, files: false });
  } finally {
    await demo.remove();
  }
});
