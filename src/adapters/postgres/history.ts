/** Timeline histories: which timeline wrote which stretch of a member's WAL, and where two members' part. */
import { type Lsn, parseLsn } from "../../core/model/lsn.ts";

/** WAL from `begin` up to, not including, `end` was written on `timeline`. */
export interface Stretch {
  readonly timeline: number;
  readonly begin: Lsn;
  readonly end: Lsn;
}

/** `text`: a history file, lines of parent timeline, switch point, reason; empty for timeline 1. Oldest first. */
export function parseHistory(timeline: number, text: string): readonly Stretch[] {
  const stretches: Stretch[] = [];
  let begin: Lsn = 0;
  for (const line of text.split("\n")) {
    const match = /^\s*(\d+)\s+([0-9A-Fa-f]+\/[0-9A-Fa-f]+)/.exec(line);
    if (!match) continue;
    const end = parseLsn(match[2] as string);
    stretches.push({ timeline: Number(match[1]), begin, end });
    begin = end;
  }
  return [...stretches, { timeline, begin, end: Number.POSITIVE_INFINITY }];
}

/** The history of a member whose WAL ends at `end`: a timeline that it has heard of but written nothing of is not in it. */
export function cutHistory(history: readonly Stretch[], end: Lsn): readonly Stretch[] {
  return history
    .filter((each, index) => index === 0 || each.begin < end)
    .map((each) => ({ ...each, end: Math.min(each.end, end) }));
}

export interface Comparison {
  /** Last timeline that both have written on, as far as numbers tell; null: none. */
  readonly common: Stretch | null;
  /** Where the histories part; null: `own` is a part of `upstream`'s. */
  readonly forkedAt: Lsn | null;
}

/** `own` ends where its WAL ends; so does `upstream`. */
export function compareHistories(own: readonly Stretch[], upstream: readonly Stretch[]): Comparison {
  let common: Stretch | null = null;
  for (const [index, mine] of own.entries()) {
    const theirs = upstream[index];
    if (theirs === undefined || theirs.timeline !== mine.timeline || theirs.begin !== mine.begin)
      return { common, forkedAt: Math.min(mine.begin, theirs?.begin ?? mine.begin) };
    common = { ...mine, end: Math.min(mine.end, theirs.end) };
    if (theirs.end < mine.end) return { common, forkedAt: theirs.end };
    // Mine goes on elsewhere while theirs stays on this timeline beyond my switch.
    if (mine.end < theirs.end && index + 1 < own.length) return { common, forkedAt: mine.end };
  }
  return { common, forkedAt: null };
}
