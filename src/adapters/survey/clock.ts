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
const failuresMax = 2;

/** A slow link, or a starved host, may need a second change. */
const atLeastMs = 1200;
const atMostMs = 3000;

/** Asks `url` (an agent's `/livez`, which needs no token) for a little over a second, or until a change was seen. */
export async function sightAgent(url: string, timeoutMs: SpanMs): Promise<AgentSight> {
  const ms: SpanMs[] = [];
  let before: { readonly second: number; readonly at: number } | null = null;
  let clock: ClockSight | null = null;
  let failures = 0;
  const startedAt = performance.now();
  const elapsedMs = () => performance.now() - startedAt;
  while (elapsedMs() < atLeastMs || (clock === null && elapsedMs() < atMostMs)) {
    const sentAt = performance.now();
    let second: number;
    try {
      const answer = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
      await answer.arrayBuffer();
      if (!answer.ok) return { ms, because: `it answers ${answer.status}`, clock: null };
      second = Date.parse(answer.headers.get("date") ?? "");
    } catch (error) {
      // The first call also loads the client, which on a starved host takes longer than an agent may.
      failures += 1;
      if (failures < failuresMax) continue;
      const cause = (error as Error).cause;
      return { ms, because: (cause instanceof Error ? cause : (error as Error)).message, clock: null };
    }
    const now = performance.now();
    ms.push(now - sentAt);
    if (before !== null && before.second < second) {
      const found = sightOf(second, before.at, now);
      if (clock === null || found.errorMs < clock.errorMs) clock = found;
    }
    if (!Number.isNaN(second)) before = { second, at: sentAt };
    await pause(everyMs);
  }
  return { ms, because: ms.length === 0 ? "it takes too long" : "", clock };
}

/** The second began between `after` and `by`, by our monotonic clock. */
function sightOf(second: number, after: number, by: number): ClockSight {
  const at = (after + by) / 2;
  const ours = Date.now() - (performance.now() - at);
  return { offsetMs: second - ours, errorMs: (by - after) / 2, at, againstMonotonicMs: second - at };
}
