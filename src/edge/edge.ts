/** One edge: what serves people, table and gates put together, and taken apart in order. */
import { availableParallelism } from "node:os";
import type { Address } from "../core/model/topology.ts";
import { AdminServer } from "./admin.ts";
import { type EdgeConfig, processesMax } from "./config.ts";
import { ConfigError } from "./config-error.ts";
import { type Front, FrontHere } from "./front.ts";
import { MemberGate } from "./gate.ts";
import { LineSink } from "./line-sink.ts";
import { Metrics } from "./metrics.ts";
import { Serving, type ServingAddresses } from "./serving.ts";
import { TableHolder } from "./table-holder.ts";
import { Workers } from "./workers.ts";

export interface RunningEdge extends ServingAddresses {
  readonly admin: Address;
  readonly gates: Readonly<Record<string, Address>>;
  /** Certificates are read anew, and the access log is opened anew. */
  reload(): Promise<void>;
  /** Takes no more, lets what is under way finish within the grace, ends everything. */
  close(): Promise<void>;
}

/** For the last lines of the access log, to a disk that may be slow. */
const logEndsWithinMs = 1000;

export async function startEdge({ adminToken, ...config }: EdgeConfig): Promise<RunningEdge> {
  const metrics = new Metrics();
  const holder = await TableHolder.open(config.stateDir, config.keys, metrics);
  const lines = config.accessLog ? openLog(config.accessLog, metrics) : null;
  const processes =
    config.processes === "auto" ? Math.min(processesMax, availableParallelism()) : config.processes;
  const front: Front =
    processes === 1
      ? new FrontHere(new Serving({ config, metrics, lines }), metrics)
      : new Workers({ config, processes, metrics, lines });
  const gates = new Map(config.gates.map((gate) => [gate.member, new MemberGate(gate, metrics)]));

  const follow = (): void => {
    const { table, bytes } = holder;
    if (!table) return;
    // Sessions to an old writer end before any request is let go to the new one (S4).
    for (const gate of gates.values()) {
      const store = gate.config.dataStore === null ? undefined : table.stores[gate.config.dataStore];
      if (store) gate.seeEpoch(store.epoch);
    }
    front.follow(table, bytes);
  };
  holder.onApplied(follow);
  holder.whatLags = () => front.whatLags();
  follow();
  metrics.gauge("holdfast_edge_table_generation", {}, () => front.served?.generation ?? 0);
  metrics.gauge("holdfast_edge_table_epoch", {}, () => front.served?.epoch ?? 0);

  const state = async (): Promise<unknown> => {
    const { held, writersFailing, services, upstreams, stores, certificates } = await front.state();
    const { served } = front;
    return {
      edge: config.name,
      region: config.region,
      table: served && {
        epoch: served.epoch,
        generation: served.generation,
        digest: served.digest,
        because: served.because,
      },
      processes: front.serving,
      held,
      writersFailing,
      services,
      upstreams,
      stores,
      certificates,
      gates: [...gates.values()].map((gate) => ({ member: gate.config.member, ...gate.state })),
    };
  };
  const whyNotReady = (): string => {
    if (holder.table === null) return "no routing table yet";
    return front.serving.length === 0 ? "none of its processes serves" : "";
  };
  const admin = new AdminServer({
    holder,
    gates,
    token: adminToken,
    state,
    metrics: () => front.metrics(),
    whyNotReady,
  });

  const reload = async (): Promise<void> => {
    await Promise.all([front.reload(), lines?.reopen()]);
  };

  const close = async (): Promise<void> => {
    await front.close();
    await lines?.end(logEndsWithinMs);
    await Promise.all([...gates.values()].map((gate) => gate.close()));
    await admin.close(500);
    await holder.close();
  };

  try {
    return {
      admin: await admin.listen(config.admin),
      ...(await front.listen()),
      gates: Object.fromEntries(
        await Promise.all([...gates].map(async ([member, gate]) => [member, await gate.listen()])),
      ),
      reload,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function openLog(options: NonNullable<EdgeConfig["accessLog"]>, metrics: Metrics): LineSink {
  try {
    return new LineSink(options, metrics.counter("holdfast_edge_access_log_dropped_total"));
  } catch (error) {
    throw new ConfigError(`cannot open the access log: ${(error as Error).message}`, { cause: error });
  }
}
