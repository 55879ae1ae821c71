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
  "a reply passed the gate late",
  "an edge refused a table",
  "a person accepted loss",
  "a person approved",
  "refused without its fencer",
  "stuck: nothing can be proven",
  "stuck: the lease was deleted",
  "stuck: the store was restored",
  "writes resumed in time",
];

export function neverHappened(counts: ReadonlyMap<string, number>): string[] {
  return sometimes.filter((name) => !counts.has(name));
}
