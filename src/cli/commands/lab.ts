/** `holdfast lab`: three regions with networks of their own on this machine, what can happen to them, and a verdict. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Argument, type Command, InvalidArgumentError, Option } from "commander";
import { compileTopology } from "../../core/spec/spec.ts";
import { chanceFrom } from "../../lab/chance.ts";
import { drawRound } from "../../lab/net/chaos.ts";
import { cutNames } from "../../lab/net/cut.ts";
import { diskFaults, disksFor, type LabDisks } from "../../lab/net/disk.ts";
import { enclose, ownEnclosure, wayInto, whyNoEnclosure } from "../../lab/net/enclosure.ts";
import { keepLogs } from "../../lab/net/keep-logs.ts";
import { type Lab, startLab } from "../../lab/net/lab.ts";
import { findLabs } from "../../lab/net/labs.ts";
import { type PlayOptions, play } from "../../lab/net/play.ts";
import { whatScenarioMisses, whyNoDisks } from "../../lab/net/requirements.ts";
import { readScenario, type Scenario } from "../../lab/net/scenario.ts";
import type { Verdict } from "../../lab/net/verdict.ts";
import { describeVerdict, type Played, tableOf } from "../../lab/net/verdict-text.ts";
import { complain } from "../connect.ts";
import { type ExitCode, exit, exitWith } from "../exit.ts";
import { breakByHand, endLabs, heal, isPossible } from "../lab-by-hand.ts";
import { paintFor } from "../paint.ts";
import { parseSpan } from "../span.ts";
import { sha256 } from "../topology-file.ts";

const defaultFolder = join(dirname(fileURLToPath(import.meta.url)), "../../../scenarios");

interface UpOptions {
  readonly profile: Scenario["topology"]["profile"];
  readonly witness?: boolean;
  readonly disks?: boolean;
}

interface RunOptions {
  readonly all?: boolean;
  readonly scenarios?: string;
  readonly for?: number;
  readonly json?: string;
  readonly logs?: string;
}

export function register(program: Command): void {
  const lab = program
    .command("lab")
    .description("regions with networks of their own on this machine, for faults of the network (Linux)")
    .addHelpText(
      "after",
      `
Started by root, it stands in the network of this machine, at 10.77.0.1. Started by anybody else, it has a machine's network
of its own, which nobody outside can reach; disks cannot break there. How to get in is told by "holdfast lab up".`,
    );
  lab
    .command("up")
    .description("start three regions and leave them to you until Ctrl-C")
    .addOption(
      new Option("--profile <name>", "lease profile")
        .choices(["fast", "balanced", "cautious"])
        .default("fast"),
    )
    .option("--witness", "the third region has no copy and only votes")
    .option("--disks", "each member has a disk of its own, for faults of disks")
    .action(up);
  lab
    .command("run")
    .description("play scenarios: clients, a fault, its end, and a verdict")
    .argument("[names...]", "which ones")
    .option("--all", "every scenario, one after the other")
    .option("--scenarios <folder>", "where scenarios lie; default: those that come with Holdfast")
    .option("--for <span>", "every fault lasts so long, whatever its file says", parseSpan)
    .option("--json <file>", "write the verdicts as JSON")
    .option(
      "--logs <folder>",
      "keep logs and recordings there of every scenario that is not met, or cannot be played",
    )
    .addHelpText(
      "after",
      `
Examples:
  holdfast lab run blackhole-primary
  holdfast lab run --all --json verdicts.json
  holdfast lab run etcd-down --for 5m
  holdfast lab run far-apart --logs logs && holdfast replay logs/far-apart/eu-central/journal.jsonl --story

Exits with 0 when every expectation was met, 7 when one was not, 1 when a scenario could not be played, 4 when one was left
out for what this machine lacks.`,
    )
    .action(run);
  lab
    .command("chaos")
    .description("faults drawn at random, round after round in one lab, each with a verdict")
    .option(
      "--for <span>",
      "once the lab stands, no round begins after so long, such as 1h; default: 10m",
      parseSpan,
    )
    .option("--seed <n>", "the same seed draws the same faults; default: 1", parseSeed)
    .addOption(
      new Option("--profile <name>", "lease profile")
        .choices(["fast", "balanced", "cautious"])
        .default("balanced"),
    )
    .option("--rpo <span>", "such as 2s: asynchronous data; default: synchronous", parseSpan)
    .option("--json <file>", "write the verdicts as JSON, after each round")
    .option(
      "--logs <folder>",
      "keep logs and recordings there of every round that is not met, or cannot be played",
    )
    .addHelpText(
      "after",
      `
Examples:
  holdfast lab chaos --for 1h --seed 7 --json chaos.json

Each round breaks one or two things, and passes when no acknowledged order was lost (with --rpo: none that was older) or
doubled, no two members wrote at a time, the history of clients can be explained, and every standby streams again. It ends
at the first round that could not be played. Exits with 0 when every round passed, 7 when one did not, 1 when one could not
be played.`,
    )
    .action(chaos);
  lab
    .command("list")
    .description("the scenarios there are, and the labs that run on this machine")
    .option("--scenarios <folder>", "where scenarios lie; default: those that come with Holdfast")
    .action(list);
  lab
    .command("fault")
    .description(
      "break the network or a disk of a running lab; it ends when its time is over, whoever lives then",
    )
    .addArgument(new Argument("<fault>", "what happens").choices([...cutNames, ...diskFaults, heal]))
    .option("--region <name>", "where; needed for all but heal")
    .option("--to <name>", "with link: the other region")
    .option("--percent <n>", "with loss: how much; default: 5", parsePercent)
    .option(
      "--up-to <span>",
      "with disk-slow: how long it takes for what it is asked; default: 2s",
      parseSpan,
    )
    .option("--for <span>", "how long, such as 30s; default: 30s", parseSpan)
    .option("--slot <n>", "which lab; may be left out where there is one", parseSlot)
    .action(breakByHand);
  lab
    .command("down")
    .description("end a lab and remove all of it, also what a killed one has left behind")
    .argument("[slot]", "which one, as `lab list` tells it; may be left out where there is one", parseSlot)
    .option("--all", "every lab on this machine")
    .action(endLabs);
}

async function up(options: UpOptions): Promise<void> {
  if (!isPossible()) return;
  const noDisks = options.disks ? whyNoDisks() : null;
  if (noDisks !== null) return complain(`disks cannot be made here: ${noDisks}`, exit.unreachable);
  if (!mayMakeNetworks()) return;
  const topology = { ...plain, profile: options.profile, witness: options.witness ?? false };
  const disks = options.disks ? ({ of: "members", canBeSlow: true } as const) : null;
  const because = await inLab({ topology, links: noLinks, faults: [], disks }, async (lab, signal) => {
    const own = ownEnclosure();
    const way = own ? wayInto(own.pid) : [];
    process.stdout.write(
      [
        ...lab.world.layout.regions.map(
          ({ name, host, ports }) =>
            `${name.padEnd(12)} ${host.padEnd(12)} edge http://${host}:${ports.edge}  agent http://${host}:${ports.agent}`,
        ),
        `look:           holdfast status --state ${lab.stateFile}`,
        ...(own ? [`reach them:     ${[...way, "sh"].join(" ")}`] : []),
        `be in a region: ${[...way, ...(lab.network.regions[0]?.prefix ?? []), "sh"].join(" ")}`,
        "Ctrl-C ends and removes everything",
        "",
      ].join("\n"),
    );
    await new Promise<void>((resolve) =>
      signal.aborted ? resolve() : signal.addEventListener("abort", () => resolve(), { once: true }),
    );
  });
  if (because !== null && because !== interrupted) complain(`the lab ended: ${because}`, exit.failed);
  quitSoon();
}

async function run(names: readonly string[], options: RunOptions): Promise<void> {
  const folder = resolve(options.scenarios ?? defaultFolder);
  const known = namesIn(folder);
  if (options.all ? names.length > 0 : names.length === 0)
    return complain(`which scenario? There is: ${known.join(", ")}; or --all, alone`, exit.usage);
  const scenarios: Scenario[] = [];
  for (const name of options.all ? known : names) {
    const file = join(folder, `${name}.yaml`);
    if (!existsSync(file))
      return complain(`no scenario ${name} in ${folder}; there is: ${known.join(", ")}`, exit.invalid);
    const read = readScenario(readFileSync(file, "utf8"), name);
    if (read.kind === "invalid")
      return complain(`${file} is not valid:\n  ${read.problems.join("\n  ")}`, exit.invalid);
    const { for: forMs } = options;
    const faults = read.scenario.faults.map((fault) =>
      forMs === undefined ? fault : { ...fault, for: forMs },
    );
    scenarios.push({ ...read.scenario, faults });
  }
  if (!isPossible()) return;
  const missing = scenarios.map((scenario) => whatScenarioMisses(scenario).join("; "));
  if (missing.every((text) => text !== ""))
    return complain(`this cannot be played here: ${[...new Set(missing)].join("; ")}`, exit.unreachable);
  if (!mayMakeNetworks()) return;
  const played: Played[] = [];
  for (const [index, scenario] of scenarios.entries()) {
    process.stderr.write(`--- ${scenario.name}: ${scenario.about.trim().replaceAll(/\s+/g, " ")}\n`);
    const lacks = missing[index];
    if (lacks) {
      process.stderr.write(`left out: ${lacks}\n`);
      played.push({ name: scenario.name, verdict: null, because: lacks, isLeftOut: true });
      continue;
    }
    const kept: { verdict: Verdict | null } = { verdict: null };
    const because = await inLab(scenario, async (lab, signal, say) => {
      kept.verdict = await playKeeping(options.logs, { lab, scenario, say, signal });
      if (kept.verdict.met) process.stdout.write(describeVerdict(kept.verdict, paintFor(process.stdout)));
    });
    played.push({ name: scenario.name, verdict: kept.verdict, because });
    if (because === interrupted) break;
    if (because !== null) complain(`${scenario.name} could not be played: ${because}`, exit.failed);
  }
  if (options.json) writeJson(resolve(options.json), played);
  if (played.length > 1) process.stdout.write(tableOf(played));
  exitWith(codeOf(played));
  quitSoon();
}

/** Of what is not met the verdict is told; of that, and of what could not be played, logs are kept: all else goes with the lab. */
async function playKeeping(folder: string | undefined, options: PlayOptions): Promise<Verdict> {
  const { lab, scenario, signal } = options;
  let verdict: Verdict | null = null;
  try {
    verdict = await play(options);
    return verdict;
  } finally {
    if (verdict?.met === false) process.stdout.write(describeVerdict(verdict, paintFor(process.stdout)));
    if (!verdict?.met && !signal.aborted) keep(lab, scenario.name, folder);
  }
}

