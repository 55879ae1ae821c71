/**
 * Two durable sets in, the next step out: how what PostgreSQL waits for, and what is published of it, are changed.
 *
 * Q1. What PostgreSQL waits for is at every moment at least as strong as what is published: waiting for `k` of `N` is
 *     as strong as published `k'` of `N'` when `N` is within `N'` and `k >= k'`.
 * Q2. So a change goes: publish the weaker of both, configure, publish the new one; a step that changes nothing is left out.
 */
import type { CopyRef } from "../model/record.ts";

export interface QuorumSet {
  readonly acknowledgements: number;
  readonly standbys: readonly CopyRef[];
}

export type QuorumStep =
  | { readonly kind: "done" }
  | { readonly kind: "publish"; readonly set: QuorumSet }
  | { readonly kind: "configure"; readonly set: QuorumSet };

/** The next step from what is published and configured to what is wanted. */
export function nextQuorumStep(published: QuorumSet, configured: QuorumSet, wanted: QuorumSet): QuorumStep {
  if (!sameSet(configured, wanted)) {
    const weaker = weakest(published, configured, wanted);
    return sameSet(published, weaker) ? { kind: "configure", set: wanted } : { kind: "publish", set: weaker };
  }
  return sameSet(published, wanted) ? { kind: "done" } : { kind: "publish", set: wanted };
}

export function sameSet(a: QuorumSet, b: QuorumSet): boolean {
  return (
    a.acknowledgements === b.acknowledgements &&
    a.standbys.length === b.standbys.length &&
    a.standbys.every((copy) => has(b, copy))
  );
}

/** A set that every one of `sets` is at least as strong as. */
function weakest(...sets: readonly QuorumSet[]): QuorumSet {
  const acknowledgements = Math.min(...sets.map((set) => set.acknowledgements));
  if (acknowledgements === 0) return { acknowledgements: 0, standbys: [] };
  const standbys: CopyRef[] = [];
  for (const set of sets)
    for (const copy of set.standbys)
      if (!standbys.some((known) => known.member === copy.member && known.incarnation === copy.incarnation))
        standbys.push(copy);
  return { acknowledgements, standbys };
}

function has(set: QuorumSet, copy: CopyRef): boolean {
  return set.standbys.some((known) => known.member === copy.member && known.incarnation === copy.incarnation);
}
