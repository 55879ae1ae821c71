/**
 * One of several processes that serve people: started by the first process of an edge (`workers.ts`), which tells it
 * everything. It keeps nothing on disk, verifies nothing that the first has judged, and has no gate.
 *
 * When the channel to the first breaks, `node:cluster` ends it at once: nobody could give it a table any more.
 */
import { join } from "node:path";
import { keepNames, namesFile } from "../adapters/system/names.ts";
import { setUpCollector } from "./collector.ts";
import { LineCourier } from "./line-courier.ts";
import { Metrics } from "./metrics.ts";
import { Serving } from "./serving.ts";
import { TableReading } from "./table-reading.ts";
import type { FromWorker, OrderedTable, Told, ToWorker } from "./worker-wire.ts";

/** Of the load, for levels that are taken by themselves; they look once a second too. */
const offeredEveryMs = 1000;
/** Of everything. Shorter: less is missing in the sums when it is killed; longer: less work. */
const toldEveryMs = 2000;

const linesEndWithinMs = 1000;

setUpCollector();
const metrics = new Metrics();
/** What comes was verified by the first process. */
const reading = new TableReading(null);
let serving: Serving | null = null;
let courier: LineCourier | null = null;

function say(message: FromWorker, sent?: () => void): void {
  // Without a channel this process is about to end.
  process.send?.(message, undefined, undefined, () => sent?.());
}

async function obey(message: ToWorker): Promise<void> {
  switch (message.kind) {
    case "begin":
      return begin(message);
    case "table":
      return follow(message);
    case "tell":
      return say({ kind: "told", id: message.id, told: told() });
    case "reload":
      await serving?.reload();
      return say({ kind: "reloaded", id: message.id });
    case "beside":
      if (serving) serving.levels.beside = message.offered;
      return;
    case "close":
      return end();
    default:
      return message satisfies never;
  }
}

async function begin({ config, part, table }: ToWorker & { kind: "begin" }): Promise<void> {
  keepNames(join(config.stateDir, namesFile), config.names);
  const { accessLog } = config;
  if (accessLog) {
    const dropped = metrics.counter("holdfast_edge_access_log_dropped_total");
    const send = (text: string, lines: number, sent: () => void) => say({ kind: "lines", text, lines }, sent);
    courier = new LineCourier(send, accessLog.bufferMaxBytes / part.of, dropped);
  }
  try {
    serving = new Serving({ config, metrics, lines: courier, part });
    if (table) await follow(table);
    say({ kind: "listening", addresses: await serving.listen() });
  } catch (error) {
    const { name, message } = error as Error;
    say({ kind: "failed", error: { name, message } }, () => process.exit(1));
    return;
  }
  setInterval(() => say({ kind: "told", id: null, told: told() }), toldEveryMs).unref();
  setInterval(() => {
    if (serving) say({ kind: "offered", offered: serving.levels.offered });
  }, offeredEveryMs).unref();
}

async function follow({ bytes, order }: OrderedTable): Promise<void> {
  const read = await reading.read(bytes);
  if (read.kind === "misfit")
    throw new Error(`the first process gave a table that does not fit: ${read.because}`);
  read.adopt();
  serving?.follow(read.signed.table);
  say({ kind: "goes-by", order });
}

function told(): Told {
  if (!serving) throw new Error("asked before it began");
  return { metrics: metrics.read(), state: serving.state };
}

async function end(): Promise<void> {
  await serving?.close();
  await courier?.end(linesEndWithinMs);
  if (serving) say({ kind: "told", id: null, told: told() }, () => process.exit(0));
  else process.exit(0);
}

let queue: Promise<void> = Promise.resolve();
process.on("message", (message: ToWorker) => {
  // An error ends this process, and another takes its place.
  queue = queue.then(() => obey(message));
});
// Whoever stops or reloads an edge tells its first process; a terminal or a service manager tells all of them.
process
  .on("SIGTERM", () => undefined)
  .on("SIGINT", () => undefined)
  .on("SIGHUP", () => undefined);
process.stdout.on("error", () => undefined);
process.stderr.on("error", () => undefined);
say({ kind: "up" });
