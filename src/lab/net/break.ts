/** What a scenario breaks, done: each fault has an end of its own, whoever lives then (S15). */
import { spawn } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { inject } from "../faults.ts";
import type { LabLayout } from "../layout.ts";
import { monotonicMs } from "../monotonic.ts";
import { signalTo } from "../signal.ts";
import type { World } from "../world.ts";
import { type Asked, ask } from "./ask.ts";
import { cut } from "./cut.ts";
import { damagePage } from "./damage.ts";
import { breakDisk, bringBack, isDisk, loseUnsynced } from "./disk.ts";
import { moveEtcdLeader, untilEtcdLeads } from "./etcd-leader.ts";
import { hostsFileOf, knowNames } from "./names.ts";
import type { Network } from "./network.ts";
import type { ScenarioFault } from "./scenario.ts";
import { tryBackup } from "./try-backup.ts";
import { setClock } from "./wall-clock.ts";

export interface BreakParts {
  readonly world: World;
  readonly network: Network;
  /** Region whose member holds the lease now. */
  readonly primaryRegion: () => string;
}

/** A fault under way. `end` undoes what does not end by itself, once its time is over. */
export interface Broken {
  /** CLOCK_MONOTONIC, ms: just before the first effect. */
  readonly at: number;
  readonly text: string;
  /** Where a person asked for something. */
  readonly asked?: Asked;
  end(signal: AbortSignal): Promise<void>;
}

export async function breakIt(parts: BreakParts, fault: ScenarioFault): Promise<Broken> {
  const region = "at" in fault ? await regionOf(parts, fault.at) : "";
  const forMs = fault.for;
  const at = monotonicMs();
  const byItself = (text: string): Broken => ({ at, text, end: async () => undefined });
  switch (fault.fault) {
    case "blackhole":
    case "cut-in":
    case "cut-out":
    case "clients-cut":
      return byItself(cut(parts.network, { kind: fault.fault, region }, forMs));
    case "link":
      return byItself(
        cut(parts.network, { kind: "link", region, to: await regionOf(parts, fault.to) }, forMs),
      );
    case "replication-cut": {
      const { postgres } = parts.world.region(region).ports;
      return byItself(cut(parts.network, { kind: "port", region, port: postgres }, forMs));
    }
    case "loss":
      return byItself(cut(parts.network, { kind: "loss", region, percent: fault.percent }, forMs));
    case "pause": {
      const pids = pidsOf(parts.world, region, fault.process);
      if (pids.length === 0) throw new Error(`${region} has no ${fault.process} to pause`);
      const stoppedAt = monotonicMs();
      for (const pid of pids) signalTo(pid, "SIGSTOP");
      const letBe = continueLater(pids, forMs);
      return {
        at: stoppedAt,
        text: `${fault.process} of ${region} stands still (SIGSTOP)`,
        end: async () => {
          for (const pid of pids) signalTo(pid, "SIGCONT");
          letBe();
        },
      };
    }
    case "process-kill": {
      const killed = parts.world.one(region, fault.process);
      // What another fault holds down comes back with that fault's end.
      if (killed.pid !== null) killed.kill("SIGKILL", true);
      return {
        at,
        text: `${killed.spec.name} was killed`,
        end: async (signal) => void (await killed.ready(signal)),
      };
    }
    case "disk-full":
    case "disk-hang":
    case "disk-slow":
    case "disk-fails": {
      const { fault: kind } = fault;
      const asked = kind === "disk-slow" ? { kind, upTo: fault.upTo } : { kind };
      const { text, end } = breakDisk(diskOf(parts.world, region), asked, forMs);
      return { at, text: `the disk of ${region} ${text}`, end };
    }
    case "power-cut": {
      const disk = diskOf(parts.world, region);
      const injection = await inject(parts.world, "region-kill", region, forMs);
      loseUnsynced(disk);
      return {
        at: injection.at,
        text: `${region} has no power: every process was killed, and what they had not synced is gone`,
        end: async (signal) => {
          await bringBack(disk, signal);
          await injection.end(signal);
        },
      };
    }
    case "clock-wrong": {
      const file = clockFileOf(parts.world.layout, region);
      setClock(file, fault.by);
      const side = fault.by < 0 ? "behind" : "ahead";
      return {
        at,
        text: `the wall clocks of ${region} are ${Math.abs(fault.by) / 1000} s ${side}`,
        end: async () => setClock(file, 0),
      };
    }
    case "names-lost": {
      const hostsFile = hostsFileOf(parts.world.layout, region);
      knowNames(hostsFile, []);
      return {
        at,
        text: `whoever is in ${region} finds no region by its name`,
        end: async () => knowNames(hostsFile, parts.network.regions),
      };
    }
    case "topology-broken": {
      const { topologyFile, topologyText } = parts.world.layout;
      const agent = parts.world.one(region, "agent");
      writeFileSync(topologyFile, `${topologyText}]\n`);
      agent.kill("SIGTERM", true);
      return {
        at,
        text: `the topology ends in a stray bracket, and the agent of ${region} was told to start anew`,
        end: async (signal) => {
          writeFileSync(topologyFile, topologyText);
          await agent.ready(signal);
        },
      };
    }
    case "region-kill":
    case "primary-crash": {
      const injection = await inject(parts.world, fault.fault, region, forMs);
      const text = fault.fault === "region-kill" ? "every process" : "PostgreSQL";
      return { ...injection, text: `${text} of ${region} was killed` };
    }
    case "member-wiped": {
      const { member } = parts.world.region(region);
      if (!member) throw new Error(`${region} has no member to wipe`);
      await parts.world.endPostgres(region);
      rmSync(member.dataDir, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 });
      return byItself(`the data folder of ${member.name} is gone`);
    }
    case "pages-damaged":
      return byItself(await damagePage(parts.world, region, parts.primaryRegion()));
    case "store-kill": {
      const members = parts.world.processes().filter((one) => one.spec.role === "etcd");
      for (const one of members) one.kill("SIGKILL");
      return {
        at,
        text: "every member of etcd was killed",
        end: async (signal) => {
          for (const one of members) one.start();
          await Promise.all(members.map((one) => one.ready(signal)));
        },
      };
    }
    case "etcd-leader-moved": {
      const to = await moveEtcdLeader(parts.world.layout, null);
      return byItself(`the leadership of etcd moved to ${to}`);
    }
    case "request": {
      const to = fault.to === null ? null : await regionOf(parts, fault.to);
      const answer = await ask(parts.world.ownStateFile, fault.kind, to, forMs);
      const text = `${fault.kind} was asked for and ${answer.status}: ${answer.detail}`;
      return { ...byItself(text), asked: { wish: fault, answer } };
    }
    case "backup": {
      const answer = await tryBackup(parts.world.layout, fault.damage, forMs);
      const text = `a backup was taken (damage: ${fault.damage}), and its restore test ${answer.status}: ${answer.detail}`;
      return { ...byItself(text), asked: { wish: fault, answer } };
    }
    default:
      return fault satisfies never;
  }
}

