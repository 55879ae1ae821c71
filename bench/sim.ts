/**
 * `npm run bench:sim`: how much a second of one core simulates: 3 regions, 3 members, 2 edges, 20 clients, `balanced`, with
 * a failover every ten simulated minutes. By CPU time, so that a busy machine tells the same as an idle one.
 *
 *     npm run bench:sim -- --hours 10 --json FILE
 */
import type { Fault } from "../src/sim/fault.ts";
import { seconds } from "../src/sim/kernel.ts";
import { run } from "../src/sim/run.ts";
import { plainShape } from "../src/sim/shapes.ts";
import { nothingAblated } from "../src/sim/world.ts";
import { benchFlags, numberFlag } from "./parts/flags.ts";
import { writeResults } from "./parts/results.ts";

const floor = { hours: 2, events: 1_000_000 };
const values = benchFlags(import.meta.url, {
  hours: { type: "string", default: "10" },
  json: { type: "string" },
});
const hours = numberFlag("hours", values.hours);

function measure(span: number): { readonly hoursPerS: number; readonly eventsPerS: number } {
  const faults: Fault[] = [];
  for (let at = seconds(300); at < span - seconds(200); at += seconds(600))
    faults.push({ kind: "kill-region", at, a: -1, b: 0, lasts: seconds(60), size: 0 });
  const before = process.cpuUsage();
  const {
    acts,
    span: ran,
    violation,
  } = run({
    world: {
      seed: 1,
      shape: plainShape,
      store: "embedded",
      clients: 20,
      thinkMs: 1500,
      ablation: nothingAblated,
      tellStory: false,
      drift: 0.001,
    },
    faults,
    healAt: span,
    broken: null,
    resumesWithin: null,
    changesMax: null,
  });
  if (violation) throw new Error(`${violation.invariant}: ${violation.text}`);
  const { user, system } = process.cpuUsage(before);
  const tookS = (user + system) / 1e6;
  return { hoursPerS: ran / 3.6e9 / tookS, eventsPerS: acts / tookS };
}

measure(seconds(600));
const { hoursPerS, eventsPerS } = measure(seconds(3600 * hours));
process.stdout.write(
  `${hours} simulated hours: ${hoursPerS.toFixed(2)} hours (at least ${floor.hours}) and ${(eventsPerS / 1e6).toFixed(2)} million events (at least ${floor.events / 1e6}) a second of one core\n`,
);
writeResults(values.json, { hours, hoursPerS, eventsPerS });
process.exitCode = hoursPerS >= floor.hours && eventsPerS >= floor.events ? 0 : 1;
