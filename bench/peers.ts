/**
 * `npm run bench:peers`: Holdfast beside Patroni and pg_auto_failover, in the same lab, by the same clients and faults.
 *
 *     sudo npm run bench:peers -- --runs 5 [--systems a,b] [--faults a,b] [--for 60m] [--json FILE] [--with FILE,...]
 *         [--evidence FOLDER] [--write-docs PAGE]
 *
 * Every run starts its system anew, breaks the region of its primary once, and removes all of it; a round of all is more
 * than an hour. Rounds alternate between systems, so that a busy minute of the machine does not fall on one of them. It
 * needs what `holdfast lab` needs, and the Debian packages of the peers. `--with` joins the runs of earlier files: each
 * system and fault is run until it has `--runs` of them, so that what was ended, or `--for` has cut off, is gone on with;
 * `--runs 0` only joins. `--evidence` keeps all that a run heard, and its logs. `--write-docs` writes
 * docs/benchmarks/PAGE.md, its plot, and PAGE.json, which can be joined again. Exits 1 when a target is missed or a run
 * failed, 4 when something is not installed.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseDuration } from "../src/core/spec/units.ts";
import { describeMachine } from "../src/lab/report.ts";
import { benchFlags, numberFlag, refuse } from "./parts/flags.ts";
import { type FaultName, faultTexts, isFault } from "./peers-parts/faults.ts";
import type { Figures } from "./peers-parts/figures.ts";
import { measure } from "./peers-parts/measure.ts";
import { dataOf, pageOf, type Report, textOf } from "./peers-parts/page.ts";
import { plotOf } from "./peers-parts/plot.ts";
import { versions, whatPeersMiss } from "./peers-parts/requirements.ts";
import { judgeTargets, summarize } from "./peers-parts/summary.ts";
import { systems } from "./peers-parts/systems.ts";

const values = benchFlags(import.meta.url, {
  runs: { type: "string", default: "5" },
  systems: { type: "string", default: systems.map(({ name }) => name).join(",") },
  faults: { type: "string", default: Object.keys(faultTexts).join(",") },
  json: { type: "string" },
  with: { type: "string" },
  for: { type: "string", default: "7d" },
  evidence: { type: "string" },
  list: { type: "boolean", default: false },
  "write-docs": { type: "string" },
});
if (values.list) {
  for (const { name, settings } of systems) console.log(`${name.padEnd(32)} ${settings}`);
  for (const [name, text] of Object.entries(faultTexts)) console.log(`${name.padEnd(32)} ${text}`);
  process.exit(0);
}
const runs = numberFlag("runs", values.runs, 0);
const chosen = values.systems
  .split(",")
  .map(
    (name) =>
      systems.find((system) => system.name === name.trim()) ?? refuse(`no system ${name}; see --list`),
  );
const faults = values.faults
  .split(",")
  .map((name): FaultName => (isFault(name) ? name : refuse(`no fault ${name}; see --list`)));
const forMs = parseDuration(values.for);
if (typeof forMs !== "number") refuse(`--for takes a span such as 60m, not ${values.for}`);
const earlier = (values.with?.split(",") ?? []).flatMap(runsOf);
const missing = runs === 0 ? [] : whatPeersMiss(chosen);
if (missing.length > 0) {
  console.error(`bench:peers cannot run here: ${missing.join("; ")}`);
  process.exit(4);
}

const stopping = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () => stopping.abort(new Error(`ended by ${signal}`)));
const startedAt = performance.now();
const say = (text: string) =>
  console.error(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(7)} s  ${text}`);

const evidenceFolder = values.evidence ?? null;
if (evidenceFolder !== null) mkdirSync(evidenceFolder, { recursive: true });
const compared = versions();
const all: Figures[] = [...earlier];
let failed = 0;
const isOver = () => stopping.signal.aborted || performance.now() - startedAt > forMs;
const countOf = (system: string, fault: FaultName) =>
  all.filter((figures) => figures.system === system && figures.fault === fault).length;
for (let round = 1; round <= runs; round++)
  for (const fault of faults)
    for (const system of chosen) {
      if (isOver()) break;
      if (round <= countOf(system.name, fault)) continue;
      say(`--- ${fault}, ${system.name}, round ${round} of ${runs}`);
      try {
        const figures = await measure({ system, fault, round, evidenceFolder, say, signal: stopping.signal });
        all.push(figures);
        say(lineOf(figures));
        keep();
      } catch (error) {
        if (stopping.signal.aborted) break;
        failed++;
        say(`NOT MEASURED: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
const report = keep();
console.log(textOf(report));
const page = values["write-docs"];
if (page !== undefined && all.length > 0) writeDocs(report, page);
const isMissed = judgeTargets(summarize(all)).some(({ met }) => !met);
process.exitCode = stopping.signal.aborted ? 130 : isMissed || failed > 0 ? 1 : 0;
// pg keeps sockets of servers that are gone for a while: nothing is left to wait for.
setTimeout(() => process.exit(), 250).unref();

function runsOf(file: string): readonly Figures[] {
  try {
    const { runs } = JSON.parse(readFileSync(file, "utf8")) as Partial<Report>;
    return runs ?? refuse(`--with ${file}: it has no "runs"; it takes what --json or --write-docs wrote`);
  } catch (error) {
    return refuse(`--with ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** After every run: hours of them must not hang on the last. */
function keep(): Report {
  const machine = describeMachine("");
  const report: Report = {
    schema: 1,
    createdAt: new Date().toISOString(),
    machine: `${machine.cores} x ${machine.processor}, ${(machine.memoryBytes / 2 ** 30).toFixed(0)} GiB, ${machine.platform}`,
    versions: compared,
    settings: Object.fromEntries(systems.map(({ name, settings }) => [name, settings])),
    runs: all,
  };
  if (values.json) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
  return report;
}

function writeDocs(report: Report, page: string): void {
  const folder = join(dirname(fileURLToPath(import.meta.url)), "../docs/benchmarks");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${page}.md`), pageOf(report, page));
  writeFileSync(join(folder, `${page}.json`), dataOf(report));
  writeFileSync(join(folder, `${page}.svg`), plotOf(summarize(report.runs)));
}

function lineOf(figures: Figures): string {
  const { writeGapMs, newPrimaryMs, oldPrimaryAcksMs, overlapMs, overlapWrites, lost, http, problems } =
    figures;
  const ms = (value: number | null) => (value === null ? "-" : `${Math.round(value)} ms`);
  return [
    `no write for ${ms(writeGapMs)}, new primary after ${ms(newPrimaryMs)}, old one until ${ms(oldPrimaryAcksMs)}`,
    `two writers ${ms(overlapMs)} (${overlapWrites} writes), lost ${lost ?? "?"} of ${figures.acknowledged}`,
    `requests failed ${http.safeFailed} + ${http.unsafeFailed} of ${http.requests}`,
    ...(problems.length > 0 ? [`PROVES LITTLE: ${problems.join("; ")}`] : []),
  ].join("; ");
}
