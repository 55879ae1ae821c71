/** A mutant in, what the hunt says of it out: the core is copied to a temporary folder, changed there, and simulated. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { run } from "../../src/sim/run.ts";
import type { shrink } from "../../src/sim/shrink.ts";
import type { planFor } from "../../src/sim/swarm.ts";
import type { Mutant } from "./mutants.ts";

const source = new URL("../../src/", import.meta.url);

/** The simulator, with a machine that is changed on purpose. */
export interface MutatedSim {
  readonly run: typeof run;
  readonly planFor: typeof planFor;
  readonly shrink: typeof shrink;
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
    const loaded = await Promise.all([load("run.ts"), load("swarm.ts"), load("shrink.ts")]);
    return act(Object.assign({}, ...loaded) as MutatedSim);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export function hunt(mutant: Mutant, firstSeed: number, seedsMax: number): Promise<Verdict> {
  return withMutant(mutant, (sim) => {
    for (let seed = firstSeed; seed < firstSeed + seedsMax; seed++) {
      const { violation } = sim.run(sim.planFor(seed));
      if (violation)
        return {
          caught: { invariant: violation.invariant, text: violation.text, seed },
          seeds: seed - firstSeed + 1,
        };
    }
    return { caught: null, seeds: seedsMax };
  });
}

function changesOf(
  mutant: Mutant,
): readonly { readonly file: string; readonly find: string; readonly replace: string }[] {
  return [mutant, ...(mutant.also ?? [])];
}
