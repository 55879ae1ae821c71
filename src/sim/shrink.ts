/** A failing plan in, a smaller one out that still breaks the same invariant: delta debugging (Zeller 2002) over its faults. */
import type { Fault } from "./fault.ts";
import type { Plan } from "./plan.ts";
import { run } from "./run.ts";
import { plainShape } from "./shapes.ts";

export interface Shrunk {
  readonly plan: Plan;
  /** Runs that it took. */
  readonly runs: number;
}

/** Tries at most `runsMax` plans. `plan` itself must fail. */
export function shrink(plan: Plan, invariant: string, runsMax = 400): Shrunk {
  let best = plan;
  let runs = 0;
  const fails = (candidate: Plan): boolean => {
    if (runs >= runsMax) return false;
    runs++;
    return run(candidate).violation?.invariant === invariant;
  };
  const adopt = (candidate: Plan): boolean => {
    if (!fails(candidate)) return false;
    best = candidate;
    return true;
  };

  let size = Math.max(1, Math.ceil(best.faults.length / 2));
  while (best.faults.length > 0) {
    let removed = false;
    for (let start = 0; start < best.faults.length; ) {
      const faults = [...best.faults.slice(0, start), ...best.faults.slice(start + size)];
      if (adopt({ ...best, faults })) removed = true;
      else start += size;
    }
    if (size === 1 && !removed) break;
    size = Math.max(1, Math.floor(size / 2));
  }
  if (best.broken) adopt({ ...best, broken: null });
  const { shape } = best.world;
  const plainer = {
    ...plainShape,
    profile: shape.profile,
    replication: shape.replication,
    rpoMs: shape.rpoMs,
  };
  adopt({ ...best, world: { ...best.world, shape: plainer } });
  const { world } = best;
  if (world.drift > 0) adopt({ ...best, world: { ...world, drift: 0 } });
  for (const clients of [1, 3]) if (adopt({ ...best, world: { ...best.world, clients } })) break;
  best.faults.forEach((fault, index) => {
    for (let lasts = Math.floor(fault.lasts / 2); lasts > 1000; lasts = Math.floor(lasts / 2)) {
      const faults: Fault[] = best.faults.map((other, at) => (at === index ? { ...other, lasts } : other));
      if (!adopt({ ...best, faults })) break;
    }
  });
  return { plan: best, runs };
}
