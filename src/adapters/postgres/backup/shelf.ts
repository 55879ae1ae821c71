/**
 * The folder of a data store's backups: `NAME/data` is what PostgreSQL sent, `NAME/backup.json` says how it was taken, and
 * `NAME/test.json` what its last restore test found.
 *
 * - K1. A name of digits stands for a whole backup: it is made, and removed, under a name that begins with a dot.
 * - K2. What begins with a dot bears the id of the process that works on it; once that is gone, anybody may remove it.
 * - K3. The last backup that passed its test is never removed, nor the one that was tested last: a failure that nobody has
 *   looked into must not be forgotten with it.
 */
import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { BackupRecord, BackupTest, KeptBackup } from "../../../core/model/backup.ts";
import type { Account } from "../account.ts";
import { DatabaseError } from "../database-error.ts";
import { syncFolder } from "../durable-file.ts";
import { treePlace } from "../postmaster.ts";
import { endTree } from "../process-tree.ts";
import { isForbidden } from "./files.ts";

export const recordFile = "backup.json";
export const testFile = "test.json";
export const dataFolder = "data";

/** What lies there is ours alone: the user that PostgreSQL runs as has no business with it. */
export const shelfOwner: Account = { name: "", uid: -1, gid: -1, switches: false };

const namePattern = /^\d{8}T\d{6}Z$/;
const unfinishedPattern = /^\.(\d{8}T\d{6}Z\.)?(taking|testing|removing)-(\d+)$/;

/** Such as `20261122T023000Z`. */
export function backupName(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`;
}

export function unfinishedName(what: "taking" | "testing" | "removing", name = ""): string {
  return `.${name === "" ? "" : `${name}.`}${what}-${process.pid}`;
}

/** In the order of time; empty where there is no folder yet. */
export async function listBackups(folder: string): Promise<readonly KeptBackup[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return Promise.all(
    names
      .filter((name) => namePattern.test(name))
      .sort()
      .map((name) => readBackup(folder, name)),
  );
}

async function readBackup(folder: string, name: string): Promise<KeptBackup> {
  const own = join(folder, name);
  const record = await readWritten<BackupRecord>(join(own, recordFile));
  const test = await readWritten<BackupTest>(join(own, testFile));
  return { name, folder: own, record, test };
}

/** `latest`, or a name. Rejects with HOLDFAST_BACKUP_NOT_FOUND. */
export async function findBackup(folder: string, wanted: string): Promise<KeptBackup> {
  const kept = await listBackups(folder);
  const found = wanted === "latest" ? kept.at(-1) : kept.find(({ name }) => name === wanted);
  if (found) return found;
  const there = kept.map(({ name }) => name).join(", ") || "none";
  throw new DatabaseError(
    "HOLDFAST_BACKUP_NOT_FOUND",
    `no backup ${wanted} in ${folder}; there is: ${there}`,
  );
}

/** K3: those that go when the newest `keep` whole ones are to stay. What cannot be read is left to people. */
export function whatGoes(kept: readonly KeptBackup[], keep: number): readonly KeptBackup[] {
  const whole = kept.filter(({ record }) => record !== null);
  const proven = whole.findLast(({ test }) => test?.outcome === "passed");
  const last = whole.toSorted((a, b) => (a.test?.testedAt ?? 0) - (b.test?.testedAt ?? 0)).at(-1);
  return whole.slice(0, Math.max(0, whole.length - keep)).filter((one) => one !== proven && one !== last);
}

/** K1 */
export async function removeBackup(folder: string, name: string): Promise<void> {
  const leaving = join(folder, unfinishedName("removing", name));
  await rename(join(folder, name), leaving);
  await syncFolder(folder);
  await rm(leaving, { recursive: true, force: true });
}

/** K2: what a process that was killed has left here, its PostgreSQL included. */
export async function clearUnfinished(folder: string, signal: AbortSignal): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = Number(unfinishedPattern.exec(name)?.[3] ?? 0);
    if (pid === 0 || pid === process.pid || isAlive(pid)) continue;
    await endTree(treePlace(join(folder, name, dataFolder)), signal);
    await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** A folder through which the user that PostgreSQL runs as may pass, and look at nothing. */
export async function makeShelf(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o711 });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** null: it is not there, is no JSON, or of another schema. */
async function readWritten<T extends { readonly schema: 1 }>(path: string): Promise<T | null> {
  try {
    const written = JSON.parse(await readFile(path, "utf8")) as T;
    return written?.schema === 1 ? written : null;
  } catch (error) {
    if (isForbidden(error)) throw error;
    return null;
  }
}
