/** Latency of one proxy under requests at a constant rate, which wait for no answer. */
import { get, runLoad } from "../parts/open-loop.ts";
import { quantile } from "../parts/quantile.ts";

/** The load and the origin share the second core, as with wrk. */
const loadCore = "1";
/** Connections are opened and code is warmed up in it. */
const warmUpMs = 500;

export interface ConstantRate {
  /** From when they were due. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** From when they left the client. */
  readonly p99FromSentMs: number;
  readonly failed: number;
}

export async function measureConstantRate(
  url: string,
  perSecond: number,
  seconds: number,
): Promise<ConstantRate> {
  const { hostname, port } = new URL(url);
  const streams = [{ request: get("/"), perSecond }];
  const order = { host: hostname, port: Number(port), streams, forMs: warmUpMs + seconds * 1000 };
  const result = await runLoad({ ...order, timeoutMs: 2000 }, loadCore);
  const took: number[] = [];
  const fromSent: number[] = [];
  let failed = 0;
  for (let at = 0; at < result.count; at++) {
    const dueMs = result.dueMs[at] as number;
    if (dueMs < warmUpMs) continue;
    const tookMs = result.tookMs[at] as number;
    if (result.status[at] !== 200) failed++;
    took.push(tookMs);
    fromSent.push(
      tookMs === Number.POSITIVE_INFINITY ? tookMs : tookMs - ((result.sentMs[at] as number) - dueMs),
    );
  }
  took.sort((a, b) => a - b);
  fromSent.sort((a, b) => a - b);
  return {
    p50Ms: quantile(took, 0.5),
    p99Ms: quantile(took, 0.99),
    p99FromSentMs: quantile(fromSent, 0.99),
    failed,
  };
}
