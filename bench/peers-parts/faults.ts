/** What is done to the region of the primary, the same way whoever keeps it. Each fault ends by itself. */
import { findTree } from "../../src/adapters/adapters.ts";
import { monotonicMs } from "../../src/lab/monotonic.ts";
import { continueLater } from "../../src/lab/net/break.ts";
import { cut } from "../../src/lab/net/cut.ts";
import { heal } from "../../src/lab/net/filter.ts";
import { processesIn } from "../../src/lab/net/network.ts";
import { signalTo } from "../../src/lab/signal.ts";
import type { RunningSystem, SystemRegion } from "./system.ts";

export const faultTexts = {
  "primary-crash": "the postmaster of the primary is killed (SIGKILL); its manager lives",
  "region-kill": "every process of the primary's region is killed (SIGKILL), and started again later",
  "region-blackhole": "nothing reaches the primary's region, and nothing that it sends arrives",
  "region-freeze": "every process of the primary's region is stopped (SIGSTOP), and goes on later",
  "manager-freeze": "only whoever manages the primary is stopped (SIGSTOP): agent, patroni or pg_autoctl",
  switchover: "nothing breaks: the primary hands over, as a person asks for it",
} as const;

export type FaultName = keyof typeof faultTexts;

export function isFault(name: string): name is FaultName {
  return Object.hasOwn(faultTexts, name);
}

export interface Fault {
  readonly name: FaultName;
  readonly system: RunningSystem;
  readonly region: SystemRegion;
  /** Processes in the region that measure, and must go on. */
  readonly spared: ReadonlySet<number>;
  /** By then it has ended, whoever lives to end it. */
  readonly atMostMs: number;
  readonly signal: AbortSignal;
}

export interface Struck {
  /** CLOCK_MONOTONIC, ms: just before the first effect. */
  readonly at: number;
  /** The region is as before, or on its way back, when it resolves. */
  end(): Promise<void>;
}

export async function strike(fault: Fault): Promise<Struck> {
  const { name, system, region, atMostMs } = fault;
  const at = monotonicMs();
  switch (name) {
    case "primary-crash": {
      const postmaster = findTree(treeOf(region)).find(({ isPostmaster }) => isPostmaster);
      if (!postmaster) throw new Error(`${region.name} has no postmaster to kill`);
      signalTo(postmaster.pid, "SIGKILL");
      return { at, end: async () => undefined };
    }
    case "region-kill": {
      for (const one of system.processes(region.name)) one.kill("SIGKILL");
      // Whoever was started in the meantime is not in the first list.
      while (signalAll(fault, "SIGKILL") > 0) fault.signal.throwIfAborted();
      return { at, end: () => system.returnRegion(region.name) };
    }
    case "region-blackhole":
      cut(system.network, { kind: "blackhole", region: region.name }, atMostMs);
      return {
        at,
        end: async () => heal([...system.network.regions, system.network.clients]),
      };
    case "region-freeze": {
      signalAll(fault, "SIGSTOP");
      // Twice: whoever was forked while the first round went on.
      signalAll(fault, "SIGSTOP");
      const letBe = continueLater(processesOf(fault), atMostMs);
      return {
        at,
        end: async () => {
          signalAll(fault, "SIGCONT");
          letBe();
        },
      };
    }
    case "manager-freeze": {
      const managers = system.managers(region.name);
      if (managers.length === 0) throw new Error(`${region.name} has no manager to stop`);
      for (const pid of managers) signalTo(pid, "SIGSTOP");
      const letBe = continueLater(managers, atMostMs);
      return {
        at,
        end: async () => {
          for (const pid of managers) signalTo(pid, "SIGCONT");
          letBe();
        },
      };
    }
    case "switchover": {
      const done = system.switchOver(region.name, fault.signal);
      // Told at the end, not by an unhandled rejection in the meantime.
      done.catch(() => undefined);
      return { at, end: () => done };
    }
    default:
      return name satisfies never;
  }
}

/** How many there were. */
function signalAll(fault: Fault, signal: NodeJS.Signals): number {
  const pids = processesOf(fault);
  for (const pid of pids) signalTo(pid, signal);
  return pids.length;
}

function processesOf({ system, region, spared }: Fault): number[] {
  const place = system.network.regions.find(({ name }) => name === region.name);
  const namespaces = place ? [place.namespace] : [];
  return processesIn({ ...system.network.record, namespaces }).filter((pid) => !spared.has(pid));
}

function treeOf({ dataDir }: SystemRegion) {
  return { dataDir, pidFile: `${dataDir}/postmaster.pid` };
}
