/** `holdfast demo`: three regions, a service, load, and whatever you take away from it. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import manifest from "../../../package.json" with { type: "json" };
import type { ProfileName } from "../../core/model/profile.ts";
import { compileTopology } from "../../core/spec/spec.ts";
import { type Demo, startDemo, writeReport } from "../../lab/demo.ts";
import { type FaultName, faultTexts, isFault } from "../../lab/faults.ts";
import { LiveView } from "../../lab/live.ts";
import type { DrillReport } from "../../lab/report.ts";
import { renderReportPage } from "../../lab/report-page.ts";
import { complain, demoStateFile } from "../connect.ts";
import { exit, exitWith } from "../exit.ts";
import { paintFor } from "../paint.ts";
import { parseSpan } from "../span.ts";
import { sha256 } from "../topology-file.ts";

interface Options {
  readonly once?: boolean;
  readonly fault: FaultName;
  readonly region?: string;
  readonly for?: number;
  readonly json?: string;
  readonly html?: string;
  readonly profile: ProfileName;
  readonly witness?: boolean;
  readonly store: "embedded" | "etcd";
  readonly rto?: number;
  readonly rpo?: number;
  readonly orders: number;
  readonly reads: number;
  readonly load: boolean;
  readonly state: string;
  readonly folder?: string;
}

/** What recovery may take, so that the verdict means something: the promise of the profile, and validation after it. */
const rtoMs: Readonly<Record<ProfileName, number>> = { fast: 5000, balanced: 10_000, cautious: 25_000 };

export function register(program: Command): void {
  program
    .command("demo")
    .description("run a service with PostgreSQL in three regions on this machine, and take a region away")
    .option("--once", "load, one fault, recovery, return, failback, a verdict, and out")
    .addOption(
      new Option("--fault <name>", "with --once: what happens")
        .choices(Object.keys(faultTexts))
        .default("region-kill"),
    )
    .option("--region <name>", "where; default: where the primary is")
    .option("--for <span>", "how long the fault lasts, such as 8s", parseSpan)
    .option("--json <file>", "with --once: write the report as JSON")
    .option("--html <file>", "with --once: write the report as a page")
    .addOption(
      new Option("--profile <name>", "lease profile")
        .choices(["fast", "balanced", "cautious"])
        .default("fast"),
    )
    .option("--witness", "the third region has no copy and only votes")
    .addOption(
      new Option(
        "--store <kind>",
        "control store: one file, or a member of etcd in each region (etcd must be installed)",
      )
        .choices(["embedded", "etcd"])
        .default("embedded"),
    )
    .option("--rto <span>", "recovery time objective; default: 5s, 10s or 25s by profile", parseSpan)
    .option(
      "--rpo <span>",
      "recovery point objective, such as 2s: replication is asynchronous then; default: synchronous, nothing may be lost",
      parseSpan,
    )
    .option("--orders <n>", "orders a second", parseRate, 50)
    .option("--reads <n>", "reads a second", parseRate, 100)
    .option("--no-load", "no load: bring your own clients and faults")
    .option("--state <file>", "where to write what listens and runs", demoStateFile)
    .option("--folder <path>", "keep everything in this folder; default: a temporary one that is removed")
    .addHelpText(
      "after",
      `
Examples:
  holdfast demo                                        a live view; keys inject faults; Ctrl-C removes everything
  holdfast demo --once --fault region-kill --json r.json --html r.html
  holdfast demo --no-load --state demo.json            then: holdfast status --state demo.json

Faults:
${Object.entries(faultTexts)
  .map(([name, text]) => `  ${name.padEnd(14)} ${text}`)
  .join("\n")}

--once exits with 0 when every objective was met, 7 when one was not, 130 at Ctrl-C.`,
    )
    .action(run);
}

async function run(options: Options): Promise<void> {
  const stop = new AbortController();
  const interrupt = () => stop.abort(new Error("interrupted"));
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt).on("SIGHUP", interrupt);
  if (options.folder !== undefined && existsSync(resolve(options.folder, "holdfast.yaml")))
    return complain(
      `${options.folder} holds the data of another lab already; name an empty folder, or remove it`,
      exit.invalid,
    );

  const startedAt = Date.now();
  let view: LiveView | null = null;
  const say = (text: string) => {
    if (view) view.say(text);
    else process.stderr.write(`${((Date.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${text}\n`);
  };
  let demo: Demo | null = null;
  try {
    demo = await startDemo({
      profile: options.profile,
      witness: options.witness ?? false,
      store: options.store,
      rtoMs: options.rto ?? rtoMs[options.profile],
      rpoMs: options.rpo ?? 0,
      folder: options.folder === undefined ? null : resolve(options.folder),
      stateFile: resolve(options.state),
      withLoad: options.load && !options.once,
      rates: { orders: options.orders, reads: options.reads },
      version: manifest.version,
      say,
      compile: (text, file) => {
        const compiled = compileTopology({ text, file, baseDir: "/" }, sha256);
        if (compiled.kind === "valid") return compiled.topology;
        throw new Error(
          compiled.problems
            .map((problem) => `${problem.line}:${problem.column} ${problem.message}; ${problem.hint}`)
            .join("\n"),
        );
      },
      signal: stop.signal,
    });
    if (options.once) await rehearseOnce(demo, options, say);
    else {
      if (process.stdout.isTTY && options.load) view = openView(demo, stop);
      else
        say(
          `ready: "holdfast status --state ${options.state}", "holdfast drill run region-kill --state ${options.state}"; Ctrl-C ends and removes everything`,
        );
      await new Promise<void>((resolve) =>
        stop.signal.aborted
          ? resolve()
          : stop.signal.addEventListener("abort", () => resolve(), { once: true }),
      );
    }
  } catch (error) {
    if (!stop.signal.aborted) complain(`the demo ended: ${(error as Error).message}`, exit.failed);
  } finally {
    view?.close();
    view = null;
    say("ending every process");
    await demo?.close();
    if (stop.signal.aborted && (options.once || !demo)) exitWith(exit.interrupted);
    // undici and pg keep sockets of processes that are gone for a while: nothing is left to wait for.
    setTimeout(() => process.exit(), 250).unref();
  }
}

