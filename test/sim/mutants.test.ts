/** The simulator is tested too: a machine that is broken on purpose must be found out, every time. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { run } from "../../src/sim/run.ts";
import { mutants } from "./mutants.ts";
import { hunt, whyStale, withMutant } from "./mutate.ts";

const known = JSON.parse(readFileSync(new URL("mutants.seeds.json", import.meta.url), "utf8")) as Readonly<
  Record<string, number>
>;
/** Seeds that each may take, when the one that found it last does so no more; then the scan. */
const budget = 3000;

test("there are at least 40 mutants, and the ten traps are ten of them", () => {
  assert.ok(mutants.length >= 40, `${mutants.length} mutants`);
  const traps = mutants.map(({ trap }) => trap).filter((trap) => trap > 0);
  assert.deepEqual(
    traps.sort((a, b) => a - b),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  );
  assert.equal(new Set(mutants.map(({ name }) => name)).size, mutants.length);
});

for (const mutant of mutants) {
  test(`caught: ${mutant.name}`, async (context) => {
    assert.equal(whyStale(mutant), "");
    const verdict = await hunt(mutant, budget, known[mutant.name]);
    assert.ok(verdict.caught, `it survived ${budget} seeds and the scan`);
    const { invariant, text, seed: found } = verdict.caught;
    context.diagnostic(`${invariant} by seed ${found}: ${text.slice(0, 200)}`);
  });
}

test("what a mutant does shrinks to a story of at most 40 lines, and the machine as it is survives it", async () => {
  for (const name of ["the lease is given up without a fence", "one copy fewer is proof enough"]) {
    const mutant = mutants.find((candidate) => candidate.name === name);
    const seed = known[name];
    assert.ok(mutant && seed !== undefined, name);
    const { plan, story } = await withMutant(mutant, (sim) => {
      const first = sim.planOf(seed);
      const { violation } = sim.run(first);
      assert.ok(violation, name);
      const { plan } = sim.shrink(first, violation.invariant);
      return { plan, story: sim.run({ ...plan, world: { ...plan.world, tellStory: true } }).story };
    });
    assert.ok(story.length <= 40, `${name}: ${story.length} lines`);
    assert.equal(run(plan).violation, null, name);
  }
});
