/** A mutant in, what the hunt says of it out: the core is copied to a temporary folder, changed there, and simulated. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { run } from "../../src/sim/run.ts";
import type { planFor } from "../../src/sim/swarm.ts";
import type { Mutant } from "./mutants.ts";

const source = new URL("../../src/", import.meta.url);

export interface Verdict {
  readonly mutant: Mutant;
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

export async function hunt(mutant: Mutant, firstSeed: number, seedsMax: number): Promise<Verdict> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-mutant-"));
  try {
    for (const room of ["core", "sim"])
      cpSync(new URL(`${room}/`, source), join(folder, room), { recursive: true });
    for (const { file, find, replace } of changesOf(mutant)) {
      const path = join(folder, "core", file);
      const text = readFileSync(path, "utf8");
      writeFileSync(
        path,
        text.replace(find, () => replace),
      );
    }
    const load = (file: string) => import(pathToFileURL(join(folder, "sim", file)).href) as Promise<unknown>;
    const world = (await load("run.ts")) as { readonly run: typeof run };
    const swarm = (await load("swarm.ts")) as { readonly planFor: typeof planFor };
    for (let seed = firstSeed; seed < firstSeed + seedsMax; seed++) {
      const { violation } = world.run(swarm.planFor(seed));
      if (violation)
        return {
          mutant,
          caught: { invariant: violation.invariant, text: violation.text, seed },
          seeds: seed - firstSeed + 1,
        };
    }
    return { mutant, caught: null, seeds: seedsMax };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function changesOf(
  mutant: Mutant,
): readonly { readonly file: string; readonly find: string; readonly replace: string }[] {
  return [mutant, ...(mutant.also ?? [])];
}
