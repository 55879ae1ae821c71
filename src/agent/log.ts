/** What an agent says to people while it runs: a level, a sentence, and what it is about. */

export type Log = (
  level: "info" | "warning" | "alarm",
  text: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;
