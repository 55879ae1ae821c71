/** A lab that a test has started as a process of its own: what it has written down, who watches over it, and what is left. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { LabState } from "../../../src/lab/state-file.ts";
import { eventually } from "../demo-process.ts";

/** As soon as an agent and a fencer run: the worst moment, in the middle of the start. */
export async function running(
  lab: ChildProcess,
  labsFolder: string,
): Promise<{ readonly file: string; readonly state: LabState }> {
  let found: { file: string; state: LabState } | null = null;
  await eventually("the lab has written down what it runs", 240_000, () => {
    assert.equal(lab.exitCode, null, "the lab has ended");
    for (const name of existsSync(labsFolder) ? readdirSync(labsFolder) : []) {
      if (!/^\d\.json$/.test(name)) continue;
      const file = join(labsFolder, name);
      const text = readFileSync(file, "utf8");
      // A slot that was claimed a moment ago.
      if (text === "") continue;
      const state = JSON.parse(text) as LabState;
      const roles = new Set(state.processes.map(({ role }) => role));
      if (state.pid === lab.pid && roles.has("agent") && roles.has("fencer")) found = { file, state };
    }
    return found !== null;
  });
  assert.ok(found);
  return found;
}

export function reaperOf(lab: ChildProcess): number {
  const pid = readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .find((entry) => {
      try {
        const parent = /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${entry}/status`, "utf8"))?.[1];
        return (
          Number(parent) === lab.pid && readFileSync(`/proc/${entry}/cmdline`, "utf8").includes("reaper.ts")
        );
      } catch {
        return false;
      }
    });
  assert.ok(pid, "the lab has no reaper");
  return Number(pid);
}

export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