function keep(lab: Lab, name: string, folder: string | undefined): void {
  if (folder === undefined)
    return void process.stderr.write(
      "to see why: play it again with --logs FOLDER, which keeps its logs and recordings\n",
    );
  const to = resolve(folder, name);
  try {
    keepLogs(lab.world.layout, to);
    process.stderr.write(`logs and recordings are in ${to}\n`);
  } catch (error) {
    process.stderr.write(`not all logs and recordings are in ${to}: ${(error as Error).message}\n`);
  }
}

interface ChaosOptions {
  readonly for?: number;
  readonly seed?: number;
  readonly profile: Scenario["topology"]["profile"];
  readonly rpo?: number;
  readonly json?: string;
  readonly logs?: string;
}

async function chaos(options: ChaosOptions): Promise<void> {
  if (!isPossible() || !mayMakeNetworks()) return;
  const { for: forMs = 600_000, seed = 1 } = options;
  const chance = chanceFrom(seed);
  const { profile, rpo = 0 } = options;
  const topology: Scenario["topology"] =
    rpo > 0 ? { ...plain, profile, replication: "asynchronous", rpo } : { ...plain, profile };
  const played: Played[] = [];
  const faults: string[] = [];
  const because = await inLab({ topology, links: noLinks, faults: [] }, async (lab, signal, say) => {
    const until = Date.now() + forMs;
    while (Date.now() < until) {
      const scenario = drawRound(chance, played.length + 1, topology, noLinks);
      say(`--- ${scenario.name}: ${scenario.about}`);
      const verdict = await playKeeping(options.logs, { lab, scenario, say, signal });
      faults.push(...scenario.faults.map(({ fault }) => fault));
      played.push({ name: `${scenario.name} ${scenario.about}`, verdict, because: null });
      if (options.json) writeJson(resolve(options.json), played);
    }
  });
  if (because !== null && because !== interrupted) {
    played.push({ name: `round-${played.length + 1}`, verdict: null, because });
    complain(`round ${played.length} of seed ${seed} could not be played: ${because}`, exit.failed);
  }
  process.stdout.write(tableOf(played));
  process.stdout.write(`${describeChaos(played, faults)}\n`);
  exitWith(because === interrupted ? exit.interrupted : codeOf(played));
  quitSoon();
}

