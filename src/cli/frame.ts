/** A problem and the text that it is in, shown as compilers do: the line, and a caret below the word. */
import type { Place, Problem } from "../core/spec/problem.ts";
import type { Ink, Paint } from "./paint.ts";

export interface Framed {
  readonly severity: "error" | "warning" | "info";
  readonly message: string;
  readonly hint: string;
  /** Where in the language: stands beside the caret. */
  readonly label: string;
  readonly place: Place | null;
  readonly related: readonly (Place & { readonly label: string })[];
}

const inks: Readonly<Record<Framed["severity"], Ink>> = { error: "red", warning: "yellow", info: "blue" };

/** Ends with a line feed. */
export function frame(framed: Framed, file: string, text: string, paint: Paint): string {
  const { severity, message, hint, label, place, related } = framed;
  const ink = inks[severity];
  const head = `${paint(ink, paint("bold", severity))}${paint("bold", `: ${visible(message)}`)}`;
  if (place === null) return `${head}\n${hint === "" ? "" : `  = help: ${visible(hint)}\n`}`;

  const lines = text.split(/\r\n|\r|\n/);
  const width = String(Math.max(place.line, ...related.map(({ line }) => line))).length;
  const gutter = (number: number | null) =>
    paint("blue", `${(number === null ? "" : String(number)).padStart(width)} |`);
  const show = (at: Place, mark: string, note: string, markInk: Ink): readonly string[] => {
    const line = lines[at.line - 1] ?? "";
    const [shown, from, length] = window(line, at);
    return [
      `${gutter(at.line)} ${shown}`,
      `${gutter(null)} ${" ".repeat(from)}${paint(markInk, `${mark.repeat(length)} ${visible(note)}`.trimEnd())}`,
    ];
  };
  const others = related.flatMap((other) => [
    `${" ".repeat(width)} ${paint("blue", `::: ${file}:${other.line}:${other.column}`)}`,
    ...show(other, "-", other.label, "blue"),
  ]);
  return [
    head,
    `${" ".repeat(width)}${paint("blue", "-->")} ${file}:${place.line}:${place.column}`,
    gutter(null),
    ...show(place, "^", label, ink),
    ...others,
    ...(hint === ""
      ? []
      : [`${" ".repeat(width)} ${paint("blue", "=")} ${paint("bold", "help")}: ${visible(hint)}`]),
    "",
  ].join("\n");
}

export function frameProblem(problem: Problem, text: string, paint: Paint): string {
  const { severity, message, hint, path, related, file } = problem;
  return frame({ severity, message, hint, label: path, place: problem, related }, file, text, paint);
}

/** At most this much of a line is shown, so that a minified file does not flood a terminal. */
const shownMax = 110;

/** The part of the line around the place, and where in it the mark begins and how long it is. */
function window(
  line: string,
  { column, length }: Place,
): readonly [shown: string, from: number, length: number] {
  const start = column - 1 < shownMax - 30 ? 0 : column - 31;
  const cut = start === 0 ? "" : "...";
  const shown = cut + visible(line.slice(start, start + shownMax));
  const from = cut.length + column - 1 - start;
  return [shown, from, Math.max(1, Math.min(length, shown.trimEnd().length - from))];
}

/** One column a character, and nothing that moves a cursor: a file may come from anybody. */
function visible(text: string): string {
  return text.replace(/\t/g, " ").replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\u00b7");
}