/** Where a fault strikes, by name or by what the region is now. */
export async function regionOf(parts: BreakParts, at: string): Promise<string> {
  const { layout } = parts.world;
  const primary = parts.primaryRegion();
  const standbys = layout.regions.filter(({ name, member }) => member !== null && name !== primary);
  const found: Readonly<Record<string, string | undefined>> = {
    primary,
    standby: standbys[0]?.name,
    "other-standby": standbys[1]?.name,
    witness: layout.regions.find(({ member }) => member === null)?.name,
  };
  if (at === "etcd-leader") return untilEtcdLeads(layout);
  if (!Object.hasOwn(found, at)) return parts.world.region(at).name;
  const name = found[at];
  if (name === undefined) throw new Error(`this topology has no ${at}`);
  return name;
}

/** By which everything of the region goes where wall clocks may be wrong. */
export function clockFileOf({ root }: Pick<LabLayout, "root">, region: string): string {
  return join(root, `${region}.clock`);
}

/** Where its disk is mounted: the region's, or that of its member alone. */
function diskOf(world: World, region: string): string {
  const { dir, member } = world.region(region);
  if (isDisk(dir)) return dir;
  if (!member) throw new Error(`${region} has no member whose disk could break`);
  return dirname(member.dataDir);
}

function pidsOf(world: World, region: string, what: string): number[] {
  const own = world
    .of(region)
    .flatMap((one) => (one.pid === null ? [] : [{ pid: one.pid, role: one.spec.role }]));
  const postgres = world.postgresOf(region);
  if (what === "postgres") return [...postgres];
  if (what === "everything") return [...own.map(({ pid }) => pid), ...postgres];
  return own.filter(({ role }) => role === what).map(({ pid }) => pid);
}

/** A process that outlives the lab: SIGCONT for what goes on anyway does no harm. What is returned ends it early. */
export function continueLater(pids: readonly number[], forMs: number): () => void {
  const script = `sleep ${(forMs / 1000).toFixed(3)}; kill -CONT ${pids.join(" ")} 2>/dev/null; true`;
  const child = spawn("sh", ["-c", script], { stdio: "ignore", detached: true });
  child.unref();
  // Its group: the shell and its sleep.
  return () => void (child.pid !== undefined && child.exitCode === null && signalTo(-child.pid, "SIGKILL"));
}
