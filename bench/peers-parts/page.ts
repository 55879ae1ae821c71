/** The figures for people: a table for the terminal, and the page that is kept. Pure. */
import { type FaultName, faultTexts } from "./faults.ts";
import type { Figures } from "./figures.ts";
import { judgeTargets, type Row, summarize } from "./summary.ts";

/** One run of the whole command, or several joined: what is written as JSON. */
export interface Report {
  readonly schema: 1;
  readonly createdAt: string;
  readonly machine: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly settings: Readonly<Record<string, string>>;
  readonly runs: readonly Figures[];
}

const faults = Object.keys(faultTexts) as FaultName[];

/** Below it a median says little. */
const fewRuns = 3;

export function textOf(report: Report): string {
  const rows = byFault(summarize(report.runs));
  const width = Math.max(0, ...rows.map(({ system }) => system.length));
  const lines = rows.map((row) =>
    [
      row.fault.padEnd(17),
      row.system.padEnd(width),
      `gap ${cell(row)}`.padEnd(24),
      `lost ${row.lost}`.padEnd(11),
      `two writers ${seconds(row.overlapMaxMs)} (${row.overlapWritesMax})`.padEnd(26),
      `failed ${row.safeFailed}+${row.unsafeFailed}`,
      row.doubtful > 0 ? `  ${row.doubtful} of ${row.runs} prove nothing` : "",
    ].join("  "),
  );
  const targets = judgeTargets(rows).map(({ text, met }) => `${met ? "met   " : "MISSED"}  ${text}`);
  return ["", ...lines, "", ...targets, "", report.machine].join("\n");
}

/** A run a line: it grows by lines when runs are joined. */
export function dataOf({ runs, ...rest }: Report): string {
  const lines = runs.map((run) => `    ${JSON.stringify(run)}`).join(",\n");
  return `${JSON.stringify(rest, null, 2).slice(0, -2)},\n  "runs": [\n${lines}\n  ]\n}\n`;
}

/** `page`: its file's name, without the ending. */
export function pageOf(report: Report, page: string): string {
  const rows = summarize(report.runs);
  const names = [...new Set(rows.map(({ system }) => system))];
  const find = (system: string, fault: FaultName) =>
    rows.find((row) => row.system === system && row.fault === fault);
  const played = faults.filter((fault) => rows.some((row) => row.fault === fault));
  const doubtful = report.runs.filter(({ problems }) => problems.length > 0);
  const loads = report.runs.map(({ loadAverage }) => loadAverage);
  const beside = Math.max(...report.runs.map(({ labsBeside }) => labsBeside));
  return `# Beside Patroni and pg_auto_failover

How long writes stand still, and what is lost, when the region of the primary has a fault: every system in the same three regions, with the same clients and the same faults. Written by \`npm run bench:peers\`; do not edit by hand. Each run by itself: [${page}.json](${page}.json).

\`\`\`sh
${commandOf(rows)}
\`\`\`

${daysOf(report.runs)}; ${report.machine}; load average ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)} before the faults${beside === 0 ? "" : `, up to ${beside} other labs at the same time`}. ${Object.entries(
    report.versions,
  )
    .filter(([, version]) => version !== "")
    .map(([name, version]) => `${name} ${version}`)
    .join(
      ", ",
    )}.${rows.some(({ runs }) => runs < fewRuns) ? ` **Fewer than ${fewRuns} runs a row in places, and a machine with other work if the load says so: a look, not a measurement.**` : ""}

## Write gap

Seconds without an acknowledged write for clients outside of the regions: median, and in brackets the longest, of the runs. "-": it was not run; "none": writes did not come back while the fault lasted.

${table(
  ["", ...played],
  names.map((system) => [
    system,
    ...played.map((fault) => {
      const row = find(system, fault);
      return row ? cell(row) : "-";
    }),
  ]),
)}

![Write gaps by fault and system](${page}.svg)

## What else was seen

*Two writers*: how long after a new primary's first acknowledgement another client began a write that the old one still acknowledged, and how many such writes there were. *Old one until*: the last acknowledgement of the old primary to clients beside it, from the fault. *Failed*: requests of the HTTP service that may be repeated, and that may not. *Load*: the largest load average of the machine before a fault.

${table(
  [
    "fault",
    "system",
    "runs",
    "gap",
    "new primary after",
    "old one until",
    "two writers",
    "acknowledged",
    "lost",
    "failed",
    "load",
  ],
  byFault(rows).map((row) => [
    row.fault,
    row.system,
    String(row.runs),
    cell(row),
    seconds(row.newPrimaryMedianMs),
    seconds(row.oldPrimaryAcksMaxMs),
    row.overlapWritesMax === 0 ? "0" : `${seconds(row.overlapMaxMs)} (${row.overlapWritesMax} writes)`,
    String(row.acknowledged),
    row.lost === row.lostMax ? String(row.lost) : `${row.lost} (up to ${row.lostMax} a run)`,
    `${row.safeFailed} and ${row.unsafeFailed} of ${row.requests}`,
    row.loadMax.toFixed(1),
  ]),
)}

${doubtful.length === 0 ? "No run was doubtful by its own checks." : `Of ${report.runs.length} runs ${doubtful.length} prove little, because ${[...new Set(doubtful.flatMap(({ problems }) => problems))].slice(0, 4).join("; ")}.`}

## Targets

${judgeTargets(rows)
  .map(({ text, met }) => `- ${met ? "met" : "**missed**"}: ${text}`)
  .join("\n")}

## Settings

${Object.entries(report.settings)
  .filter(([name]) => names.includes(name))
  .map(([name, text]) => `- \`${name}\`: ${text}.`)
  .join("\n")}

