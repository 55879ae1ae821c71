/**
 * `npm run bench:lab`: how long writes stand still when a region is lost over a real network of regions, with etcd.
 *
 *     npm run bench:lab -- --runs 5 --json FILE [--scenarios blackhole-primary,primary-crash] [--logs FOLDER]
 *
 * Needs Linux, root and what `holdfast lab` needs. Each run is a whole `holdfast lab run`: a lab of its own, clients outside
 * and inside, and its verdict. Rounds alternate between the scenarios. `--logs` keeps those of runs that did not meet
 * their expectations, in a folder a round. Exits 1 when there was one; a target that was missed is told and does not change the
 * exit code.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Played } from "../src/lab/net/verdict-text.ts";
import { describeMachine } from "../src/lab/report.ts";
import { benchFlags, numberFlag } from "./parts/flags.ts";
import { median } from "./parts/median.ts";

/** Of the issue: median of the time without an acknowledged write, profile `fast`. */
const targetsMs: Readonly<Record<string, number>> = {
  "blackhole-primary": 3000,
  "blackhole-primary-and-etcd-leader": 3000,
  "primary-crash": 1000,
  "far-apart": 3000,
  "far-apart-crash": 1000,
};

const values = benchFlags(import.meta.url, {
  runs: { type: "string", default: "5" },
  scenarios: { type: "string", default: Object.keys(targetsMs).join(",") },
  json: { type: "string" },
  logs: { type: "string" },
});
const runs = numberFlag("runs", values.runs);
const scenarios = values.scenarios.split(",").map((name) => name.trim());

const cli = fileURLToPath(new URL("../src/cli/cli.ts", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "hf-bench-lab-"));
const loadBefore = loadavg();
const all: Played[] = [];
let stopped = false;
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    stopped = true;
  });
try {
  for (let round = 1; round <= runs; round++)
    for (const scenario of scenarios) {
      if (stopped) break;
      const played = await playOnce(scenario, round);
      all.push(played);
      console.error(`${scenario} ${round}: ${lineOf(played)}`);
    }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const rows = scenarios.map((scenario) => {
  const verdicts = all.filter(({ name }) => name === scenario).flatMap(({ verdict }) => verdict ?? []);
  const gaps = verdicts.map(({ figures }) => figures.writeGapMs);
  const sum = (id: string) =>
    verdicts.reduce((n, { checks }) => n + (checks.find((check) => check.id === id)?.measured ?? 0), 0);
  const target = targetsMs[scenario];
  const medianMs = median(gaps);
  return {
    scenario,
    runs: gaps.length,
    met: verdicts.filter(({ met }) => met).length,
    medianMs: Math.round(medianMs),
    maxMs: Math.round(Math.max(...gaps)),
    oldAcksMaxMs: Math.round(Math.max(...verdicts.map(({ figures }) => figures.oldPrimaryAcksMs ?? 0))),
    lost: sum("lost"),
    overlapMs: sum("overlap"),
    safeFailed: sum("safe-failed"),
    diskMaxMs: Math.round(Math.max(...verdicts.map(({ figures }) => figures.stalls.disk?.ms ?? 0))),
    target: target === undefined ? "" : medianMs < target ? `< ${target} met` : `< ${target} MISSED`,
  };
});
console.table(rows);
const machine = { ...describeMachine(""), loadBefore, loadAfter: loadavg() };
console.log(
  `${machine.cores} x ${machine.processor}; load average ${loadBefore[0]?.toFixed(1)} before, ${machine.loadAfter[0]?.toFixed(1)} after`,
);
if (values.json)
  writeFileSync(values.json, `${JSON.stringify({ schema: 1, machine, rows, played: all }, null, 2)}\n`);
if (all.some(({ verdict }) => !verdict?.met)) process.exitCode = 1;

async function playOnce(scenario: string, round: number): Promise<Played> {
  const file = join(folder, "verdict.json");
  rmSync(file, { force: true });
  const logs = values.logs === undefined ? [] : ["--logs", join(values.logs, String(round))];
  const child = spawn(process.execPath, [cli, "lab", "run", scenario, "--json", file, ...logs], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += String(chunk);
  });
  await once(child, "close");
  try {
    const { played } = JSON.parse(readFileSync(file, "utf8")) as { played: readonly Played[] };
    if (played[0]) return played[0];
  } catch {
    // It ended before it could write: what it said tells why.
  }
  return { name: scenario, verdict: null, because: said.trim().split("\n").at(-1) ?? "" };
}

function lineOf({ verdict, because }: Played): string {
  if (verdict === null) return `not played: ${because}`;
  const missed = verdict.checks.filter(({ met }) => !met).map(({ id, measured }) => `${id} ${measured}`);
  return `no write for ${Math.round(verdict.figures.writeGapMs)} ms; ${verdict.met ? "met" : `NOT MET: ${missed.join(", ")}`}`;
}
