/** Which labs are there: what is written down of each, which of them run, and the end of any, also of one left behind. */
import { closeSync, lstatSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { regionNames } from "../layout.ts";
import { endForGood } from "../postgres-end.ts";
import { signalTo } from "../signal.ts";
import type { LabState } from "../state-file.ts";
import { removeDisksBelow } from "./disk.ts";
import { endEnclosure, isEnclosedIn, ownUserId, processesOf } from "./enclosure.ts";
import {
  describeNetwork,
  leftOverNetworks,
  type NetworkRecord,
  processesIn,
  removeNetwork,
} from "./network.ts";
import { dropClocksOfTheDead } from "./wall-clock.ts";

const user = ownUserId();
const isRoots = user === 0;
/** One file a lab; root's goes when the machine starts anew, as namespaces do. */
export const labsFolder = isRoots ? "/run/holdfast-lab" : join(tmpdir(), `holdfast-labs-${user}`);
/** Of every folder that a lab may remove. */
export const folderPrefix = "holdfast-lab-";

export interface FoundLab {
  readonly slot: number;
  readonly network: NetworkRecord;
  /** null: only its namespaces are left. */
  readonly state: LabState | null;
  readonly isRunning: boolean;
}

/** Every lab of this machine, running or left behind; for whoever is not root, every one of theirs. */
export function findLabs(): FoundLab[] {
  const found = new Map<number, FoundLab>();
  const networks = isRoots
    ? leftOverNetworks()
    : stateFiles().map((file) => describeNetwork(Number.parseInt(file, 10), regionNames).record);
  for (const network of networks)
    found.set(network.slot, { slot: network.slot, network, state: null, isRunning: false });
  for (const file of stateFiles()) {
    const state = readState(join(labsFolder, file));
    if (!state?.network) continue;
    const { network } = state;
    found.set(network.slot, { slot: network.slot, network, state, isRunning: isRunning(state) });
  }
  return [...found.values()].sort((a, b) => a.slot - b.slot);
}

/** Asked to end in order if it runs; what is left then is removed by force. */
export async function takeDown(lab: FoundLab): Promise<void> {
  const stateFile = stateFileOf(lab.slot);
  if (lab.isRunning && lab.state) {
    process.kill(lab.state.pid, "SIGTERM");
    const until = performance.now() + 30_000;
    while (isRunning(lab.state) && performance.now() < until) await sleep(100);
    if (isRunning(lab.state)) process.kill(lab.state.pid, "SIGKILL");
  }
  const state = readState(stateFile) ?? lab.state;
  // Whoever would start PostgreSQL again first; then PostgreSQL in order: what it keeps in shared memory goes with it.
  const enclosure = state?.enclosure;
  const inside = new Set(enclosure === undefined ? processesIn(lab.network) : processesOf(enclosure));
  for (const { pid } of state?.processes ?? []) if (inside.has(pid)) signalTo(pid, "SIGKILL");
  for (const { dataDir } of state?.members ?? []) await endForGood(dataDir).catch(() => undefined);
  if (enclosure !== undefined) await endEnclosure(enclosure);
  else if (isRoots) removeNetwork(lab.network);
  const root = state === null ? null : dirname(state.topologyFile);
  if (root !== null && basename(root).startsWith(folderPrefix)) {
    removeDisksBelow(root);
    rmSync(root, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
  dropClocksOfTheDead();
  rmSync(stateFile, { force: true });
}

export function stateFileOf(slot: number): string {
  return join(labsFolder, `${slot}.json`);
}

export function makeLabsFolder(): void {
  mkdirSync(labsFolder, { recursive: true, mode: isRoots ? 0o755 : 0o700 });
  if (!isOurs(labsFolder))
    throw new Error(
      `${labsFolder} belongs to somebody else, or others may write to it: remove it, or set TMPDIR to a folder of your own`,
    );
}

/** Whether this slot is the caller's from now on. Networks cannot tell: an enclosure hides those of others. */
export function claim(slot: number): boolean {
  try {
    closeSync(openSync(stateFileOf(slot), "wx", 0o600));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Of labs: what others have put into a folder of this name is not believed. */
function stateFiles(): string[] {
  if (!isOurs(labsFolder)) return [];
  return readdirSync(labsFolder).filter((name) => /^\d\.json$/.test(name));
}

function isOurs(folder: string): boolean {
  const found = lstatSync(folder, { throwIfNoEntry: false });
  return (
    found !== undefined &&
    found.isDirectory() &&
    found.uid === process.geteuid?.() &&
    (found.mode & 0o022) === 0
  );
}

function readState(file: string): LabState | null {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as LabState;
  } catch {
    return null;
  }
}

/** Whether this id is still a lab's: ids are given anew, and we are about to end it. */
function isRunning({ pid, enclosure }: LabState): boolean {
  if (enclosure !== undefined) return isEnclosedIn(enclosure, pid);
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return words.includes("lab") && words.some((word) => /cli\.ts$|holdfast/.test(word));
  } catch {
    return false;
  }
}