function describeChaos(played: readonly Played[], faults: readonly string[]): string {
  const verdicts = played.flatMap(({ verdict }) => verdict ?? []);
  const sum = (of: (verdict: Verdict) => number) => verdicts.reduce((all, verdict) => all + of(verdict), 0);
  const kinds = [...Map.groupBy(faults, (kind) => kind)].map(([kind, some]) => `${some.length} ${kind}`);
  return [
    `${verdicts.length} ${verdicts.length === 1 ? "round" : "rounds"}, ${verdicts.filter(({ met }) => met).length} of them met; ${faults.length} faults: ${kinds.join(", ")}`,
    `${sum(({ figures }) => figures.epoch.after - figures.epoch.before)} changes of primary; ${sum(({ figures }) => figures.acknowledged.outside + figures.acknowledged.inside)} orders acknowledged; ${sum(({ figures }) => figures.history?.ok ?? 0)} statements in checked histories; ${sum(({ figures }) => figures.safeFailed)} repeatable requests failed`,
  ].join("\n");
}

function codeOf(played: readonly Played[]): ExitCode {
  if (played.some(({ because }) => because === interrupted)) return exit.interrupted;
  if (played.some(({ verdict, isLeftOut }) => verdict === null && !isLeftOut)) return exit.failed;
  if (played.some(({ verdict }) => verdict?.met === false)) return exit.objectivesNotMet;
  return played.some(({ isLeftOut }) => isLeftOut) ? exit.unreachable : exit.ok;
}

