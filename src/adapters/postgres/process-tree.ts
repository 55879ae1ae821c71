/** Finds and ends every process of one PostgreSQL data folder: the fence, shared by the agent and the fencer. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync, realpathSync } from "node:fs";
import { basename, resolve } from "node:path";

/**
 * T1. A PostgreSQL process is known by its working folder: each one's is its data folder, so orphans whose postmaster
 *     has died are found too (they bear other process groups and a new parent; a busy one committed 836 ms later).
 * T2. Ended means seen: a process counts until /proc shows it gone or a zombie (its sockets are closed by then).
 * T3. Only a scan that began after all known processes were gone, and found none, ends the search: the postmaster is
 *     killed first and nobody else forks, so nothing can slip between two scans.
 * T4. What may not be looked at is not taken for absent: it is an error.
 */
export interface TreePlace {
  /** The data folder. */
  readonly dataDir: string;
  /** Usually `<dataDir>/postmaster.pid`. */
  readonly pidFile: string;
}

export interface TreeProcess {
  readonly pid: number;
  /** Clock ticks since boot: with the pid, who it is. On macOS a text of its own. */
  readonly startedAt: string;
  readonly isPostmaster: boolean;
  /** SIGSTOPped or traced: it exists and will not answer. */
  readonly isStopped: boolean;
}

/** SIGKILL to all processes of the data folder; resolves when none is left (T2, T3), rejects when the signal aborts first. */
export async function endTree(place: TreePlace, signal: AbortSignal): Promise<{ readonly ended: number }> {
  const ended = new Set<string>();
  for (;;) {
    const found = findTree(place);
    if (found.length === 0) return { ended: ended.size };
    for (const each of found) {
      kill(each.pid, place);
      ended.add(`${each.pid}@${each.startedAt}`);
    }
    while (found.some(isLeft)) {
      if (signal.aborted) {
        const left = found.filter(isLeft).map((each) => each.pid);
        throw new Error(
          `processes ${left.join(", ")} of ${place.dataDir} were sent SIGKILL and still exist; a process that hangs in its disk ends only when the disk answers`,
          { cause: signal.reason },
        );
      }
      await new Promise((wake) => setTimeout(wake, 1));
    }
  }
}

/** All living processes of the data folder, the postmaster first. Zombies are not living. */
export function findTree(place: TreePlace): readonly TreeProcess[] {
  return process.platform === "linux" ? findByFolder(place) : findByTable(place);
}

/** Whom postmaster.pid names, if that is the living postmaster of the folder: three files are read instead of all of /proc. */
export function findNamedPostmaster(place: TreePlace): TreeProcess | null {
  const pid = readPostmasterPid(place.pidFile);
  if (process.platform !== "linux" || pid === null) return null;
  try {
    if (readlinkSync(`/proc/${pid}/cwd`) !== realFolder(place.dataDir) || !isPostgres(pid)) return null;
  } catch {
    return null;
  }
  const stat = readStat(pid);
  if (stat === null || stat.isDead) return null;
  return { pid, startedAt: stat.startedAt, isPostmaster: true, isStopped: stat.isStopped };
}

/** First line of postmaster.pid; null when there is none or it is half written. */
export function readPostmasterPid(pidFile: string): number | null {
  try {
    const pid = Number.parseInt(readFileSync(pidFile, "utf8"), 10);
    // In a data folder used by a single-user backend the pid is written negative.
    return Number.isFinite(pid) && pid !== 0 ? Math.abs(pid) : null;
  } catch {
    return null;
  }
}

function findByFolder(place: TreePlace): readonly TreeProcess[] {
  const folder = realFolder(place.dataDir);
  const named = readPostmasterPid(place.pidFile);
  const inFolder: (ProcessStat & { readonly isPostgres: boolean })[] = [];
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    let cwd: string;
    try {
      cwd = readlinkSync(`/proc/${entry}/cwd`);
    } catch (error) {
      const hidden = (error as NodeJS.ErrnoException).code === "EACCES";
      if (hidden && pid === named && wasStartedOn(pid, place.dataDir)) refuseBlindness(pid, place);
      continue;
    }
    if (cwd !== folder && cwd !== `${folder} (deleted)`) continue;
    const stat = readStat(pid);
    if (stat === null || stat.isDead) continue;
    inFolder.push({ ...stat, isPostgres: isPostgres(pid) });
  }
  // What is not `postgres` but began under one (an archive or restore command) goes with it; a person's shell does not.
  const mine = new Set(inFolder.filter((each) => each.isPostgres).map((each) => each.pid));
  return inFolder
    .filter((each) => each.isPostgres || mine.has(each.parent) || mine.has(each.session))
    .map((each) => ({
      pid: each.pid,
      startedAt: each.startedAt,
      isPostmaster: each.isPostgres && !mine.has(each.parent) && (named === null || named === each.pid),
      isStopped: each.isStopped,
    }))
    .sort((a, b) => Number(b.isPostmaster) - Number(a.isPostmaster) || a.pid - b.pid);
}

interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly session: number;
  readonly startedAt: string;
  readonly isDead: boolean;
  readonly isAsleep: boolean;
  readonly isStopped: boolean;
}

/** proc(5): after the name in parentheses come state, ppid, pgrp, session, ... and starttime as field 22. */
function readStat(pid: number): ProcessStat | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return null;
  }
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const state = fields[0] ?? "X";
  return {
    pid,
    parent: Number(fields[1]),
    session: Number(fields[3]),
    startedAt: fields[19] ?? "",
    isDead: state === "Z" || state === "X" || state === "x",
    isAsleep: state === "S",
    isStopped: state === "T" || state === "t",
  };
}

function isPostgres(pid: number): boolean {
  try {
    return basename(readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, "")).includes("postgres");
  } catch {
    // It is dying: its memory is gone, its sockets may still be open. It counts until it is a zombie (T2).
    return true;
  }
}

/** A stale postmaster.pid may name anybody: only a command line that names the folder (everyone may read it) tells. */
function wasStartedOn(pid: number, dataDir: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(dataDir);
  } catch {
    return false;
  }
}

/** Whether this very process (not a later one with its pid) still lives. */
export function isLeft(each: TreeProcess): boolean {
  if (process.platform !== "linux") {
    try {
      process.kill(each.pid, 0);
      return true;
    } catch {
      return false;
    }
  }
  const stat = readStat(each.pid);
  return stat !== null && !stat.isDead && stat.startedAt === each.startedAt;
}

/** Whether the process sleeps, that is, nothing has woken it. Without /proc it cannot be told: false. */
export function isAsleep(pid: number): boolean {
  return process.platform === "linux" && readStat(pid)?.isAsleep === true;
}

/** Whether the process is SIGSTOPped or traced now. */
export function isStopped(pid: number): boolean {
  if (process.platform === "linux") return readStat(pid)?.isStopped === true;
  return processTable().some((row) => row.pid === pid && row.state.startsWith("T"));
}

function kill(pid: number, place: TreePlace): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EPERM") refuseBlindness(pid, place);
  }
}

/** T4 */
function refuseBlindness(pid: number, place: TreePlace): never {
  throw new Error(
    `cannot end process ${pid} of ${place.dataDir}: it belongs to another user; run as that user or as root`,
  );
}

function realFolder(dataDir: string): string {
  try {
    return realpathSync(dataDir);
  } catch {
    return resolve(dataDir);
  }
}

/** Without /proc (macOS): the postmaster by its file or its -D, and all below it; stopped first, so that it forks no more. */
function findByTable(place: TreePlace): readonly TreeProcess[] {
  const named = readPostmasterPid(place.pidFile);
  const folder = realFolder(place.dataDir);
  const rows = processTable();
  const roots = rows.filter(
    (row) =>
      row.command.includes("postgres") &&
      (row.pid === named ||
        row.command.endsWith(`-D ${folder}`) ||
        row.command.endsWith(`-D ${place.dataDir}`)),
  );
  const mine = new Map(roots.map((row) => [row.pid, row]));
  for (let size = -1; size !== mine.size; ) {
    size = mine.size;
    for (const row of rows) if (mine.has(row.parent)) mine.set(row.pid, row);
  }
  return [...mine.values()].map((row) => ({
    pid: row.pid,
    startedAt: row.startedAt,
    isPostmaster: roots.includes(row),
    isStopped: row.state.startsWith("T"),
  }));
}

function processTable() {
  const table = execFileSync("ps", ["-axo", "pid=,ppid=,stat=,lstart=,command="], { encoding: "utf8" });
  return table.split("\n").flatMap((line) => {
    const match = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(\S+ +\S+ +\S+ +\S+ +\S+)\s+(.*)$/.exec(line);
    if (!match || (match[3] as string).startsWith("Z")) return [];
    return [
      {
        pid: Number(match[1]),
        parent: Number(match[2]),
        state: match[3] as string,
        startedAt: match[4] as string,
        command: match[5] as string,
      },
    ];
  });
}
