/** `node src/edge/main.ts --config FILE.json`: one edge. Prints its addresses, ends in order at SIGTERM. */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { keepNames, namesFile } from "../adapters/system/names.ts";
import { setUpCollector } from "./collector.ts";
import { readConfig } from "./config.ts";
import { ConfigError } from "./config-error.ts";
import { type RunningEdge, startEdge } from "./edge.ts";
import { ListenError } from "./listen.ts";

async function start(): Promise<RunningEdge> {
  const { values } = parseArgs({ options: { config: { type: "string" } } });
  if (values.config === undefined) throw new ConfigError("say which configuration: --config FILE.json");
  const config = readConfig(values.config);
  keepNames(join(config.stateDir, namesFile), config.names);
  return startEdge(config);
}

setUpCollector();
try {
  const edge = await start();
  const { http, https, admin, tcp, gates } = edge;
  let ending = false;
  const end = (): void => {
    if (ending) return;
    ending = true;
    edge.close().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(`the edge did not end in order: ${String(error)}`);
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", end).on("SIGINT", end);
  // Whoever started it may die and take the pipe along: the edge goes on (R4).
  process.stdout.on("error", () => undefined);
  process.stderr.on("error", () => undefined);
  process.on("SIGHUP", () => void edge.reload());
  // Last: whoever reads it may send a signal at once.
  console.log(JSON.stringify({ event: "edge-started", pid: process.pid, http, https, admin, tcp, gates }));
} catch (error) {
  if (!(error instanceof ConfigError || error instanceof ListenError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exit(1);
}
