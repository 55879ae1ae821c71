/** `holdfast doctor`: measure from this host what the promises rest on, and say what fits and what to do. */
import { setTimeout as pause } from "node:timers/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import { makeId } from "../../adapters/adapters.ts";
import { complain } from "../connect.ts";
import { backupLines } from "../doctor/backup-lines.ts";
import { agentLines, diskLines, partLines, watchLoop } from "../doctor/host-lines.ts";
import type { DoctorLine } from "../doctor/line.ts";
import { storeLines } from "../doctor/store-lines.ts";
import { exit, exitWith } from "../exit.ts";
import { type Paint, paintFor } from "../paint.ts";
import { parseSpan } from "../span.ts";
import { defaultFile, topologyOrComplain } from "../topology-file.ts";

interface Options {
  readonly region?: string;
  readonly secretsDir: string;
  readonly for: number;
  readonly etcdElection: number;
  readonly json?: boolean;
}

/** Shorter, and 99 of 100 are all; longer, and nobody waits for it. */
const spanMs = { min: 3000, max: 3_600_000 };

export function register(program: Command): void {
  program
    .command("doctor")
    .description("measure store, disks, clocks and links from this host; say which lease profile fits")
    .argument("[file]", 'topology file, or "-" for standard input', defaultFile)
    .option("--region <name>", "the region that this host is in; default: every folder that is here")
    .addOption(
      new Option("--secrets-dir <folder>", "where etcd's certificates and user are").default(
        "/etc/holdfast/secrets",
        "/etc/holdfast/secrets",
      ),
    )
    .option("--for <span>", "how long to measure, such as 1m (default: 10s)", parseFor, 10_000)
    .option(
      "--etcd-election <span>",
      "what etcd's members were started with as --election-timeout (default: 1s, etcd's own)",
      parseSpan,
      1000,
    )
    .option("--json", "print all lines as JSON")
    .addHelpText(
      "after",
      `
Examples:
  holdfast doctor --region eu-west
  holdfast doctor holdfast.yaml --for 1m --etcd-election 600ms --json

Measures from where it runs: run it in every region. It writes one scratch key and one scratch file a folder, and removes
them. Exits with 0 when nothing is a problem, 7 when something is, 4 when the control store does not answer.`,
    )
    .action(run);
}

async function run(file: string, options: Options): Promise<void> {
  const loaded = topologyOrComplain(file, options);
  if (!loaded) return;
  const { topology } = loaded;
  const { region } = options;
  if (region !== undefined && !topology.regions.some(({ name }) => name === region))
    return complain(
      `no region ${region}; there is: ${topology.regions.map(({ name }) => name).join(", ")}`,
      exit.invalid,
    );
  if (!options.json) process.stderr.write(`measuring for ${options.for / 1000} s\n`);
  const id = makeId();
  const loop = watchLoop(topology);
  const [store, agents] = await Promise.all([
    storeLines({
      topology,
      secretsDir: options.secretsDir,
      id,
      forMs: options.for,
      electionMs: options.etcdElection,
    }),
    Promise.all(topology.regions.map((one) => agentLines(topology, one, options.for))),
    pause(options.for),
  ]);
  const host = loop();
  // fsync, and programs that are asked for their version, hold this process up: everything else first.
  const disks = await diskLines(topology, region, id);
  const lines = [
    ...store,
    ...agents.flat(),
    host,
    ...disks,
    ...(await backupLines(topology, region, Date.now())),
    ...(await partLines(topology, region)),
  ];
  const fit = lines.some((line) => line.fit === "problem")
    ? "problem"
    : lines.some((line) => line.fit === "warning")
      ? "warning"
      : "ok";
  if (options.json)
    process.stdout.write(
      `${JSON.stringify({ file: loaded.file, profile: topology.profile.name, fit, lines }, null, 2)}\n`,
    );
  else process.stdout.write(`${table(lines, paintFor(process.stdout))}\n`);
  const silent = lines.some(
    ({ what, measured }) => what === "store: commits" && measured.startsWith("no answer"),
  );
  exitWith(silent ? exit.unreachable : fit === "problem" ? exit.objectivesNotMet : exit.ok);
}

const marks = { ok: "green", warning: "yellow", problem: "red" } as const;

function table(lines: readonly DoctorLine[], paint: Paint): string {
  const width = Math.max(...lines.map(({ what }) => what.length));
  const rows = lines.flatMap(({ what, fit, measured, fits, advice }) => {
    const indent = " ".repeat(11 + width);
    return [
      `${paint(marks[fit], fit.padEnd(9))}${paint("bold", what.padEnd(width))}  ${measured}`,
      ...(fit === "ok" ? [] : [`${indent}${paint("dim", `fits: ${fits}`)}`]),
      ...(advice === "" ? [] : [`${indent}${paint("dim", `do: ${advice}`)}`]),
    ];
  });
  const count = (fit: DoctorLine["fit"]) => lines.filter((line) => line.fit === fit).length;
  return [
    ...rows,
    "",
    paint("bold", `${count("ok")} ok, ${count("warning")} warnings, ${count("problem")} problems`),
  ].join("\n");
}

function parseFor(text: string): number {
  const span = parseSpan(text);
  if (spanMs.min <= span && span <= spanMs.max) return span;
  throw new InvalidArgumentError("a span from 3s to 1h");
}
