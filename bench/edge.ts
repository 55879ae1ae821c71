/**
 * `npm run bench:edge`: our edge beside HAProxy, nginx and the proxy packages of Node in one run (some five minutes), each
 * proxy alone on one core, 1 KB: requests a second over 64 connections, and latency at a constant 5,000 a second.
 *
 * Needs haproxy, nginx, wrk and taskset (scripts/install-test-parts.sh), and a package registry for `bench/packages`
 * (`--without-packages` leaves those out). Rounds alternate between the proxies, and the median counts. Beside the rate
 * stands what a request costs in CPU time, which says more when the load's own core is the limit, or when the machine is
 * busy with other things. Exits 1 when a target is missed. How soon traffic shifts: `bench:shift`.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConstantRate, measureConstantRate } from "./edge-parts/constant-rate.ts";
import {
  startBenchEdge,
  startHaproxy,
  startNginxProxy,
  startNodeProxy,
  startOrigin,
} from "./edge-parts/proxies.ts";
import { type Measured, measure, measureBusyRatio } from "./edge-parts/wrk.ts";
import { benchFlags, numberFlag } from "./parts/flags.ts";
import { median } from "./parts/median.ts";
import { installPackages } from "./parts/packages.ts";
import { writeResults } from "./parts/results.ts";

const values = benchFlags(import.meta.url, {
  seconds: { type: "string", default: "3" },
  rounds: { type: "string", default: "3" },
  "rate-rounds": { type: "string", default: "7" },
  rate: { type: "string", default: "5000" },
  "without-packages": { type: "boolean", default: false },
  json: { type: "string" },
});
const seconds = numberFlag("seconds", values.seconds);
const rounds = numberFlag("rounds", values.rounds);
/** More of them: one stop of the machine for 30 ms is 1 % of three seconds, and a p99 of its own. */
const rateRounds = numberFlag("rate-rounds", values["rate-rounds"]);
const perSecond = numberFlag("rate", values.rate);
const nodePackages = values["without-packages"] ? [] : ["@fastify/http-proxy", "http-proxy-3", "http-proxy"];

const busyRatio = await measureBusyRatio();
const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
const running: { stop(): Promise<void> }[] = [];
try {
  for (const program of ["haproxy", "nginx", "wrk", "taskset"]) execFileSync("which", [program]);
  const origin = await startOrigin(folder);
  running.push(origin);
  const haproxy = await startHaproxy(folder, origin.port);
  running.push(haproxy);
  const nginx = await startNginxProxy(folder, origin.port);
  running.push(nginx);
  const edge = await startBenchEdge(folder, origin.port);
  running.push(edge);

  const subjects: Record<string, { readonly url: string; readonly pid: number }> = {
    direct: { url: `http://127.0.0.1:${origin.port}/`, pid: origin.pid },
    "haproxy http": { url: haproxy.http, pid: haproxy.pid },
    "nginx http": { url: nginx.http, pid: nginx.pid },
    "edge http": { url: edge.http, pid: edge.pid },
    "haproxy tcp": { url: haproxy.tcp, pid: haproxy.pid },
    "edge tcp": { url: edge.tcp, pid: edge.pid },
  };
  const packages = nodePackages.length === 0 ? "" : await installPackages(folder);
  for (const name of nodePackages) {
    const proxy = await startNodeProxy(name, packages, origin.port);
    running.push(proxy);
    subjects[name] = { url: proxy.http, pid: proxy.pid };
  }
  const results = new Map<string, Measured[]>(Object.keys(subjects).map((name) => [name, []]));
  // The first second belongs to the compiler of the JavaScript engine.
  for (const { url, pid } of Object.values(subjects)) await measure(url, pid, 2);
  for (let round = 0; round < rounds; round++)
    for (const [name, { url, pid }] of Object.entries(subjects))
      results.get(name)?.push(await measure(url, pid, seconds));

  const constant = new Map<string, ConstantRate[]>(Object.keys(subjects).map((name) => [name, []]));
  for (let round = 0; round < rateRounds; round++)
    for (const [name, { url }] of Object.entries(subjects))
      if (round < rounds || !nodePackages.includes(name))
        constant.get(name)?.push(await measureConstantRate(url, perSecond, seconds));
  const atRate = (name: string, of: (each: ConstantRate) => number) =>
    Number(median((constant.get(name) ?? []).map(of)).toFixed(2));

  const table = [...results].map(([proxy, measured]) => ({
    proxy,
    requestsPerSecond: Math.round(median(measured.map((each) => each.requestsPerSecond))),
    cpuMicroseconds: Number(median(measured.map((each) => each.cpuMicroseconds)).toFixed(2)),
    p50Ms: median(measured.map((each) => each.p50Ms)),
    p99Ms: median(measured.map((each) => each.p99Ms)),
    errors: measured.reduce((sum, each) => sum + each.errors, 0),
    [`p50Ms at ${perSecond}/s`]: atRate(proxy, ({ p50Ms }) => p50Ms),
    [`p99Ms at ${perSecond}/s`]: atRate(proxy, ({ p99Ms }) => p99Ms),
    "from sending": atRate(proxy, ({ p99FromSentMs }) => p99FromSentMs),
    "not answered": (constant.get(proxy) ?? []).reduce((sum, each) => sum + each.failed, 0),
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
  // The stricter of the two: what the client itself waits before it sends is the same for both, and would even them out.
  const p99Ratio = Math.max(
    atRate("edge http", ({ p99Ms }) => p99Ms) / atRate("haproxy http", ({ p99Ms }) => p99Ms),
    atRate("edge http", ({ p99FromSentMs }) => p99FromSentMs) /
      atRate("haproxy http", ({ p99FromSentMs }) => p99FromSentMs),
  );
  console.log(
    `http, p99 at ${perSecond} requests a second: ${p99Ratio.toFixed(2)} times HAProxy's (target 2.5) ${p99Ratio <= 2.5 ? "met" : "MISSED"}`,
  );
  console.log(
    `other processes took ${(busyRatio * 100).toFixed(0)} % of the machine before it began: above 5 % the figures prove little`,
  );
  writeResults(values.json, { busyRatio, table, shares, p99Ratio });
  if (shares.some(({ byWallClock, atLeast }) => byWallClock < atLeast) || !(p99Ratio <= 2.5))
    process.exitCode = 1;
} finally {
  for (const each of running.reverse()) await each.stop();
  rmSync(folder, { recursive: true, force: true });
}
