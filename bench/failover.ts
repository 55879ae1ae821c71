/**
 * `npm run bench:failover`: how long writes stand still when a region is lost, over many runs, and what idling costs.
 *
 *     npm run bench:failover -- --runs 10 --json FILE [--faults region-kill,primary-crash] [--profile fast] [--rpo 2s]
 *
 * Each run is a whole `demo --once`: three regions are made, one is taken, comes back, and gets its data store handed
 * back, which is a planned change as well (`switchover` is one from a world in which nothing broke before). Rounds
 * alternate between the faults, so that a busy minute of the machine does not fall on one of them. With `--rpo` data is
 * asynchronous, and may be lost when it is no older than that. Exits 1 when any run lost more, doubled or let two write,
 * failed a request that may be repeated, or did not come to its end; a target that was missed is told and does not change
 * the exit code.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseDuration } from "../src/core/spec/units.ts";
import { faultTexts, isFault } from "../src/lab/faults.ts";
import { describeMachine, type Machine } from "../src/lab/report.ts";
import { type Footprint, measureFootprint } from "./failover-parts/footprint.ts";
import { type Figures, runOnce } from "./failover-parts/run.ts";
import { benchFlags, numberFlag, refuse } from "./parts/flags.ts";

const values = benchFlags(import.meta.url, {
  runs: { type: "string", default: "10" },
  faults: { type: "string", default: "region-kill,region-freeze,primary-crash,agent-freeze" },
  profile: { type: "string", default: "fast" },
  rpo: { type: "string", default: "0s" },
  json: { type: "string" },
});
const runs = numberFlag("runs", values.runs);
const faults = values.faults.split(",").map((name) => name.trim());
const unknown = faults.filter((name) => !isFault(name));
if (unknown.length > 0)
  refuse(`no fault ${unknown.join(", ")}; there is: ${Object.keys(faultTexts).join(", ")}`);

const rpoMs = parseDuration(values.rpo);
if (typeof rpoMs !== "number") refuse(`--rpo takes a span such as 2s, not ${values.rpo}`);

/** Of issue and promise P1, P2: milliseconds without an acknowledged write, profile `fast`. */
const targets: Readonly<Record<string, { readonly median: number; readonly max: number }>> = {
  "primary-crash": { median: 1000, max: Number.POSITIVE_INFINITY },
  "region-kill": { median: 3000, max: 4000 },
  "region-freeze": { median: 3000, max: 4000 },
  switchover: { median: 300, max: Number.POSITIVE_INFINITY },
};

const stopping = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => stopping.abort(new Error(`ended by ${signal}`)));

