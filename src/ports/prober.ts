/** What we ask of a vantage point: one probe, one sample. */

import type { SpanMs } from "../core/model/time.ts";
import type { JourneyStep } from "../core/model/topology.ts";

export interface Sample {
  readonly ok: boolean;
  /** From sending to the end of the answer, or to giving up. */
  readonly tookMs: SpanMs;
  /** What went wrong, for people; empty when nothing did. */
  readonly problem: string;
}

export interface Prober {
  /** GET `url`; ok: status 200 to 299 in time. */
  http(url: string, timeoutMs: SpanMs): Promise<Sample>;
  /** All steps in order through the edge at `base`. */
  journey(base: string, steps: readonly JourneyStep[], timeoutMs: SpanMs): Promise<Sample>;
  close(): Promise<void>;
}
