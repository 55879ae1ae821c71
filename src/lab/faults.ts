/** What can be broken on purpose, without root: each fault ends by itself, and is undone when the lab ends (S15). */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { monotonicMs } from "./monotonic.ts";
import { signalTo } from "./signal.ts";
import type { World } from "./world.ts";

export const faultTexts = {
  "region-kill": "every process in the region is killed (SIGKILL): agent, fencer, edge, service, PostgreSQL",
  "region-freeze":
    "every process in the region is stopped (SIGSTOP); later it goes on, believing itself primary",
  "primary-crash": "PostgreSQL of the region is killed (SIGKILL), its agent lives",
  "agent-freeze":
    "the agent alone is stopped (SIGSTOP): the fencer must end PostgreSQL before the lease ends",
  "store-loss": "the control store cannot be read or written by anybody for a while",
  flap: "PostgreSQL of whoever is primary is killed three times in a row",
  "agent-kill": "the agent alone is killed (SIGKILL), and started again as an init system would",
  switchover: "nothing breaks: the primary hands over to the next region, as a person asks for it",
} as const;

export type FaultName = keyof typeof faultTexts;

export function isFault(name: string): name is FaultName {
  return Object.hasOwn(faultTexts, name);
}

/** How long each lasts when nobody says otherwise: longer than a failover, so that the return is a return. */
export const faultDurationMs: Readonly<Record<FaultName, number>> = {
  "region-kill": 8000,
  "region-freeze": 8000,
  "primary-crash": 0,
  "agent-freeze": 8000,
  "store-loss": 60_000,
  flap: 0,
  "agent-kill": 0,
  switchover: 0,
};

/** A fault that has been injected: the region is as before when `end` resolves. Ending twice does no harm. */
export interface Injection {
  /** CLOCK_MONOTONIC, ms: just before the first effect. */
  readonly at: number;
  end(signal: AbortSignal): Promise<void>;
}

export async function inject(
  world: World,
  fault: FaultName,
  region: string,
  forMs: number,
): Promise<Injection> {
  world.region(region);
  const at = monotonicMs();
  const processes = world.of(region);
  switch (fault) {
    case "region-kill": {
      // PostgreSQL and the agent in one breath: nobody in the region may see the other die first.
      const postgres = world.postgresOf(region);
      for (const one of processes) one.kill("SIGKILL");
      for (const pid of postgres) signalTo(pid, "SIGKILL");
      await Promise.all(processes.map((one) => one.gone()));
      await world.endPostgres(region);
      return onceOnly(at, (signal) => world.returnRegion(region, signal));
    }
    case "region-freeze": {
      const letGo = await betweenCommits(world);
      const pids = [
        ...processes.flatMap((one) => (one.pid === null ? [] : [one.pid])),
        ...world.postgresOf(region),
      ];
      const stoppedAt = monotonicMs();
      for (const pid of pids) signalTo(pid, "SIGSTOP");
      await letGo();
      // Whoever is ended meanwhile (the lab's own end) must be woken first; ids are our own children's or PostgreSQL's.
      return onceOnly(stoppedAt, async () => {
        for (const pid of pids) signalTo(pid, "SIGCONT");
      });
    }
    case "primary-crash":
      await world.endPostgres(region);
      return onceOnly(at, async () => undefined);
    case "agent-freeze": {
      const agent = world.one(region, "agent");
      const letGo = await betweenCommits(world);
      const stoppedAt = monotonicMs();
      agent.signal("SIGSTOP");
      await letGo();
      return onceOnly(stoppedAt, async () => agent.signal("SIGCONT"));
    }
    case "agent-kill":
      world.one(region, "agent").kill("SIGKILL", true);
      return onceOnly(at, async (signal) => {
        await world.one(region, "agent").ready(signal);
      });
    case "store-loss": {
      const etcd = world.processes().filter((one) => one.spec.role === "etcd");
      if (etcd.length > 0) {
        for (const one of etcd) one.signal("SIGSTOP");
        return onceOnly(at, async () => {
          for (const one of etcd) one.signal("SIGCONT");
        });
      }
      const lock = lockStore(world.layout.storeFile, forMs);
      await lock.locked;
      return onceOnly(monotonicMs(), async () => lock.release());
    }
    case "flap":
    case "switchover":
      throw new Error(`${fault} is no single fault: the rehearsal runs it`);
    default:
      return fault satisfies never;
  }
}

/**
 * A process that is stopped in the middle of a commit keeps the lock of the store's file for all regions: 1 of 30 stops.
 * That is a weakness of the demo and no region's: hosts that freeze do not share a file. So the freeze happens while
 * nobody commits; what is returned lets them go on.
 */
async function betweenCommits(world: World): Promise<() => Promise<void>> {
  if (world.processes().some((one) => one.spec.role === "etcd")) return async () => undefined;
  const lock = lockStore(world.layout.storeFile, 2000);
  await lock.locked;
  return lock.release;
}

/** A process of its own holds the file: a real loss for everybody, and it ends with that process in any case. */
function lockStore(path: string, forMs: number) {
  const script = fileURLToPath(new URL("../adapters/sqlite/lock.ts", import.meta.url));
  const child: ChildProcess = spawn(process.execPath, [script, path, String(forMs)], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, NODE_NO_WARNINGS: "1" },
  });
  const locked = (async () => {
    if (child.stdout) await once(child.stdout, "data", { signal: AbortSignal.timeout(10_000) });
  })();
  return {
    locked,
    async release() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}

function onceOnly(at: number, undo: (signal: AbortSignal) => Promise<unknown>): Injection {
  let ended: Promise<void> | null = null;
  return {
    at,
    end(signal) {
      ended ??= undo(signal).then(() => undefined);
      return ended;
    },
  };
}

export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal });
}
