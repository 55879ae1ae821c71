/**
 * `npm run bench:edge`: our edge beside HAProxy in one run, each proxy alone on one core, 1 KB, 64 connections.
 *
 * Needs haproxy, wrk and taskset (scripts/install-test-parts.sh). Rounds alternate between the proxies, and the median
 * counts. Beside the rate stands what a request costs in CPU time, which says more when the load's own core is the limit,
 * or when the machine is busy with other things. Exits 1 when a target is missed. How soon traffic shifts: `bench:shift`.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startEdge, startHaproxy, startOrigin } from "./edge-parts/proxies.ts";
import { type Measured, measure, measureBusyRatio, median } from "./edge-parts/wrk.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "3" },
    rounds: { type: "string", default: "3" },
    json: { type: "string" },
  },
});
const seconds = Number(values.seconds);
const rounds = Number(values.rounds);

const busyRatio = await measureBusyRatio();
const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
mkdirSync(join(folder, "edge"));
const running: { stop(): Promise<void> }[] = [];
try {
  for (const program of ["haproxy", "wrk", "taskset"]) execFileSync("which", [program]);
  const origin = await startOrigin(folder);
  running.push(origin);
  const haproxy = await startHaproxy(folder, origin.port);
  running.push(haproxy);
  const edge = await startEdge(folder, origin.port);
  running.push(edge);

  const subjects: Readonly<Record<string, { readonly url: string; readonly pid: number }>> = {
    direct: { url: `http://127.0.0.1:${origin.port}/`, pid: origin.pid },
    "haproxy http": { url: haproxy.http, pid: haproxy.pid },
    "edge http": { url: edge.http, pid: edge.pid },
    "haproxy tcp": { url: haproxy.tcp, pid: haproxy.pid },
    "edge tcp": { url: edge.tcp, pid: edge.pid },
  };
  const results = new Map<string, Measured[]>(Object.keys(subjects).map((name) => [name, []]));
  // The first second belongs to the compiler of the JavaScript engine.
  for (const { url, pid } of Object.values(subjects)) await measure(url, pid, 2);
  for (let round = 0; round < rounds; round++)
    for (const [name, { url, pid }] of Object.entries(subjects))
      results.get(name)?.push(await measure(url, pid, seconds));

  const table = [...results].map(([name, measured]) => ({
    proxy: name,
    requestsPerSecond: Math.round(median(measured.map((each) => each.requestsPerSecond))),
    cpuMicroseconds: Number(median(measured.map((each) => each.cpuMicroseconds)).toFixed(2)),
    p50Ms: median(measured.map((each) => each.p50Ms)),
    p99Ms: median(measured.map((each) => each.p99Ms)),
    errors: measured.reduce((sum, each) => sum + each.errors, 0),
  }));
  console.table(table);
  const of = (name: string) => table.find(({ proxy }) => proxy === name) as (typeof table)[number];
  const share = (what: "http" | "tcp", atLeast: number) => ({
    what,
    byCpu: of(`haproxy ${what}`).cpuMicroseconds / of(`edge ${what}`).cpuMicroseconds,
    byWallClock: of(`edge ${what}`).requestsPerSecond / of(`haproxy ${what}`).requestsPerSecond,
    atLeast,
  });
  const shares = [share("http", 0.45), share("tcp", 0.9)];
  for (const { what, byCpu, byWallClock, atLeast } of shares)
    console.log(
      `${what}, requests per second as a share of HAProxy: ${byWallClock.toFixed(2)} by wall clock, ${byCpu.toFixed(2)} by CPU time of a request (target ${atLeast} by wall clock) ${atLeast <= byWallClock ? "met" : "MISSED"}`,
    );
  console.log(
    `other processes took ${(busyRatio * 100).toFixed(0)} % of the machine before it began: above 5 % the figures prove little`,
  );
  if (values.json !== undefined)
    writeFileSync(values.json, JSON.stringify({ busyRatio, table, shares }, null, 2));
  if (shares.some(({ byWallClock, atLeast }) => byWallClock < atLeast)) process.exitCode = 1;
} finally {
  for (const each of running.reverse()) await each.stop();
  rmSync(folder, { recursive: true, force: true });
}
