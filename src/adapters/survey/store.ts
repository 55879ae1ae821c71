/** How long a control store takes to answer: linearizable reads, and commits to a scratch key that is removed again. */
import { setTimeout as pause } from "node:timers/promises";
import type { Revision } from "../../core/model/id.ts";
import type { SpanMs } from "../../core/model/time.ts";
import type { Store } from "../../ports/store.ts";

export interface Timings {
  readonly ms: readonly SpanMs[];
  /** Calls without an answer in time. */
  readonly failed: number;
  /** Why the last of them failed; empty: none did. */
  readonly because: string;
}

export interface Span {
  readonly forMs: SpanMs;
  readonly everyMs: SpanMs;
  /** Of one call. */
  readonly timeoutMs: SpanMs;
}

/** Agents know no such room, and leave it alone. */
const scratch = (id: string) => `doctor/${id}`;

export async function timeReads(store: Store, id: string, span: Span): Promise<Timings> {
  return await timeCalls(span, async (signal) => void (await store.get(scratch(id), signal)));
}

/** The scratch key is gone afterwards, or lies below `doctor/` when the store was lost meanwhile. */
export async function timeCommits(store: Store, id: string, span: Span): Promise<Timings> {
  const key = scratch(id);
  let revision: Revision = 0;
  let count = 0;
  try {
    return await timeCalls(span, async (signal) => {
      count += 1;
      const outcome = await store.compareAndSwap(key, revision, JSON.stringify({ count }), signal);
      if (outcome.kind === "succeeded") revision = outcome.revision;
      else if (outcome.kind === "conflict") {
        // An earlier try of ours whose outcome was unknown.
        revision = outcome.current?.revision ?? 0;
        throw new Error("an earlier write without an answer came to stand");
      } else throw new Error(outcome.because);
    });
  } finally {
    const left = await store.get(key, AbortSignal.timeout(span.timeoutMs)).catch(() => null);
    if (left) await store.compareAndSwap(key, left.revision, null, AbortSignal.timeout(span.timeoutMs));
  }
}

async function timeCalls(
  { forMs, everyMs, timeoutMs }: Span,
  call: (signal: AbortSignal) => Promise<void>,
): Promise<Timings> {
  const ms: SpanMs[] = [];
  let failed = 0;
  let because = "";
  const until = performance.now() + forMs;
  do {
    const at = performance.now();
    try {
      await call(AbortSignal.timeout(timeoutMs));
      ms.push(performance.now() - at);
    } catch (error) {
      failed += 1;
      because = (error as Error).message;
    }
    await pause(Math.max(0, everyMs - (performance.now() - at)));
  } while (performance.now() < until);
  return { ms, failed, because };
}
