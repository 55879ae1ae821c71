/** Asserts what cannot happen: a failed invariant is a bug, the agent stops, its lease ends, another takes over. */

export class InvariantViolation extends Error {
  override readonly name = "InvariantViolation";
}

export function invariant(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new InvariantViolation(otherwise);
}