Three copies of the data, one a region. Holdfast is started as \`holdfast lab\` starts it, its clients enter by the edges. The peers' clients enter by HAProxy in each region, with the checks of Patroni's manual (every 3 s, 3 to fall, 2 to rise) where a system has its defaults, and every 500 ms, 2 to fall and 1 to rise, where it is tuned: no system waits for its proxy. Patroni's HAProxy asks \`/primary\`, that of pg_auto_failover asks PostgreSQL itself. The monitor of pg_auto_failover is in the third region, the primary in the first. PostgreSQL is the same for all, and so is etcd, with elections after 600 ms (\`holdfast-balanced-*\`: 1 s, its default).

The faults: ${faults.map((fault) => `*${fault}*: ${faultTexts[fault]}`).join("; ")}.
`;
}

function byFault(rows: readonly Row[]): readonly Row[] {
  return faults.flatMap((fault) => rows.filter((row) => row.fault === fault));
}

function daysOf(runs: readonly Figures[]): string {
  const days = runs.map(({ at }) => at.slice(0, 10)).toSorted();
  return [...new Set([days[0], days.at(-1)])].join(" to ");
}

/** By which such runs are made, however many commands they were asked for with. */
function commandOf(rows: readonly Row[]): string {
  const list = (values: readonly string[]) => [...new Set(values)].join(",");
  const words = [
    `--runs ${Math.max(...rows.map(({ runs }) => runs))}`,
    `--systems ${list(rows.map(({ system }) => system))}`,
    `--faults ${list(rows.map(({ fault }) => fault))}`,
  ];
  return `npm run bench:peers -- ${words.join(" ")}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function cell({ gapMedianMs, gapMaxMs, runs, recovered }: Row): string {
  if (gapMedianMs === null) return recovered === 0 ? "none" : `none in ${runs - recovered} of ${runs}`;
  return `${seconds(gapMedianMs)} (${gapMaxMs === null ? "none" : seconds(gapMaxMs)})`;
}

function seconds(ms: number | null): string {
  return ms === null ? "-" : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}
