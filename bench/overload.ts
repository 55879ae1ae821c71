/**
 * `npm run bench:overload`: what an edge keeps alive when three times as much is asked of a service as it can do.
 *
 * A real service behind a real edge, under a client whose requests do not wait for answers (some 100 s in all):
 * - its capacity is measured first, directly;
 * - three times that, of three classes, through our edge; then the same through the same edge with its limits off;
 * - two regions, one and a half times the capacity of one, and the first region killed, or frozen, under it.
 *
 * Exits 1 when a target is missed.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { measureBusyRatio } from "./edge-parts/wrk.ts";
import { loseRegion, type RegionLoss } from "./overload-parts/loss.ts";
import { type ClassOutcome, measureCapacity, overload } from "./overload-parts/shed.ts";
import { benchFlags, numberFlag } from "./parts/flags.ts";
import { writeResults } from "./parts/results.ts";

const values = benchFlags(import.meta.url, {
  seconds: { type: "string", default: "20" },
  json: { type: "string" },
});
const forMs = numberFlag("seconds", values.seconds) * 1000;
const targets = { criticalShare: 0.999, goodputShare: 0.9, offeredRatio: 1.2 };

let missed = false;
function verdict(met: boolean): string {
  if (met) return "met";
  missed = true;
  return "MISSED";
}

const busyRatio = await measureBusyRatio();
const folder = mkdtempSync(join(tmpdir(), "holdfast-overload-"));
try {
  const capacity = await measureCapacity();
  console.log(`capacity of the service: ${capacity.toFixed(0)} requests a second`);
  const shedding = await overload({ folder: join(folder, "limits"), capacity, forMs, limits: true });
  print("three times the capacity, through the edge", shedding.classes);
  const without = await overload({ folder: join(folder, "off"), capacity, forMs, limits: false });
  print("the same with the edge's limits off", without.classes);
  const critical = shedding.classes.find(({ name }) => name === "critical");
  const criticalShare = critical?.inTimeShare ?? 0;
  const goodputShare = shedding.goodput / capacity;
  console.log(
    `critical requests answered within ${critical?.targetMs} ms: ${(criticalShare * 100).toFixed(2)} % (target 99.9 %) ${verdict(targets.criticalShare <= criticalShare)}`,
  );
  console.log(
    `goodput: ${(goodputShare * 100).toFixed(0)} % of capacity (target 90 %) ${verdict(targets.goodputShare <= goodputShare)}; limits off: ${((without.goodput / capacity) * 100).toFixed(0)} %`,
  );
  const losses: RegionLoss[] = [];
  for (const how of ["kill", "freeze"] as const) {
    const loss = await loseRegion({ folder: join(folder, how), capacity, how });
    losses.push(loss);
    console.log(
      `one of two regions lost (${how}) at ${loss.offeredPerSecond.toFixed(0)} requests a second: tries / requests ${loss.ratioMost.toFixed(2)} in the worst second (target ${targets.offeredRatio}) ${verdict(loss.ratioMost <= targets.offeredRatio)}; the other region had ${loss.underMost} under way at most, its limit was ${loss.limitThen} ${verdict(loss.overLimit === 0)}; ${(loss.answeredShare * 100).toFixed(1)} % of what it can do was answered from the third second on`,
    );
  }
  console.log(
    `other processes took ${(busyRatio * 100).toFixed(0)} % of the machine before it began: above 5 % the figures prove little`,
  );
  writeResults(values.json, { busyRatio, targets, capacity, shedding, without, losses });
  if (missed) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function print(title: string, classes: readonly ClassOutcome[]): void {
  console.log(`\n${title}`);
  console.table(
    classes.map(({ name, perSecond, inTimeShare, ...rest }) => ({
      class: name,
      "a second": Math.round(perSecond),
      "in time %": Number((inTimeShare * 100).toFixed(2)),
      ...Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, Number(value.toFixed(1))])),
    })),
  );
}
