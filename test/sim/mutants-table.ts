/**
 * `npm run sim:mutants [-- --budget N] [-- words of a name]`: each mutant, the invariant that finds it out, and how many
 * seeds that took, counted from the first. `--keep` writes the seed that found each to `mutants.seeds.json`, where the tests
 * begin to look.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { mutants } from "./mutants.ts";
import { hunt } from "./mutate.ts";

const { values, positionals } = parseArgs({
  options: { budget: { type: "string", default: "3000" }, keep: { type: "boolean", default: false } },
  allowPositionals: true,
});
const budget = Number(values.budget);
const seedsFile = new URL("mutants.seeds.json", import.meta.url);
const kept = JSON.parse(readFileSync(seedsFile, "utf8")) as Record<string, number>;
const chosen = mutants.filter(
  ({ name }) => positionals.length === 0 || positionals.some((words) => name.includes(words)),
);
let survivors = 0;
process.stdout.write(`${"mutant".padEnd(68)} trap  ${"invariant".padEnd(10)} seeds\n`);
for (const mutant of chosen) {
  const found = await hunt(mutant, budget);
  // Some need a seed from a long hunt, which is kept.
  const known = kept[mutant.name];
  const byKept = !found.caught && known !== undefined ? await hunt(mutant, 0, known) : null;
  const { caught, seeds } = byKept?.caught ? { ...byKept, seeds: `kept ${known}` } : found;
  if (caught) kept[mutant.name] = caught.seed;
  else survivors++;
  process.stdout.write(
    `${mutant.name.padEnd(68)} ${String(mutant.trap || "").padStart(4)}  ${(caught?.invariant ?? "SURVIVED").padEnd(10)} ${String(seeds).padStart(5)}\n`,
  );
}
process.stdout.write(
  `${survivors} of ${chosen.length} survived a budget of ${budget} seeds and the scan each\n`,
);
if (values.keep) writeFileSync(seedsFile, `${JSON.stringify(kept, null, 2)}\n`);
process.exitCode = survivors === 0 ? 0 : 1;
