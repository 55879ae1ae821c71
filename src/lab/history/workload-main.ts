/** `node workload-main.ts --config FILE`: runs until its time is over or its stdin ends, then prints what it could not see. */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { runWorkload } from "./workload.ts";
import type { WorkloadConfig } from "./workload-process.ts";

const { values } = parseArgs({ options: { config: { type: "string" } } });
if (values.config === undefined) {
  console.error("which workload? node workload-main.ts --config FILE (JSON, as WorkloadConfig)");
  process.exit(2);
}
const config = JSON.parse(readFileSync(values.config, "utf8")) as WorkloadConfig;
const stopping = new AbortController();
process.stdin.on("end", () => stopping.abort()).resume();
// Ctrl-C reaches the whole group: what to do then is our parent's decision.
process.on("SIGINT", () => {});
process.once("SIGTERM", () => stopping.abort());

const { problems } = await runWorkload({ ...config, signal: stopping.signal });
process.stdout.write(`${JSON.stringify({ problems })}\n`);
process.stdin.destroy();
