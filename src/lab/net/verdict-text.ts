/** A verdict for people: line by line, or as one row of a table. */
import type { Stall } from "./machine-watch.ts";
import type { Verdict } from "./verdict.ts";

/** Colours a text, or leaves it as it is. */
export type Paint = (colour: "bold" | "green" | "red", text: string) => string;

export interface Played {
  readonly name: string;
  /** null: it could not be played. */
  readonly verdict: Verdict | null;
  /** Why not; null: it was. */
  readonly because: string | null;
  /** It was not even tried: this machine lacks what it needs. */
  readonly isLeftOut?: boolean;
}

export function describeVerdict(verdict: Verdict, paint: Paint): string {
  const ms = (value: number | null) => (value === null ? "not measured" : `${Math.round(value)} ms`);
  const { figures } = verdict;
  return [
    "",
    paint("bold", `${verdict.scenario}: ${verdict.met ? "expectations met" : "EXPECTATIONS NOT MET"}`),
    ...verdict.checks.map(({ label, unit, atMost, measured, met }) => {
      const shown = unit === "ms" ? ms(measured) : String(measured ?? "not measured");
      const mark = met ? paint("green", "✓") : paint("red", "✗");
      return `  ${mark} ${label.padEnd(40)} ${shown.padStart(12)}   (at most ${atMost}${unit === "ms" ? " ms" : ""})`;
    }),
    `    ${figures.acknowledged.outside} orders acknowledged outside, ${figures.acknowledged.inside} inside of regions; ${figures.unsafeFailed} that nobody may repeat failed; load average ${figures.loadAverage.toFixed(1)}`,
    `    the machine's own longest: ${stallText(figures.stalls.disk)} for a flush of its disk, ${stallText(figures.stalls.cpu)} too late for a thread with nothing to do`,
    ...(figures.history === null
      ? []
      : [
          `    history: ${figures.history.ok} statements answered, ${figures.history.failed} refused, ${figures.history.unknown} of unknown outcome`,
        ]),
    `    epoch ${figures.epoch.before} -> ${figures.epoch.after}; last acknowledgement of the old primary ${figures.oldPrimaryAcksMs === null ? "before the fault" : `after ${ms(figures.oldPrimaryAcksMs)}`}, first of the new one ${figures.newPrimaryAcksMs === null ? "never" : `after ${ms(figures.newPrimaryAcksMs)}`}`,
    ...figures.requested.map((each) => `    ${each}`),
    ...Object.entries(figures.failures).map(([what, n]) => `    failed outside: ${n} × ${what}`),
    ...verdict.problems.map((problem) => `    ${paint("red", "proves nothing:")} ${problem}`),
    ...(verdict.met ? [] : verdict.violations.slice(0, 5).map((violation) => `    ${violation}`)),
    "",
    "",
  ].join("\n");
}

/** A short one has no moment: none stands out. */
const notableMs = 250;

function stallText(stall: Stall | null): string {
  if (stall === null) return "not measured";
  const ms = `${Math.round(stall.ms)} ms`;
  const side = stall.at < 0 ? "before" : "after";
  return stall.ms < notableMs ? ms : `${ms} (${Math.abs(stall.at / 1000).toFixed(1)} s ${side} the fault)`;
}

function firstLine(text: string): string {
  const [line = ""] = text.split("\n");
  return line.length <= 80 ? line : `${line.slice(0, 79)}…`;
}

export function tableOf(played: readonly Played[]): string {
  const rows = played.map(({ name, verdict, because, isLeftOut }) => {
    // Why has been told in full when it happened; with a log behind it, it would tear the table apart.
    if (verdict === null)
      return [name, isLeftOut ? "left out" : "not played", "", "", "", "", firstLine(because ?? "")];
    const { figures, checks } = verdict;
    const of = (id: string) =>
      String(Math.round(checks.find((check) => check.id === id)?.measured ?? Number.NaN));
    const missed = checks.filter(({ met }) => !met).map(({ id }) => id);
    return [
      name,
      verdict.met ? "met" : `NOT MET: ${missed.join(", ")}`,
      of("write-gap"),
      of("lost"),
      of("overlap"),
      of("safe-failed"),
      `${figures.epoch.before} -> ${figures.epoch.after}`,
      String(Math.round(figures.stalls.disk?.ms ?? Number.NaN)),
    ];
  });
  const table = [
    [
      "scenario",
      "verdict",
      "write gap ms",
      "lost",
      "overlap ms",
      "safe failed",
      "epoch",
      "disk's longest ms",
    ],
    ...rows,
  ];
  const widths =
    table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? [];
  return `${table
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")}\n`;
}
