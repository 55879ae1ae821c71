/** `npm run sim:mutants [-- --budget N] [name]`: each mutant, the invariant that finds it out, and how many seeds that took. */
import { mutants } from "./mutants.ts";
import { hunt } from "./mutate.ts";

const flag = process.argv.indexOf("--budget");
const budget = flag < 0 ? 3000 : Number(process.argv[flag + 1]);
const wanted = process.argv
  .slice(2)
  .filter((word, index) => !word.startsWith("--") && process.argv[index + 1] !== "--budget");
let survivors = 0;
process.stdout.write(`${"mutant".padEnd(68)} trap  invariant  seeds\n`);
for (const mutant of mutants) {
  if (wanted.length > 0 && !wanted.some((word) => mutant.name.includes(word))) continue;
  const { caught, seeds } = await hunt(mutant, 1, budget);
  if (!caught) survivors++;
  process.stdout.write(
    `${mutant.name.padEnd(68)} ${String(mutant.trap || "").padStart(4)}  ${(caught?.invariant ?? "SURVIVED").padEnd(9)} ${String(seeds).padStart(6)}\n`,
  );
}
process.stdout.write(`${survivors} of ${mutants.length} survived a budget of ${budget} seeds each\n`);
process.exitCode = survivors === 0 ? 0 : 1;
