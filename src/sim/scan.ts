/**
 * Every first fault, every second fault, every moment after it, every length: bounded and exhaustive, around one failover.
 *
 * Chance needs minutes for some pairs of which this needs only to count.
 */
import type { Fault, FaultKind } from "./fault.ts";
import { millis, seconds } from "./kernel.ts";
import { isFair, type Plan } from "./plan.ts";
import { plainShape } from "./shapes.ts";
import { nothingAblated } from "./world.ts";

const first: readonly FaultKind[] = [
  "kill-region",
  "pause-region",
  "isolate",
  "kill-postgres",
  "pause-agent",
  "pause-postgres",
  "crash-agent",
  "switchover",
];
const second: readonly FaultKind[] = [
  "kill-region",
  "pause-region",
  "isolate",
  "kill-postgres",
  "crash-agent",
  "pause-agent",
  "store-down",
  "store-leader",
  "store-loses-replies",
  "cut-one-way",
  "disk-hung",
];
/** After the first: before the freeze, at it, before the claim, while it is promoted, when it has begun to write. */
const momentsMs = [30, 700, 1350, 1560, 1700, 1850, 2200, 3500];
const lengthsMs = [60, 1200, 6000];
/** Where the second one strikes: in the first one's region, or in another one. */
const places = [0, 1];

export const scanSize = first.length * second.length * momentsMs.length * lengthsMs.length * places.length;

/** The plan of number `index`, 0 <= index < `scanSize`. */
export function scanPlan(index: number): Plan {
  let rest = index;
  const take = <T>(list: readonly T[]): T => {
    const value = list[rest % list.length] as T;
    rest = Math.floor(rest / list.length);
    return value;
  };
  const kind = take(first);
  const next = take(second);
  const afterMs = take(momentsMs);
  const lengthMs = take(lengthsMs);
  const place = take(places);
  const at = seconds(10);
  const faults: Fault[] = [
    { kind, at, a: kind === "switchover" ? 1 : 0, b: 1, lasts: seconds(8), size: 0 },
    {
      kind: next,
      at: at + millis(afterMs),
      a: place,
      b: place === 0 ? 1 : 2,
      lasts: millis(lengthMs),
      size: 0.5,
    },
  ];
  return {
    world: {
      seed: 1_000_000 + index,
      shape: { ...plainShape, profile: "fast" },
      store: index % 2 === 0 ? "etcd" : "embedded",
      clients: 4,
      thinkMs: 50,
      ablation: nothingAblated,
      tellStory: false,
      drift: 0,
    },
    faults: faults.filter((fault) => isFair(fault.kind, nothingAblated, 1)),
    healAt: at + seconds(12),
    broken: null,
    resumesWithin: null,
    changesMax: null,
  };
}
