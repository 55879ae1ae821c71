/** Three classes of requests, three times as many as the service can do, with the edge's limits and without. */
import { setTimeout as pause } from "node:timers/promises";
import { benchTable, startEdge } from "../parts/edge.ts";
import { get, type LoadResult, runLoad } from "../parts/open-loop.ts";
import { quantile } from "../parts/quantile.ts";
import { startService } from "./service.ts";

/** Of the capacity. What is not sheddable fits, as it must: nothing can be kept alive that alone is too much. */
const mix = [
  { name: "critical", share: 0.4, targetMs: 250 },
  { name: "standard", share: 0.4, targetMs: 1000 },
  { name: "sheddable", share: 2.2, targetMs: 1000 },
] as const;
/** When the client gives up. */
const timeoutMs = 1000;
/** Not counted: the first seconds belong to the compiler, and to the queue that builds up without limits. */
const warmUpMs = 3000;

export const classes = mix.map(({ name }) => ({
  name,
  priority: name,
  header: { name: "x-class", value: name },
}));

export interface ClassOutcome {
  readonly name: string;
  readonly perSecond: number;
  readonly targetMs: number;
  /** Answered well within the target, as a share of all. */
  readonly inTimeShare: number;
  readonly refused: number;
  readonly late: number;
  readonly unanswered: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Overload {
  readonly classes: readonly ClassOutcome[];
  /** Answers in time, a second. */
  readonly goodput: number;
}

/** What it finishes a second with more asked of it than it can do, directly. */
export async function measureCapacity(): Promise<number> {
  const service = await startService();
  try {
    const load = runLoad({
      host: "127.0.0.1",
      port: service.port,
      streams: [{ request: get("/"), perSecond: 1000 }],
      forMs: 6000,
      timeoutMs: 5000,
    });
    await pause(2000);
    const before = await service.counts();
    const began = performance.now();
    await pause(3000);
    const after = await service.counts();
    const tookS = (performance.now() - began) / 1000;
    await load;
    return (after.finished - before.finished) / tookS;
  } finally {
    await service.stop();
  }
}

export async function overload(order: {
  readonly folder: string;
  readonly capacity: number;
  readonly forMs: number;
  readonly limits: boolean;
}): Promise<Overload> {
  const off = { concurrency: { least: 1_000_000, most: 1_000_000 } };
  const service = await startService();
  const edge = await startEdge(order.folder, order.limits ? {} : { config: off });
  try {
    const { port } = service;
    await edge.apply(
      benchTable({
        west: port,
        healthPath: "/healthz",
        classes,
        rules: { holdMaxMs: 2000, tryTimeoutMs: 2000 },
      }),
    );
    const to = { host: "127.0.0.1", port: edge.httpPort, timeoutMs };
    // As on any day before: half of what it can do.
    await runLoad({
      ...to,
      forMs: warmUpMs,
      streams: [{ request: get("/"), perSecond: order.capacity / 2 }],
    });
    const streams = mix.map(({ name, share }) => ({
      request: get("/", `x-class: ${name}`),
      perSecond: share * order.capacity,
    }));
    const result = await runLoad({ ...to, forMs: warmUpMs + order.forMs, streams });
    const found = mix.map((_each, stream) => outcomeOf(stream, result, order));
    const goodput = found.reduce((sum, { perSecond, inTimeShare }) => sum + perSecond * inTimeShare, 0);
    return { classes: found, goodput };
  } finally {
    await edge.stop();
    await service.stop();
  }
}

function outcomeOf(stream: number, result: LoadResult, { forMs }: { readonly forMs: number }): ClassOutcome {
  const { name, targetMs } = mix[stream] as (typeof mix)[number];
  const took: number[] = [];
  let all = 0;
  let refused = 0;
  let unanswered = 0;
  for (let at = 0; at < result.count; at++) {
    if (result.stream[at] !== stream || (result.dueMs[at] as number) < warmUpMs) continue;
    all++;
    const status = result.status[at];
    if (status === 200) took.push(result.tookMs[at] as number);
    else if (status === 0) unanswered++;
    else refused++;
  }
  took.sort((a, b) => a - b);
  const inTime = took.filter((ms) => ms <= targetMs).length;
  return {
    name,
    perSecond: (all / forMs) * 1000,
    targetMs,
    inTimeShare: inTime / all,
    refused,
    late: took.length - inTime,
    unanswered,
    p50Ms: quantile(took, 0.5),
    p99Ms: quantile(took, 0.99),
  };
}
