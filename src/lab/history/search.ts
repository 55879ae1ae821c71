/** One object searched for an order that explains all answers, and if there is none, the few of them that have none. */
import { type Checked, finding, found } from "./finding.ts";
import type { Linearized } from "./linearize.ts";
import type { Operation } from "./operation.ts";
import { shrink } from "./witness.ts";

/** A search that is part of shrinking may take no longer than that: the witness is then larger, and no less true. */
const shrinkStepsMax = 200_000;

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
  const firm = shrink(operations, (some) => search(some, shrinkMax)).filter(
    ({ outcome }) => outcome.kind === "ok",
  );
  const others = writersFor(firm).filter((one) => !firm.some(({ number }) => number === one.number));
  const what =
    others.length === 0
      ? "no order of these explains their answers"
      : `no order explains the answers of ${firm.map(({ number }) => `#${number}`).join(", ")}, whenever the others took effect`;
  return found([finding("not-linearizable", key, what, [...firm, ...others])], result.steps);
}