function list(options: { readonly scenarios?: string }): void {
  const folder = resolve(options.scenarios ?? defaultFolder);
  const lines = namesIn(folder).map((name) => {
    const read = readScenario(readFileSync(join(folder, `${name}.yaml`), "utf8"), name);
    const about =
      read.kind === "valid"
        ? read.scenario.about.trim().replaceAll(/\s+/g, " ")
        : `NOT VALID: ${read.problems.join("; ")}`;
    return `${name.padEnd(28)} ${about}`;
  });
  const labs = findLabs().map(
    ({ slot, isRunning, state }) =>
      `lab ${slot}: ${isRunning ? `runs (process ${state?.pid})` : 'left behind; "holdfast lab down" removes it'}`,
  );
  process.stdout.write(`${[...lines, "", ...(labs.length > 0 ? labs : ["no lab runs here"])].join("\n")}\n`);
}

const interrupted = "interrupted";
const plain: Scenario["topology"] = {
  profile: "fast",
  witness: false,
  replication: "synchronous",
  rpo: 1000,
};
const noLinks: Scenario["links"] = { delay: 0, jitter: 0, lossPercent: 0, rateMbit: 0 };

type Say = (text: string) => void;

/** A lab around what is done in it, removed whatever happens; null, or why it could not be done. */
async function inLab(
  wanted: Pick<Scenario, "topology" | "links" | "faults"> & { readonly disks?: LabDisks | null },
  act: (lab: Lab, signal: AbortSignal, say: Say) => Promise<void>,
): Promise<string | null> {
  const stop = new AbortController();
  const interrupt = () => stop.abort(new Error(interrupted));
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, interrupt);
  const startedAt = Date.now();
  const say = (text: string) =>
    void process.stderr.write(`${((Date.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${text}\n`);
  let lab: Lab | null = null;
  try {
    const { topology, links, faults } = wanted;
    const disks = wanted.disks ?? disksFor(faults);
    const withClocks = faults.some((one) => one.fault === "clock-wrong");
    const withNames = faults.some((one) => one.fault === "names-lost");
    const withBackups = faults.some((one) => one.fault === "backup");
    const { signal } = stop;
    const parts = { disks, withClocks, withNames, withBackups };
    lab = await startLab({ topology, links, ...parts, rtoMs: 60_000, say, signal, compile });
    await act(lab, stop.signal, say);
    return null;
  } catch (error) {
    return stop.signal.aborted ? interrupted : (error as Error).message;
  } finally {
    say("ending every process, removing every network");
    await lab?.close();
    for (const signal of signals) process.off(signal, interrupt);
  }
}

function compile(text: string, file: string) {
  const compiled = compileTopology({ text, file, baseDir: "/" }, sha256);
  if (compiled.kind === "invalid")
    throw new Error(
      `the lab's topology is not valid: ${compiled.problems.map(({ message }) => message).join("; ")}`,
    );
  return compiled.topology;
}

/** Whoever is not root begins anew where they are. False: after telling why that cannot be, and setting the exit code. */
function mayMakeNetworks(): boolean {
  const own = ownEnclosure();
  if (own !== null && own.pid !== process.pid) {
    complain("this shell is in a lab already; start another one from a shell outside of it", exit.refused);
    return false;
  }
  if (process.geteuid?.() === 0) return true;
  const because = whyNoEnclosure();
  if (because === null) enclose();
  complain(`the lab cannot run here: ${because}`, exit.unreachable);
  return false;
}

function writeJson(file: string, played: readonly Played[]): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify({ schema: 1, played }, null, 2)}\n`);
}

function namesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith(".yaml"))
    .map((file) => basename(file, ".yaml"))
    .sort();
}

function parseSlot(text: string): number {
  if (!/^\d$/.test(text)) throw new InvalidArgumentError("a number, as `holdfast lab list` tells it");
  return Number(text);
}

function parseSeed(text: string): number {
  if (!/^\d{1,9}$/.test(text))
    throw new InvalidArgumentError("a whole number from 0, of nine digits at most");
  return Number(text);
}

function parsePercent(text: string): number {
  const percent = Number(text);
  if (!(0 < percent && percent <= 100)) throw new InvalidArgumentError("a number above 0, up to 100");
  return percent;
}

/** undici and pg keep sockets of processes that are gone for a while: nothing is left to wait for. */
function quitSoon(): void {
  setTimeout(() => process.exit(), 250).unref();
}
