/** A mutant in, what the hunt says of it out: the core is copied to a temporary folder, changed there, and simulated. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { run } from "../../src/sim/run.ts";
import type { scanPlan } from "../../src/sim/scan.ts";
import type { shrink } from "../../src/sim/shrink.ts";
import type { planFor } from "../../src/sim/swarm.ts";
import type { Mutant } from "./mutants.ts";

const source = new URL("../../src/", import.meta.url);

/** The simulator, with a machine that is changed on purpose. */
export interface MutatedSim {
  readonly run: typeof run;
  readonly planFor: typeof planFor;
  readonly scanPlan: typeof scanPlan;
  readonly scanSize: number;
  readonly shrink: typeof shrink;
  /** A seed of the swarm, or a pair of the scan. */
  readonly planOf: typeof planFor;
}

export interface Verdict {
  /** Null: it survived. */
  readonly caught: { readonly invariant: string; readonly text: string; readonly seed: number } | null;
  /** Seeds that were run. */
  readonly seeds: number;
}

/** Why a row of the table cannot be applied; empty: it can. */
export function whyStale(mutant: Mutant): string {
  for (const { file, find } of changesOf(mutant)) {
    const count = readFileSync(new URL(`core/${file}`, source), "utf8").split(find).length - 1;
    if (count !== 1) return `${file} has ${count} times: ${find}`;
  }
  return "";
}

export async function withMutant<T>(mutant: Mutant, act: (sim: MutatedSim) => T): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-mutant-"));
  try {
    for (const room of ["core", "sim"])
      cpSync(new URL(`${room}/`, source), join(folder, room), { recursive: true });
    for (const { file, find, replace } of changesOf(mutant)) {
      const path = join(folder, "core", file);
      writeFileSync(
        path,
        readFileSync(path, "utf8").replace(find, () => replace),
      );
    }
    const load = (file: string) => import(pathToFileURL(join(folder, "sim", file)).href) as Promise<object>;
    const loaded = await Promise.all([load("run.ts"), load("swarm.ts"), load("shrink.ts"), load("scan.ts")]);
    const sim = Object.assign({}, ...loaded) as Omit<MutatedSim, "planOf">;
    const firstPair = sim.scanPlan(0).world.seed;
    const planOf = (seed: number) =>
      seed < firstPair || firstPair + sim.scanSize <= seed
        ? sim.planFor(seed)
        : sim.scanPlan(seed - firstPair);
    return act({ ...sim, planOf });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Runs the seed that is `known` to find it, if one is, and else (unless the budget is 0) the seeds from 1 to `budget` and then every pair of the scan
 * (whose plans bear seeds from a million on).
 */
export function hunt(mutant: Mutant, budget: number, known?: number): Promise<Verdict> {
  return withMutant(mutant, (sim) => {
    let seeds = 0;
    const tried = (seed: number): Verdict | null => {
      seeds++;
      const { violation } = sim.run(sim.planOf(seed));
      if (!violation) return null;
      return { caught: { invariant: violation.invariant, text: violation.text, seed }, seeds };
    };
    const verdict = known === undefined ? null : tried(known);
    if (verdict) return verdict;
    if (budget === 0) return { caught: null, seeds };
    seeds = 0;
    for (let seed = 1; seed <= budget; seed++) {
      const verdict = tried(seed);
      if (verdict) return verdict;
    }
    for (let index = 0; index < sim.scanSize; index++) {
      const verdict = tried(sim.scanPlan(index).world.seed);
      if (verdict) return verdict;
    }
    return { caught: null, seeds };
  });
}

function changesOf(
  mutant: Mutant,
): readonly { readonly file: string; readonly find: string; readonly replace: string }[] {
  return [mutant, ...(mutant.also ?? [])];
}
