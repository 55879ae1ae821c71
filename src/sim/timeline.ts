/** What a member's data is: a place in a tree of histories, each written by one primary, and how far it has got. */

/** Written by one primary in one life as such. `forkedAt`: where it left its parent. */
export interface Timeline {
  /** Unique in the world; PostgreSQL's own number is `number`, and two of these may share it. */
  readonly id: number;
  readonly number: number;
  readonly parent: Timeline | null;
  readonly forkedAt: number;
  /** Member that wrote it, and in which epoch. */
  readonly member: string;
  readonly epoch: number;
  /** Highest position of it that was acknowledged to a client; -1: none. */
  acknowledged: number;
  /** (position, instant in microseconds) of its acknowledged writes, newest last, bounded: for RPO. */
  readonly recent: [number, number][];
}

/** Whether a copy that is at `position` of `own` holds what was written at `at` of `other`. */
export function holds(own: Timeline, position: number, other: Timeline, at: number): boolean {
  let limit = position;
  for (let line: Timeline | null = own; line !== null; line = line.parent) {
    if (line === other) return at <= limit;
    limit = Math.min(limit, line.forkedAt);
  }
  return false;
}

/**
 * The line of `timeline` on which a copy at `position` is: one that it has heard of and has nothing of is not its own. That
 * files of such lines are removed before anything is made of them is shown with PostgreSQL itself, in the tests of its adapter.
 */
export function lineAt(timeline: Timeline, position: number): Timeline {
  let line = timeline;
  while (line.parent !== null && position <= line.forkedAt) line = line.parent;
  return line;
}

/** Whether a copy at `position` of `own` may go on by receiving what `other` has up to `end`: nothing of its own is beyond the fork. */
export function canFollow(own: Timeline, position: number, other: Timeline, end: number): boolean {
  let limit = end;
  for (let line: Timeline | null = other; line !== null; line = line.parent) {
    if (line === own) return position <= limit;
    limit = Math.min(limit, line.forkedAt);
  }
  return false;
}
