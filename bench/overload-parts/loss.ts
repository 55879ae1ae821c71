/** Two regions, more load than either can do alone, and the loss of the first under it. */
import { setTimeout as pause } from "node:timers/promises";
import { benchTable, startEdge } from "../parts/edge.ts";
import { get, type LoadResult, runLoad } from "../parts/open-loop.ts";
import { startService } from "./service.ts";
import { classes } from "./shed.ts";

const lostAtMs = 6000;
const forMs = 16_000;
const lookEveryMs = 50;
/** What was let in before the limit went down is under way for a moment longer. */
const limitHoldsMs = 500;

export interface RegionLoss {
  readonly how: "kill" | "freeze";
  readonly offeredPerSecond: number;
  /** Tries of the edge to requests of clients, in the second in which it was highest. */
  readonly ratioMost: number;
  /** Of each second. */
  readonly ratios: readonly number[];
  /** Under way at the region that is left, as it counted itself; and the edge's limit at that moment. */
  readonly underMost: number;
  readonly limitThen: number;
  /** Looks in which it had more under way than the limit. */
  readonly overLimit: number;
  /** Answered well a second, of what one region can do, from the third second after the loss on. */
  readonly answeredShare: number;
}

export async function loseRegion(order: {
  readonly folder: string;
  readonly capacity: number;
  readonly how: "kill" | "freeze";
}): Promise<RegionLoss> {
  const west = await startService();
  const central = await startService();
  const edge = await startEdge(order.folder);
  try {
    await edge.apply(
      benchTable({
        west: west.port,
        central: central.port,
        healthPath: "/healthz",
        classes,
        rules: { holdMaxMs: 1000, tryTimeoutMs: 500 },
      }),
    );
    const offeredPerSecond = 1.5 * order.capacity;
    const load = runLoad({
      host: "127.0.0.1",
      port: edge.httpPort,
      // Of all classes, less critical ones than one region can do.
      streams: [
        { request: get("/", "x-class: critical"), perSecond: offeredPerSecond * 0.3 },
        { request: get("/", "x-class: standard"), perSecond: offeredPerSecond * 0.2 },
        { request: get("/", "x-class: sheddable"), perSecond: offeredPerSecond * 0.5 },
      ],
      forMs,
      timeoutMs: 2000,
    });
    await pause(lostAtMs);
    west.signal(order.how === "kill" ? "SIGKILL" : "SIGSTOP");
    let underMost = 0;
    let limitThen = 0;
    let overLimit = 0;
    const limitOf = async () =>
      (await edge.state()).upstreams.find(({ region }) => region === "central")?.limit ?? 0;
    const limits: { readonly at: number; readonly limit: number }[] = [];
    await central.counts();
    for (let until = performance.now() + forMs - lostAtMs; performance.now() < until; ) {
      await pause(lookEveryMs);
      const now = performance.now();
      limits.push({ at: now, limit: await limitOf() });
      const counts = await central.counts();
      limits.push({ at: now, limit: await limitOf() });
      const highest = Math.max(
        ...limits.filter(({ at }) => now - limitHoldsMs <= at).map(({ limit }) => limit),
      );
      // Between two looks it may have grown and shrunk by a step or two (`core/traffic/concurrency`).
      const allowed = highest + Math.ceil(0.4 * Math.sqrt(highest));
      if (allowed < counts.underMost) overLimit++;
      if (underMost < counts.underMost) [underMost, limitThen] = [counts.underMost, highest];
    }
    const result = await load;
    const all = ratios(result);
    return {
      how: order.how,
      offeredPerSecond,
      ratioMost: Math.max(...all),
      ratios: all,
      underMost,
      limitThen,
      overLimit,
      answeredShare: answeredAfter(result, lostAtMs + 3000) / order.capacity,
    };
  } finally {
    await edge.stop();
    await west.stop();
    await central.stop();
  }
}

/** By the second in which requests were due. What got no answer says no tries: it counts with the most that any made. */
function ratios(result: LoadResult): readonly number[] {
  const triesMost = result.tries.reduce((most, each) => Math.max(most, each), 1);
  const tries = new Float64Array(forMs / 1000);
  const requests = new Float64Array(forMs / 1000);
  for (let at = 0; at < result.count; at++) {
    const second = Math.floor((result.dueMs[at] as number) / 1000);
    requests[second] = (requests[second] as number) + 1;
    tries[second] =
      (tries[second] as number) + (result.status[at] === 0 ? triesMost : (result.tries[at] as number));
  }
  return [...tries].map((sum, second) => sum / (requests[second] as number));
}

function answeredAfter(result: LoadResult, fromMs: number): number {
  let answered = 0;
  for (let at = 0; at < result.count; at++)
    if (fromMs <= (result.dueMs[at] as number) && result.status[at] === 200) answered++;
  return (answered / (forMs - fromMs)) * 1000;
}
