/** `holdfast incidents`: what happened, when, and why it was decided so. */
import type { Command } from "commander";
import type { Degradation } from "../../core/model/degradation.ts";
import type { IncidentRecord } from "../../core/review/incident.ts";
import { measured } from "../../core/review/incident.ts";
import { describeSpan } from "../../core/spec/units.ts";
import { type ConnectOptions, connect, orComplain, withConnection } from "../connect.ts";
import { type Paint, paintFor } from "../paint.ts";

interface Options extends ConnectOptions {
  readonly json?: boolean;
}

interface Summary {
  readonly id: string;
  readonly title: string;
  readonly beganAt: string;
  readonly status: string;
}

export function register(program: Command): void {
  withConnection(
    program
      .command("incidents")
      .description("every change of primary, and every degradation: when, why, and how long each step took")
      .argument("[id]", "one incident, whole"),
  )
    .option("--json", "print as JSON")
    .addHelpText("after", "\nExamples:\n  holdfast incidents\n  holdfast incidents orders-db-2")
    .action(async (id: string | undefined, options: Options) => {
      const connection = connect(options);
      if (!connection) return;
      await orComplain(async () => {
        const answer = await connection.ask((client) =>
          id === undefined ? client.incidents() : client.incident(id),
        );
        if (options.json) return void process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`);
        process.stdout.write(
          id === undefined
            ? list(answer as readonly Summary[])
            : tell(answer as IncidentRecord | Degradation),
        );
      });
    });
}

function list(incidents: readonly Summary[]): string {
  if (incidents.length === 0) return "nothing has happened yet\n";
  return incidents
    .map(({ id, title, beganAt, status }) => `${beganAt}  ${id.padEnd(20)} ${title} (${status})\n`)
    .join("");
}

function tell(incident: IncidentRecord | Degradation): string {
  const paint = paintFor(process.stdout);
  if (incident.kind === "degradation") return tellDegradation(incident, paint);
  const spans = measured(incident.chronicle);
  const ms = (span: number | null) => (span === null ? "not reached" : `${Math.round(span)} ms`);
  const lines = [
    paint(
      "bold",
      `${incident.kind} of ${incident.dataStore}: ${incident.from ?? "nobody"} -> ${incident.to}, epoch ${incident.epochBefore} -> ${incident.epoch} (${incident.status})`,
    ),
    `  began     ${new Date(incident.impactAt).toISOString()}, at the latest; written by ${incident.writtenBy}`,
    `  because   ${incident.because}`,
    `  detected  ${ms(spans.ttdMs)}; writable ${ms(spans.writableMs)}; validated ${ms(spans.recoveryMs)}; commits waited for ${incident.redundancy} standby(s) then`,
    ...incident.steps.map(
      ({ at, name, outcome, because }) =>
        `  ${String(Math.round(at)).padStart(7)} ms  ${name} ${outcome}${because ? `: ${because}` : ""}`,
    ),
  ];
  return `${lines.join("\n")}\n`;
}

function tellDegradation({ service, level, by, why, at, forMs, ended }: Degradation, paint: Paint): string {
  const planned = forMs === 0 ? "until further notice" : `for ${describeSpan(forMs)}`;
  const end = ended === null ? "it stands" : `${new Date(ended.at).toISOString()}: ${ended.because}`;
  return `${[
    paint("bold", `${service} degraded to level ${level} (${ended === null ? "stands" : "ended"})`),
    `  ordered   ${new Date(at).toISOString()} by ${by}, ${planned}`,
    `  because   ${why || "no reason was given"}`,
    `  ended     ${end}`,
  ].join("\n")}\n`;
}
