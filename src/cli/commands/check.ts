/** `holdfast check`: what can this topology keep of its promises, by arithmetic, before anything runs. */
import { type Command, InvalidArgumentError } from "commander";
import { type Finding, findingCodes } from "../../core/spec/finding.ts";
import { lint } from "../../core/spec/lint.ts";
import { type Assumptions, assumptionsFor, type Recovery, recoveryFrom } from "../../core/spec/recovery.ts";
import { describeSpan, parseDuration } from "../../core/spec/units.ts";
import { exit, exitWith } from "../exit.ts";
import { frame } from "../frame.ts";
import { type Paint, paintFor } from "../paint.ts";
import { defaultFile, type LoadedTopology, topologyOrComplain } from "../topology-file.ts";

interface Options {
  readonly json?: boolean;
  readonly roundTrip?: number;
}

export function register(program: Command): void {
  program
    .command("check")
    .description("lint a topology by arithmetic: recovery against RTO, loss of each region, capacity, votes")
    .argument("[file]", 'topology file, or "-" for standard input', defaultFile)
    .option(
      "--round-trip <duration>",
      "one write to the control store until another region has seen it (default: 2ms embedded, 60ms etcd)",
      roundTrip,
    )
    .option("--json", "print findings as JSON")
    .addHelpText(
      "after",
      `
Examples:
  holdfast check examples/topologies/three-regions.yaml
  holdfast check --round-trip 80ms
  holdfast check --json | jq '.findings[] | select(.severity == "error") | .code'

Exits with 0 when no finding is an error, 7 when a promise cannot be kept, 3 when the file is not valid.
What each finding means: docs/reference/topology.md. There are ${Object.keys(findingCodes).length} kinds.`,
    )
    .action((file: string, options: Options) => {
      const loaded = topologyOrComplain(file, options);
      if (loaded === null) return;
      const given = options.roundTrip === undefined ? {} : { roundTripMs: options.roundTrip };
      const assumptions = { ...assumptionsFor(loaded.topology.store), ...given };
      const findings = lint(loaded.topology, assumptions);
      const silence = recoveryFrom("silence", loaded.topology, assumptions);
      const crash = recoveryFrom("crash", loaded.topology, assumptions);
      const output = options.json
        ? JSON.stringify({ file: loaded.file, assumptions, recovery: { silence, crash }, findings }, null, 2)
        : report(loaded, findings, { silence, crash }, assumptions, paintFor(process.stdout));
      process.stdout.write(`${output}\n`);
      if (findings.some(({ severity }) => severity === "error")) exitWith(exit.objectivesNotMet);
    });
}

function roundTrip(text: string): number {
  const ms = parseDuration(text);
  if (ms === null || ms > 60_000)
    throw new InvalidArgumentError("It takes a duration up to 60s, such as 80ms.");
  return ms;
}

function report(
  loaded: LoadedTopology & { kind: "valid" },
  findings: readonly Finding[],
  recovery: { readonly silence: Recovery; readonly crash: Recovery },
  assumptions: Assumptions,
  paint: Paint,
): string {
  const { topology, file, text, places } = loaded;
  const blocks = findings
    .filter(({ severity }) => severity !== "info")
    .map(({ code, severity, subject, sentence, advice }) => {
      const place = places.get(subject) ?? null;
      const message = `${subject}: ${sentence}`;
      return frame({ severity, message, hint: advice, label: code, place, related: [] }, file, text, paint);
    });
  const numbers = findings
    .filter(({ severity }) => severity === "info")
    .map(({ subject, sentence }) => `  ${paint("bold", subject)}: ${sentence}`);
  const count = (severity: Finding["severity"]) => findings.filter((one) => one.severity === severity).length;
  const [errors, warnings] = [count("error"), count("warning")];
  const plural = (number: number, noun: string) => `${number} ${noun}${number === 1 ? "" : "s"}`;
  const verdict =
    errors > 0
      ? paint(
          "red",
          `${file} promises what it cannot keep: ${plural(errors, "error")}, ${plural(warnings, "warning")}`,
        )
      : paint("green", `${file} can keep its promises: ${plural(warnings, "warning")}`);
  const assumed = `assuming ${describeSpan(assumptions.roundTripMs)} for a write to the ${topology.store.kind} store to be seen elsewhere`;
  return [
    ...blocks,
    ...(topology.dataStores.length === 0 ? [] : [table(recovery, paint), paint("dim", `  ${assumed}`), ""]),
    ...(numbers.length === 0 ? [] : [...numbers, ""]),
    paint("bold", verdict),
  ].join("\n");
}

/** Both ways to fail side by side, step by step. */
function table(
  { silence, crash }: { readonly silence: Recovery; readonly crash: Recovery },
  paint: Paint,
): string {
  const names = [...new Set([...crash.steps, ...silence.steps].map(({ name }) => name))];
  const shared = names.filter((name) =>
    [silence, crash].every(({ steps }) => steps.some((step) => step.name === name)),
  );
  const own = (recovery: Recovery) =>
    recovery.steps.filter(({ name }) => !shared.includes(name)).map(({ name }) => name);
  const rows = [...own(silence), ...own(crash), ...shared].map((name) => {
    const cell = (recovery: Recovery) => recovery.steps.find((step) => step.name === name);
    const because = cell(silence)?.because ?? cell(crash)?.because ?? "";
    return line(name, cell(silence)?.worstMs, cell(crash)?.worstMs, paint("dim", because));
  });
  return [
    paint("bold", "Worst case, step by step"),
    `  ${"".padEnd(10)}${"silence".padStart(10)}${"crash".padStart(10)}`,
    ...rows,
    paint("bold", line("detected", silence.detectMs, crash.detectMs, "TTD")),
    paint("bold", line("recovered", silence.recoverMs, crash.recoverMs, "writes are answered again")),
  ].join("\n");
}

function line(
  name: string,
  silenceMs: number | undefined,
  crashMs: number | undefined,
  because: string,
): string {
  const cell = (ms: number | undefined) => (ms === undefined ? "-" : describeSpan(ms)).padStart(10);
  return `  ${name.padEnd(10)}${cell(silenceMs)}${cell(crashMs)}   ${because}`;
}
