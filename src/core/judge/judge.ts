/**
 * Observations of several vantage points in, one verdict out.
 *
 * J1. Down needs a majority of the vantage points that can be believed, and of all that exist at least two
 *     (one where there is only one).
 * J2. A vantage point that sees everything down is itself cut off, and accuses nobody.
 * J3. A vantage point that is silent says nothing, neither for nor against. Where too few are left for a verdict, and not
 *     all of them see it up, there is none: what stands stays.
 */
import type { RegionName } from "../model/id.ts";
import type { Sight } from "../observe/window.ts";

export interface Vantage {
  readonly region: RegionName;
  /** Heard from within the time that a living agent beats in. */
  readonly fresh: boolean;
  /** Target -> what it sees. */
  readonly sees: Readonly<Record<string, Sight>>;
}

export interface Verdict {
  readonly kind: "up" | "suspected" | "down" | "unknown";
  readonly because: string;
}

export function judge(target: string, vantages: readonly Vantage[]): Verdict {
  const credible = vantages.filter(
    (vantage) => vantage.fresh && target in vantage.sees && !isCutOff(vantage),
  );
  const accusers = credible.filter((vantage) => vantage.sees[target] === "down");
  const doubters = credible.filter((vantage) => vantage.sees[target] === "suspected");
  const needed = Math.max(Math.floor(credible.length / 2) + 1, Math.min(2, vantages.length));
  const names = (list: readonly Vantage[]) => list.map((vantage) => vantage.region).join(", ");
  if (credible.length === 0)
    return { kind: "unknown", because: `nobody who can be believed has looked at ${target}` };
  if (accusers.length >= needed)
    return {
      kind: "down",
      because: `${target} is down for ${names(accusers)}: ${accusers.length} of ${credible.length}`,
    };
  if (accusers.length + doubters.length > 0)
    return {
      kind: credible.length < needed ? "unknown" : "suspected",
      because: `${target} is suspected by ${names([...accusers, ...doubters])}; ${needed} of ${credible.length} must see it down`,
    };
  return { kind: "up", because: `${target} is up for ${names(credible)}` };
}

/** J2: with one target only, that one counts as everything; a single failing target is then believed. */
function isCutOff(vantage: Vantage): boolean {
  const sights = Object.values(vantage.sees);
  return sights.length > 1 && sights.every((sight) => sight === "down");
}
