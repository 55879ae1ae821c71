/**
 * `npm run bench:fuzz`: a million malformed requests from a seed against a real edge process, with a real service behind
 * it: the edge must live, leak nothing, and pass on nothing malformed. Some three minutes; `--minutes` is the bound.
 *
 * Exits 1 when a target is missed. The same with few requests is a test: test/edge/fuzz.test.ts.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fuzz } from "../test/edge/parts/fuzz.ts";
import { startStrictService } from "../test/edge/parts/strict-service.ts";
import { benchTable, startEdge } from "./parts/edge.ts";
import { benchFlags, numberFlag } from "./parts/flags.ts";
import { writeResults } from "./parts/results.ts";

const values = benchFlags(import.meta.url, {
  requests: { type: "string", default: "1000000" },
  seed: { type: "string", default: "1" },
  clients: { type: "string", default: "128" },
  minutes: { type: "string", default: "20" },
  json: { type: "string" },
});
const wanted = numberFlag("requests", values.requests);
const seed = numberFlag("seed", values.seed, 0);
const clients = numberFlag("clients", values.clients);
const forMs = numberFlag("minutes", values.minutes) * 60_000;
const mb = 1024 * 1024;
/** What the engine keeps of its own accord varies by some megabytes; a leak of 100 bytes a request would be 90 MB. */
const growthMaxBytes = 32 * mb;

const folder = mkdtempSync(join(tmpdir(), "holdfast-fuzz-"));
const service = await startStrictService();
const edge = await startEdge(folder);
try {
  await edge.apply(benchTable({ west: service.port, rules: { holdMaxMs: 200 } }));
  const rss = () =>
    Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${edge.pid}/status`, "utf8"))?.[1]) * 1024;
  const files = () => readdirSync(`/proc/${edge.pid}/fd`).length;
  const filesBefore = files();
  const seen: { readonly sent: number; readonly rss: number }[] = [];
  const began = performance.now();
  const result = await fuzz({
    port: edge.httpPort,
    seed,
    requests: wanted,
    clients,
    forMs,
    everyRequests: Math.ceil(wanted / 100),
    onProgress(sent) {
      if (edge.hasEnded) throw new Error(`the edge ended after ${sent} requests of seed ${seed}`);
      seen.push({ sent, rss: rss() });
      if (seen.length % 10 === 0)
        console.log(
          `${sent} requests, ${((performance.now() - began) / 1000).toFixed(0)} s, ${(rss() / mb).toFixed(0)} MB`,
        );
    },
  });
  // Kept connections to the service are let go after 4 s of idleness.
  await pause(6000);
  const state = await edge.state();
  const connections = Number(/holdfast_edge_connections (\d+)/.exec(await edge.metrics())?.[1]);
  const underWay = state.held + state.upstreams.reduce((sum, { inFlight }) => sum + inFlight, 0);
  const filesLeft = files() - filesBefore;
  // Medians, since what the engine has not collected yet comes and goes.
  const between = (from: number, to: number) =>
    median(seen.filter(({ sent }) => from * wanted <= sent && sent < to * wanted).map((each) => each.rss));
  const [warm, last] = [between(0.2, 0.3), between(0.9, 2)];
  const rows = [
    { what: "requests", found: result.requests, met: wanted <= result.requests },
    { what: "edge lives", found: edge.hasEnded ? "no" : "yes", met: !edge.hasEnded },
    { what: "connections open at the end", found: connections, met: connections === 0 },
    { what: "requests under way at the end", found: underWay, met: underWay === 0 },
    { what: "files open over before", found: filesLeft, met: filesLeft <= 2 },
    {
      what: `MB at 20 to 30 %, at the end (target +${growthMaxBytes / mb})`,
      found: `${(warm / mb).toFixed(0)}, ${(last / mb).toFixed(0)}`,
      met: last <= warm + growthMaxBytes,
    },
    {
      what: "malformed at the service",
      found: service.malformed.length,
      met: service.malformed.length === 0,
    },
  ];
  console.table(rows.map(({ met, ...row }) => ({ ...row, target: met ? "met" : "MISSED" })));
  console.log(`first answers of ${result.connections} connections:`, result.answers);
  for (const each of service.malformed.slice(0, 5)) console.log(`malformed at the service: ${each}`);
  writeResults(values.json, { seed, rows, ...result, seen });
  if (rows.some(({ met }) => !met)) process.exitCode = 1;
} finally {
  await edge.stop();
  await service.stop();
  rmSync(folder, { recursive: true, force: true });
}

function median(all: readonly number[]): number {
  return [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)] ?? Number.NaN;
}
