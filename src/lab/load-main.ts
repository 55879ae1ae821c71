/** The load as a process of its own: `node load-main.ts --config FILE`, orders by stdin, statistics by stdout, line by line. */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import type { LoadOrder, LoadReport, LoadRunConfig } from "./load.ts";
import { LoadGenerator } from "./load-generator.ts";

const statsEveryMs = 100;

const { values } = parseArgs({ options: { config: { type: "string" } } });
if (values.config === undefined) {
  console.error("which load? node load-main.ts --config FILE (JSON, as LoadRunConfig in load.ts)");
  process.exit(2);
}
const config = JSON.parse(readFileSync(values.config, "utf8")) as LoadRunConfig;

// Whoever listened may be gone; the record is written all the same.
process.stdout.on("error", () => {});
const generator = new LoadGenerator(config);
const statistics = setInterval(() => say(generator.takeStats()), statsEveryMs);
const stopped = Promise.withResolvers<void>();
// Without a parent there is nobody to load for: the end of stdin is an order to stop.
createInterface(process.stdin)
  .on("line", (line) => obey(JSON.parse(line) as LoadOrder))
  .on("close", () => stopped.resolve());
// Ctrl-C reaches the whole group: what to do then is our parent's decision.
process.on("SIGINT", () => {});
process.once("SIGTERM", () => stopped.resolve());

await stopped.promise;
const { requests, problems } = await generator.finish(config.recordFile);
clearInterval(statistics);
say(generator.takeStats());
say({ kind: "finished", recordFile: config.recordFile, requests, problems });
process.stdin.destroy();

function obey(order: LoadOrder): void {
  switch (order.kind) {
    case "stop":
      stopped.resolve();
      break;
    case "rates":
      generator.setRates(order);
      break;
    default:
      order satisfies never;
  }
}

function say(report: LoadReport): void {
  process.stdout.write(`${JSON.stringify(report)}\n`);
}
