/** What must have happened in a large enough set of runs: a zero fails, since the runs then proved nothing of it. */

export const sometimes: readonly string[] = [
  "promoted",
  "seeded",
  "seeded anew",
  "rewind",
  "fencer fired",
  "gate cut a session by its own clock",
  "gate held a reply",
  "a reply of a successful write was lost",
  "an unknown write was applied later",
  "the store's leader changed",
  "asynchronous writes were lost",
  "an edge refused a table",
  "a person accepted loss",
  "a person approved",
  "refused without its fencer",
  "stuck: nothing can be proven",
  "stuck: the lease was deleted",
  "stuck: the store was restored",
  "writes resumed in time",
];

/** What comes once in some 2,500 runs: a smaller set may do without. */
const seldom: readonly string[] = ["a reply passed the gate late"];

/** Fewer runs prove little, whatever happened in them. */
const fewestRuns = 2000;
const enoughForTheSeldom = 20_000;

export function neverHappened(counts: ReadonlyMap<string, number>, runs: number): string[] {
  if (runs < fewestRuns) return [];
  const due = runs < enoughForTheSeldom ? sometimes : [...sometimes, ...seldom];
  return due.filter((name) => !counts.has(name));
}