const folder = mkdtempSync(join(tmpdir(), "hf-bench-"));
const all: Figures[] = [];
let machine: Machine = describeMachine("");
let footprint: readonly Footprint[] = [];
const loadBefore = loadavg();
try {
  for (let round = 1; round <= runs; round++)
    for (const fault of faults) {
      if (stopping.signal.aborted) break;
      const { figures, report } = await runOnce({
        fault,
        round,
        folder,
        profile: values.profile,
        rpo: values.rpo,
        signal: stopping.signal,
      });
      if (stopping.signal.aborted) break;
      if (report) machine = report.machine;
      all.push(figures);
      console.log(lineOf(figures));
    }
  if (!stopping.signal.aborted) footprint = await measureFootprint(folder, values.profile, stopping.signal);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const rows = summarize();
console.log(tableOf(rows));
if (values.json)
  writeFileSync(
    values.json,
    `${JSON.stringify(
      {
        schema: 1,
        createdAt: new Date().toISOString(),
        profile: values.profile,
        rpoMs,
        machine,
        loadAverage: { before: loadBefore, after: loadavg() },
        summary: rows,
        runs: all,
        idle: footprint,
      },
      null,
      2,
    )}\n`,
  );
const isBroken = ({ exitCode, lost, lostAgeMs, doubled, safeFailed, overlapMs }: Figures) =>
  (exitCode !== 0 && exitCode !== 7) ||
  doubled + safeFailed + overlapMs > 0 ||
  (rpoMs === 0 ? lost > 0 : lostAgeMs > rpoMs);
process.exitCode = stopping.signal.aborted ? 130 : all.some(isBroken) ? 1 : 0;

interface Row {
  readonly figure: string;
  readonly count: number;
  readonly medianMs: number | null;
  readonly maxMs: number | null;
  /** null: none was set, or the profile is another. */
  readonly met: boolean | null;
}

function summarize(): readonly Row[] {
  const row = (figure: string, measured: readonly (number | null)[], target?: string): Row => {
    const known = measured.filter((value) => value !== null).sort((a, b) => a - b);
    const medianMs = medianOf(known);
    const maxMs = known.at(-1) ?? null;
    const bounds = values.profile === "fast" && target !== undefined ? targets[target] : undefined;
    const met =
      bounds === undefined
        ? null
        : medianMs !== null && maxMs !== null && medianMs < bounds.median && maxMs < bounds.max;
    return { figure, count: known.length, medianMs, maxMs, met };
  };
  return [
    ...faults.flatMap((fault) => {
      const own = all.filter((figures) => figures.fault === fault);
      return [
        row(
          `${fault}: no write for`,
          own.map(({ writeGapMs }) => writeGapMs),
          fault,
        ),
        row(
          `${fault}: writable (t5) after`,
          own.map(({ writableMs }) => writableMs),
        ),
      ];
    }),
    row(
      "failback: no write for",
      all.map(({ switchoverGapMs }) => switchoverGapMs),
      "switchover",
    ),
  ];
}

function medianOf(sorted: readonly number[]): number | null {
  const middle = sorted.length / 2;
  if (sorted.length === 0) return null;
  return sorted.length % 2 === 1
    ? (sorted[Math.floor(middle)] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

function lineOf(figures: Figures): string {
  const { fault, round, writeGapMs, switchoverGapMs, problems, exitCode } = figures;
  const { lost, doubled, safeFailed, overlapMs } = figures;
  const notes = problems.length > 0 ? `; proves nothing: ${problems.join("; ")}` : "";
  const said = figures.said === "" ? "" : `\n${figures.said}`;
  return `${fault} ${round}: no write for ${ms(writeGapMs)}, switchover ${ms(switchoverGapMs)}; lost ${lost} (${ms(figures.lostAgeMs)} ms old), doubled ${doubled}, safe failed ${safeFailed}, overlap ${overlapMs} ms; exit ${exitCode}${notes}${said}`;
}

function tableOf(summary: readonly Row[]): string {
  const sum = (of: (figures: Figures) => number) => all.reduce((total, figures) => total + of(figures), 0);
  const mark = (met: boolean | null) => (met === null ? "" : met ? "  target met" : "  TARGET MISSED");
  const lines = summary.map(
    ({ figure, count, medianMs, maxMs, met }) =>
      `${figure.padEnd(40)} ${String(count).padStart(4)} ${ms(medianMs).padStart(9)} ${ms(maxMs).padStart(9)}${mark(met)}`,
  );
  const idle = ["agent", "edge", "fencer"].flatMap((role) => {
    const own = footprint.filter((one) => one.role === role);
    const most = (of: (one: Footprint) => number) => Math.max(...own.map(of)).toFixed(1);
    return own.length === 0
      ? []
      : [
          `${role.padEnd(40)} ${String(own.length).padStart(4)} ${most((one) => one.residentMiB).padStart(9)} ${most((one) => one.proportionalMiB).padStart(9)} ${most((one) => one.cpuPercent).padStart(9)}`,
        ];
  });
  return [
    "",
    `${"".padEnd(40)} runs    median       max   (ms, profile ${values.profile})`,
    ...lines,
    "",
    `${all.length} runs: ${sum(({ acknowledged }) => acknowledged)} orders acknowledged, ${sum(({ lost }) => lost)} lost (the oldest ${ms(Math.max(...all.map(({ lostAgeMs }) => lostAgeMs)))} ms old), ${sum(({ doubled }) => doubled)} doubled, ${sum(({ safeFailed }) => safeFailed)} safe requests failed, ${sum(({ overlapMs }) => overlapMs)} ms of two writers; ${all.filter(({ problems }) => problems.length > 0).length} prove nothing`,
    ...(idle.length === 0
      ? []
      : ["", `${"idle: the largest of".padEnd(40)}          RSS MiB   PSS MiB     CPU %`, ...idle]),
    "",
    `${machine.cores} x ${machine.processor}, ${(machine.memoryBytes / 2 ** 30).toFixed(0)} GiB, Node ${machine.node}, PostgreSQL ${machine.postgresql}; load average ${loadBefore[0]?.toFixed(1)} before, ${loadavg()[0]?.toFixed(1)} after`,
  ].join("\n");
}

function ms(value: number | null): string {
  return value === null ? "-" : String(Math.round(value));
}
