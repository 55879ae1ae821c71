/**
 * `npm run bench:cores`: an edge of one process beside one of several (`--processes`, 2), in turn, over 64 connections, 1 KB:
 * requests a second, and CPU time a request in all of its processes together (half a minute).
 *
 * The load (wrk) and the origin (HAProxy) are kept on core 1; the edge may run on all cores. On a machine of two the second
 * process shares its core with both, and what it adds is what they leave over. The CPU time says what sharing costs, on any
 * machine. Needs haproxy, wrk and taskset.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { startOrigin } from "./edge-parts/proxies.ts";
import { type Measured, measure, measureBusyRatio } from "./edge-parts/wrk.ts";
import { benchTable, startEdge } from "./parts/edge.ts";
import { benchFlags, numberFlag } from "./parts/flags.ts";
import { median } from "./parts/median.ts";
import { writeResults } from "./parts/results.ts";

const values = benchFlags(import.meta.url, {
  processes: { type: "string", default: "2" },
  seconds: { type: "string", default: "3" },
  rounds: { type: "string", default: "3" },
  json: { type: "string" },
});
const seconds = numberFlag("seconds", values.seconds);
const rounds = numberFlag("rounds", values.rounds);
const counts = [1, numberFlag("processes", values.processes)];

const busyRatio = await measureBusyRatio();
const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
const running: { stop(): Promise<void> }[] = [];
try {
  for (const program of ["haproxy", "wrk", "taskset"]) execFileSync("which", [program]);
  const origin = await startOrigin(folder);
  running.push(origin);
  const subjects: { readonly processes: number; readonly url: string; readonly pid: number }[] = [];
  for (const processes of counts) {
    const edge = await startEdge(join(folder, String(processes)), { config: { processes } });
    running.push(edge);
    await edge.apply(benchTable({ west: origin.port, central: origin.port }));
    subjects.push({ processes, url: `http://127.0.0.1:${edge.httpPort}/`, pid: edge.pid });
  }
  const results = new Map<number, Measured[]>(counts.map((processes) => [processes, []]));
  // The first seconds belong to the compiler of the JavaScript engine.
  for (const { url, pid } of subjects) await measure(url, pid, 2);
  for (let round = 0; round < rounds; round++)
    for (const { processes, url, pid } of subjects)
      results.get(processes)?.push(await measure(url, pid, seconds));
  const table = [...results].map(([processes, measured]) => ({
    processes,
    requestsPerSecond: Math.round(median(measured.map((each) => each.requestsPerSecond))),
    cpuMicroseconds: Number(median(measured.map((each) => each.cpuMicroseconds)).toFixed(2)),
    p50Ms: median(measured.map((each) => each.p50Ms)),
    p99Ms: median(measured.map((each) => each.p99Ms)),
    errors: measured.reduce((sum, each) => sum + each.errors, 0),
  }));
  console.table(table);
  const cores = availableParallelism();
  console.log(
    `${cores} cores, one of which also carries load and origin; other processes took ${(busyRatio * 100).toFixed(0)} % of the machine before it began`,
  );
  writeResults(values.json, { cores, busyRatio, table });
  if (table.some(({ errors }) => errors > 0)) process.exitCode = 1;
} finally {
  for (const each of running.reverse()) await each.stop();
  rmSync(folder, { recursive: true, force: true });
}
