/**
 * How another host's clock stands to ours, as the `Date` of its agent's answers tells it.
 *
 * It tells whole seconds only. So it is asked until the second changes: the change happened between two answers, and the
 * middle between them is off by half of their distance at most.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { SpanMs } from "../../core/model/time.ts";

export interface ClockSight {
  /** Theirs minus ours. */
  readonly offsetMs: SpanMs;
  readonly errorMs: SpanMs;
  /** On our monotonic clock. */
  readonly at: number;
  /** Theirs minus our monotonic clock, at that instant: of two sights, the difference is drift. */
  readonly againstMonotonicMs: number;
}

export interface AgentSight {
  /** Round trips. */
  readonly ms: readonly SpanMs[];
  /** Why there was no answer; empty: there was. */
  readonly because: string;
  readonly clock: ClockSight | null;
}

const everyMs = 10;

/** Asks `url` (an agent's `/livez`, which needs no token) for a little over a second. */
export async function sightAgent(url: string, timeoutMs: SpanMs): Promise<AgentSight> {
  const ms: SpanMs[] = [];
  let before: { readonly second: number; readonly at: number } | null = null;
  let clock: ClockSight | null = null;
  const until = performance.now() + 1200;
  while (performance.now() < until) {
    const sentAt = performance.now();
    let second: number;
    try {
      const answer = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
      await answer.arrayBuffer();
      if (!answer.ok) return { ms, because: `it answers ${answer.status}`, clock: null };
      second = Date.parse(answer.headers.get("date") ?? "");
    } catch (error) {
      const cause = (error as Error).cause;
      return { ms, because: (cause instanceof Error ? cause : (error as Error)).message, clock: null };
    }
    const now = performance.now();
    ms.push(now - sentAt);
    if (before !== null && second === before.second + 1000) {
      const found = sightOf(second, before.at, now);
      if (clock === null || found.errorMs < clock.errorMs) clock = found;
    }
    if (!Number.isNaN(second)) before = { second, at: sentAt };
    await pause(everyMs);
  }
  return { ms, because: "", clock };
}

/** The second began between `after` and `by`, by our monotonic clock. */
function sightOf(second: number, after: number, by: number): ClockSight {
  const at = (after + by) / 2;
  const ours = Date.now() - (performance.now() - at);
  return { offsetMs: second - ours, errorMs: (by - after) / 2, at, againstMonotonicMs: second - at };
}