async function rehearseOnce(demo: Demo, options: Options, say: (text: string) => void): Promise<void> {
  const report = await demo.rehearse({
    fault: options.fault,
    region: options.region ?? null,
    durationMs: options.for ?? null,
  });
  if (options.json) writeReport(resolve(options.json), `${JSON.stringify(report, null, 2)}\n`);
  if (options.html) writeReport(resolve(options.html), renderReportPage(report));
  process.stdout.write(summarize(report));
  for (const file of [options.json, options.html]) if (file) say(`written: ${file}`);
  exitWith(report.objectivesMet ? exit.ok : exit.objectivesNotMet);
}

function summarize(report: DrillReport): string {
  const paint = paintFor(process.stdout);
  const ms = (value: number | null) => (value === null ? "not measured" : `${Math.round(value)} ms`);
  const rows = report.objectives.map(({ label, unit, atMost, measured, met, required }) => {
    const shown = unit === "ms" ? ms(measured) : String(measured ?? "not measured");
    const mark = met ? paint("green", "✓") : paint(required ? "red" : "yellow", "✗");
    return `  ${mark} ${label.padEnd(36)} ${shown.padStart(12)}   (at most ${atMost}${unit === "ms" ? " ms" : ""})`;
  });
  const { chronicle, orders, requests, failback } = report;
  return [
    "",
    paint(
      "bold",
      `${report.fault} with profile ${report.profile}: ${report.objectivesMet ? "objectives met" : "OBJECTIVES NOT MET"}`,
    ),
    ...rows,
    `    chronicle: ${Object.entries(chronicle)
      .filter(([, at]) => at !== null)
      .map(([mark, at]) => `${mark} ${Math.round(at as number)}`)
      .join(", ")} ms`,
    `    ${orders.acknowledged} orders acknowledged of ${requests.total} requests, ${orders.lost} lost; ${requests.held} held, longest wait ${ms(requests.longestWaitMs)}; ${requests.unsafeFailed} that nobody may repeat failed`,
    `    epoch ${report.epoch.before} -> ${report.epoch.after}; standby again after ${ms(report.rejoin.asStandbyMs)}; failback paused writes for ${ms(failback.writeGapMs)}, ${failback.requestsFailed ?? 0} requests failed`,
    ...report.problems.map((problem) => `    ${paint("red", "proves nothing:")} ${problem}`),
    "",
  ].join("\n");
}

const keys: Readonly<Record<string, FaultName>> = {
  k: "region-kill",
  f: "region-freeze",
  c: "primary-crash",
  a: "agent-freeze",
  l: "store-loss",
};

function openView(demo: Demo, stop: AbortController): LiveView {
  const view = new LiveView({
    observer: demo.observer,
    stats: () => demo.stats(),
    regions: demo.world.layout.regions.map((region) => region.name),
    memberRegion: Object.fromEntries(
      demo.topology.dataStores.flatMap((store) =>
        store.members.map((member) => [member.name, member.region]),
      ),
    ),
    hint: `${Object.entries(keys)
      .map(([key, fault]) => `${key} ${fault}`)
      .join("   ")}   q quit`,
    paint: paintFor(process.stdout),
  });
  if (process.stdin.isTTY) {
    process.stdin.setRawMode(true);
    process.stdin.resume();
    process.stdin.on("data", (data) => {
      const key = data.toString();
      if (key === "q" || key === "\u0003") {
        process.stdin.setRawMode(false);
        process.stdin.pause();
        return stop.abort(new Error("interrupted"));
      }
      const fault = keys[key];
      if (!fault || !isFault(fault)) return;
      const begun = demo.control.begin(fault, null, null);
      if (typeof begun === "string") view.say(begun);
    });
  }
  return view;
}

function parseRate(text: string): number {
  const rate = Number(text);
  if (!Number.isFinite(rate) || rate < 0 || rate > 10_000)
    throw new InvalidArgumentError("a number from 0 to 10000");
  return rate;
}
