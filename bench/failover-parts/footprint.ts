/** What an idle installation costs: memory and CPU of each agent, edge and fencer, as /proc counts them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { LabState } from "../../src/lab/state-file.ts";
import { cli } from "./run.ts";

export interface Footprint {
  readonly role: string;
  readonly region: string;
  /** Resident, shared pages of Node's program included. */
  readonly residentMiB: number;
  /** Shared pages divided by those who share them: what one more of it costs. */
  readonly proportionalMiB: number;
  /** Of one core, over `idleMs`. */
  readonly cpuPercent: number;
}

/** It has settled: plans are compiled, first samples are in. */
const settleMs = 5000;
const idleMs = 10_000;
const ticksPerSecond = 100; // USER_HZ is 100 on every Linux that Node runs on.
const roles = ["agent", "edge", "fencer"];

export async function measureFootprint(
  folder: string,
  profile: string,
  signal: AbortSignal,
): Promise<readonly Footprint[]> {
  const stateFile = join(folder, "idle.json");
  const args = ["demo", "--no-load", "--profile", profile, "--state", stateFile];
  const child = spawn(process.execPath, [cli, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  const ended = once(child, "close");
  let said = "";
  child.stderr.on("data", (chunk) => {
    said = `${said}${String(chunk)}`.slice(-4000);
  });
  try {
    const until = performance.now() + 120_000;
    while (!said.includes("ready:") || !existsSync(stateFile)) {
      signal.throwIfAborted();
      if (child.exitCode !== null || until < performance.now())
        throw new Error(`the idle demo did not get ready:\n${said}`);
      await sleep(100);
    }
    await sleep(settleMs, undefined, { signal });
    const { processes } = JSON.parse(readFileSync(stateFile, "utf8")) as LabState;
    const chosen = processes.filter(({ role }) => roles.includes(role));
    const before = chosen.map(({ pid }) => ticksOf(pid));
    const startedAt = performance.now();
    await sleep(idleMs, undefined, { signal });
    const spanMs = performance.now() - startedAt;
    return chosen.map(({ role, region, pid }, index) => ({
      role,
      region,
      residentMiB: kibibytes(pid, "status", "VmRSS") / 1024,
      proportionalMiB: kibibytes(pid, "smaps_rollup", "Pss") / 1024,
      cpuPercent: (100 * (ticksOf(pid) - (before[index] ?? 0)) * (1000 / ticksPerSecond)) / spanMs,
    }));
  } finally {
    child.kill("SIGINT");
    await ended;
  }
}

/** utime and stime, the fields 14 and 15; the second field may hold spaces and brackets. */
function ticksOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

function kibibytes(pid: number, file: string, name: string): number {
  const text = readFileSync(`/proc/${pid}/${file}`, "utf8");
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? Number.NaN);
}
