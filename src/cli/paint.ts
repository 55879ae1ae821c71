/** Colour where a person reads it: on a terminal, and not against NO_COLOR (https://no-color.org). */

export type Ink = "red" | "yellow" | "green" | "blue" | "bold" | "dim";
export type Paint = (ink: Ink, text: string) => string;

const codes: Readonly<Record<Ink, readonly [on: number, off: number]>> = {
  red: [31, 39],
  yellow: [33, 39],
  green: [32, 39],
  blue: [34, 39],
  bold: [1, 22],
  dim: [2, 22],
};

export function paintFor(stream: { readonly isTTY?: boolean }): Paint {
  const coloured = stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== "dumb";
  return coloured
    ? (ink, text) => `\u001b[${codes[ink][0]}m${text}\u001b[${codes[ink][1]}m`
    : (_ink, text) => text;
}
