/**
 * The few operations of a history that already contradict one another, for people to look at.
 *
 * A history can be weakened in two ways that never make a good one bad: what did not change the object is left out, and
 * what did is made one of unknown outcome. What is still bad when no single operation can be weakened any more is the
 * witness. (Leaving out a write is no way: a read of it would then be of a value that was never written.)
 */
import type { Linearized } from "./linearize.ts";
import { dueBy, mayWrite, type Operation } from "./operation.ts";

/** Searches in all. Each is over less than the one before: together some two of the whole. */
const searchesMax = 300;

type Operations = readonly Operation[];

/** `operations` is bad: `search` says so. The result is bad as well; the smallest, unless `searchesMax` was reached. */
export function shrink(operations: Operations, search: (some: Operations) => Linearized): Operations {
  let searches = 0;
  const isBad = (some: Operations) => ++searches <= searchesMax && search(some).kind === "invalid";

  let kept = shortestPrefix(operations, isBad);
  // As in delta debugging: halves first, single ones last, until not even one of those can be weakened.
  const firm = () => kept.filter(({ outcome }) => outcome.kind === "ok");
  for (let size = Math.ceil(firm().length / 2), isDone = false; !isDone && searches < searchesMax; ) {
    let weakened = 0;
    for (let at = 0; at < firm().length && searches < searchesMax; ) {
      const chunk = new Set(firm().slice(at, at + size));
      const weaker = weaken(kept, (operation) => chunk.has(operation));
      if (isBad(weaker)) {
        kept = weaker;
        weakened += chunk.size;
      } else at += size;
    }
    isDone = size === 1 && weakened === 0;
    size = Math.max(1, Math.floor(size / 2));
  }
  return kept;
}

/** The history as it was known when the first answer came that cannot be explained. */
function shortestPrefix(operations: Operations, isBad: (some: Operations) => boolean): Operations {
  const instants = operations
    .filter(({ outcome }) => outcome.kind === "ok")
    .map(dueBy)
    .sort((a, b) => a - b);
  const until = (index: number) => {
    const end = instants[index] ?? Number.POSITIVE_INFINITY;
    const begun = operations.filter(({ sentAt }) => sentAt <= end);
    return weaken(begun, (operation) => end < dueBy(operation));
  };
  let [low, high] = [0, instants.length - 1];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (isBad(until(middle))) high = middle;
    else low = middle + 1;
  }
  const prefix = until(high);
  return isBad(prefix) ? prefix : operations;
}

function weaken(operations: Operations, which: (operation: Operation) => boolean): Operations {
  return operations.flatMap((operation): Operations => {
    if (operation.outcome.kind === "ok" && !which(operation)) return [operation];
    if (!mayWrite(operation)) return [];
    return [{ ...operation, outcome: { kind: "unknown", because: "not needed" } }];
  });
}
