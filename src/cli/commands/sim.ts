/** `holdfast sim`: run the machine through a world that fails on purpose, and tell what came of it. */
import { readFileSync, writeFileSync } from "node:fs";
import { type Command, InvalidArgumentError } from "commander";
import { type HuntReport, hunt } from "../../sim/hunt.ts";
import type { Plan } from "../../sim/plan.ts";
import { run } from "../../sim/run.ts";
import { scanPlan, scanSize } from "../../sim/scan.ts";
import { shrink } from "../../sim/shrink.ts";
import { neverHappened } from "../../sim/sometimes.ts";
import { planFor } from "../../sim/swarm.ts";
import { storyText } from "../../sim/tell.ts";
import { exit, exitWith } from "../exit.ts";

interface Options {
  readonly seed?: number;
  readonly file?: string;
  readonly from: number;
  readonly seeds?: number;
  readonly seconds: number;
  readonly scan?: boolean;
  readonly keep?: string;
}

export function register(program: Command): void {
  program
    .command("sim")
    .description(
      "simulate regions that fail on purpose: leases, fencing and failover under thousands of faults",
    )
    .option("--seed <n>", "run one seed and tell its story", whole)
    .option("--file <plan.json>", "run one kept plan and tell its story")
    .option("--seconds <n>", "hunt for this long", whole, 60)
    .option("--seeds <n>", "hunt through this many seeds instead", whole)
    .option("--from <n>", "first seed of a hunt", whole, 1)
    .option("--scan", `run all ${scanSize} pairs of faults instead of seeds`)
    .option("--keep <plan.json>", "write the shrunk plan of the first failure to this file")
    .addHelpText(
      "after",
      `
Examples:
  holdfast sim --seconds 60
  holdfast sim --seed 1388
  holdfast sim --seeds 100000 --from 1000000
  holdfast sim --scan

Exits with 0 when no invariant was broken, 1 when one was. How to read a story: docs/concepts/simulation.md.`,
    )
    .action((options: Options) => {
      if (options.file !== undefined) return tellOne(JSON.parse(readFileSync(options.file, "utf8")) as Plan);
      if (options.seed !== undefined) return tellOne(planFor(options.seed));
      return tellHunt(options);
    });
}

function tellOne(plan: Plan): void {
  const again = run(plan);
  const result = run({ ...plan, world: { ...plan.world, tellStory: true } });
  print(storyText(result.story));
  const { seed, shape, store } = plan.world;
  print(
    `\nseed ${seed}: ${shape.members} members, ${shape.witnesses} witnesses, ${shape.replication}, ${shape.profile}, ${store} store; ${(result.span / 1e6).toFixed(0)} s, ${result.acts} events, ${result.acknowledged} writes acknowledged`,
  );
  print(
    `digest ${hex(result.digest)}${again.digest === result.digest ? ", the same twice" : `, and ${hex(again.digest)} without its story`}`,
  );
  if (again.digest !== result.digest || result.violation) exitWith(exit.failed);
  print(
    result.violation
      ? `BROKEN ${result.violation.invariant}: ${result.violation.text}`
      : "no invariant was broken",
  );
}

function tellHunt(options: Options): void {
  const startedAt = performance.now();
  const limit = options.scan ? scanSize : (options.seeds ?? Number.POSITIVE_INFINITY);
  const bounded = options.scan || options.seeds !== undefined;
  const report = hunt(
    (index) => (options.scan ? scanPlan(index) : planFor(options.from + index)),
    (runs, failures) =>
      runs < limit && failures < 20 && (bounded || performance.now() - startedAt < options.seconds * 1000),
  );
  const tookS = (performance.now() - startedAt) / 1000;
  print(reportText(report, tookS, options));
  const [failure] = report.failures;
  if (!failure?.violation) {
    const missing = options.scan ? [] : neverHappened(report.sometimes, report.runs);
    if (missing.length > 0) {
      print(`these never happened, so that the run proves little: ${missing.join(", ")}`);
      exitWith(exit.failed);
    }
    return;
  }
  exitWith(exit.failed);
  const plan = options.scan ? scanPlan(failure.seed - scanPlan(0).world.seed) : planFor(failure.seed);
  const { plan: small, runs } = shrink(plan, failure.violation.invariant);
  const { story } = run({ ...small, world: { ...small.world, tellStory: true } });
  print(
    `\nseed ${failure.seed}, shrunk from ${plan.faults.length} to ${small.faults.length} faults in ${runs} runs:\n`,
  );
  print(storyText(story.slice(-40)));
  if (options.keep !== undefined) writeFileSync(options.keep, `${JSON.stringify(small, null, 2)}\n`);
}

function reportText(report: HuntReport, tookS: number, options: Options): string {
  const list = (counts: ReadonlyMap<string, number>) =>
    [...counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, count]) => `  ${String(count).padStart(9)}  ${name}`)
      .join("\n");
  const { reached, declared, missing, undeclared } = report.coverage.summary();
  const share = ((100 * reached) / declared).toFixed(1);
  return [
    `faults\n${list(report.inflicted)}`,
    `sometimes\n${list(report.sometimes)}`,
    `states and transitions of the machine: ${reached} of ${declared} declared (${share} %)${missing.length > 0 ? `\n  not reached: ${missing.join(", ")}` : ""}${undeclared.length > 0 ? `\n  not declared: ${undeclared.join(", ")}` : ""}`,
    `${report.runs} ${options.scan ? "pairs" : `seeds from ${options.from}`} in ${tookS.toFixed(1)} s: ${report.hours.toFixed(1)} simulated hours, ${(report.hours / tookS).toFixed(2)} hours and ${(report.acts / tookS / 1e6).toFixed(2)} million events a second, ${report.acknowledged} writes acknowledged`,
    report.failures.length === 0
      ? "no invariant was broken"
      : report.failures
          .map(({ seed, violation }) => `BROKEN ${violation?.invariant} by seed ${seed}: ${violation?.text}`)
          .join("\n"),
  ].join("\n\n");
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function hex(digest: number): string {
  return digest.toString(16).padStart(8, "0");
}

function whole(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError("It takes a whole number.");
  return value;
}
