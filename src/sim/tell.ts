/** A story in, lines to read out: when, who with a symbol, what. */
import type { StoryLine } from "./kernel.ts";

export function storyText(story: readonly StoryLine[]): string {
  return story.map(lineOf).join("\n");
}

function lineOf({ at, who, text, voice }: StoryLine): string {
  const mark = voice === "fault" ? "!" : voice === "oracle" ? "X" : symbolOf(who);
  return `${(at / 1_000_000).toFixed(4).padStart(10)}  ${mark} ${who.padEnd(14)} ${text}`;
}

function symbolOf(who: string): string {
  if (who.startsWith("agent")) return "o";
  if (who.startsWith("fencer")) return "#";
  if (who === "lease" || who === "store") return "=";
  return ".";
}
