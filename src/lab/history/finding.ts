/** What a check may find, and what it says of a whole history. */
import { describe, type Operation } from "./operation.ts";

export type FindingKind =
  /** Acknowledged, and not there in the end. */
  | "lost-write"
  /** Asked for once, there twice. */
  | "doubled-write"
  /** A read at the primary that misses what was acknowledged before it was sent; later ones have it. */
  | "stale-read"
  /** A read of what nobody has written. */
  | "never-written"
  /** A read of what was refused: it was to have no effect. */
  | "failed-write-read"
  /** Two reads that no single list can have had. */
  | "split-order"
  /** No order of the operations explains all answers; none of the simpler kinds says why. */
  | "not-linearizable"
  /** A snapshot of a bank whose sum is not the one that it began with. */
  | "sum-changed"
  | "overdrawn"
  /** An acknowledgement of a lower epoch after a higher one had been seen, by the same client or another. */
  | "epoch-went-down"
  /** Two members acknowledged in one epoch. */
  | "epoch-shared"
  /** Two members acknowledged at the same time. */
  | "overlap";

export interface Finding {
  readonly kind: FindingKind;
  /** Of the object; empty: of the whole history. */
  readonly key: string;
  readonly because: string;
  /** Numbers of the operations that contradict one another, in the order of sending. */
  readonly witness: readonly number[];
}

/** `unknown`: the search reached its bound, or there was nothing to judge. It is no success. */
export type Verdict = "valid" | "invalid" | "unknown";

export interface Checked {
  readonly verdict: Verdict;
  readonly findings: readonly Finding[];
  /** Why it is unknown; empty: it is not. */
  readonly because: string;
  readonly steps: number;
}

export function finding(
  kind: FindingKind,
  key: string,
  what: string,
  witness: readonly Operation[],
): Finding {
  const inOrder = [...witness].sort((a, b) => a.sentAt - b.sentAt || a.number - b.number);
  const shown = inOrder.slice(0, shownMax).map(describe);
  if (inOrder.length > shownMax) shown.push(`and ${inOrder.length - shownMax} more`);
  return {
    kind,
    key,
    because: [what, ...shown].join("\n  "),
    witness: inOrder.map(({ number }) => number),
  };
}

/** More are a log, no witness. */
const shownMax = 12;

export function found(findings: readonly Finding[], steps = 0): Checked {
  return { verdict: findings.length === 0 ? "valid" : "invalid", findings, because: "", steps };
}
