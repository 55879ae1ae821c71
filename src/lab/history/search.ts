/** One object searched for an order that explains all answers, and if there is none, the few of them that have none. */
import { type Checked, finding, found } from "./finding.ts";
import type { Linearized } from "./linearize.ts";
import type { Operation } from "./operation.ts";
import { shrink } from "./witness.ts";

/** Steps of one search that is part of shrinking, and of all of them: the witness is then larger, and no less true. */
const shrinkStepsMax = 100_000;
const shrinkAllStepsMax = 500_000;

export function searchObject(
  key: string,
  operations: readonly Operation[],
  stepsMax: number,
  search: (operations: readonly Operation[], stepsMax: number) => Linearized,
  /** Which writes of the whole history help people to understand these few, whenever they took effect. */
  writersFor: (firm: readonly Operation[]) => readonly Operation[],
): Checked {
  const result = search(operations, stepsMax);
  if (result.kind === "valid") return found([], result.steps);
  if (result.kind === "unknown")
    return {
      verdict: "unknown",
      findings: [],
      because: `${key}: ${result.because} over ${operations.length} operations`,
      steps: result.steps,
    };
  const shrinkMax = Math.min(shrinkStepsMax, Math.max(10_000, 2 * result.steps));
  let left = shrinkAllStepsMax;
  const bounded = (some: readonly Operation[]): Linearized => {
    if (left <= 0) return { kind: "unknown", steps: 0, because: "it was shrunk for long enough" };
    const one = search(some, Math.min(shrinkMax, left));
    left -= one.steps;
    return one;
  };
  const firm = shrink(operations, bounded).filter(({ outcome }) => outcome.kind === "ok");
  const others = writersFor(firm).filter((one) => !firm.some(({ number }) => number === one.number));
  const what =
    others.length === 0
      ? "no order of these explains their answers"
      : `no order explains the answers of ${firm.map(({ number }) => `#${number}`).join(", ")}, whenever the others took effect`;
  return found([finding("not-linearizable", key, what, [...firm, ...others])], result.steps);
}
