/** Takes a base backup of a data store into a folder of its own: whole, on disk and described, or not at all. */
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { BackupRecord, KeptBackup, ListedFile } from "../../../core/model/backup.ts";
import type { DataStore } from "../../../core/model/topology.ts";
import type { Clock } from "../../../ports/clock.ts";
import { manifestFile, takeBaseBackup } from "../base-backup.ts";
import { DatabaseError } from "../database-error.ts";
import { syncFolder, writeDurable } from "../durable-file.ts";
import { tellProgress } from "../progress.ts";
import type { ReplicationTarget } from "../replication.ts";
import { defaultDatabase } from "../settings.ts";
import { listFile, requireRoom, treeOf } from "./files.ts";
import { readManifest } from "./manifest.ts";
import {
  backupName,
  clearUnfinished,
  dataFolder,
  findBackup,
  listBackups,
  makeShelf,
  recordFile,
  removeBackup,
  shelfOwner,
  unfinishedName,
  whatGoes,
} from "./shelf.ts";
import { findSource } from "./source.ts";

export interface TakeRequest {
  /** Of the data store alone. */
  readonly folder: string;
  readonly topology: string;
  readonly store: DataStore;
  /** Where it is kept. */
  readonly region: string;
  /** Of the role `replicator`. */
  readonly password: string;
  readonly clock: Clock;
  /** Version of Holdfast. */
  readonly by: string;
  readonly say: (text: string) => void;
}

/** Resolves when it is on disk for good. */
export async function takeBackup(request: TakeRequest, signal: AbortSignal): Promise<KeptBackup> {
  const { folder, store, clock } = request;
  const source = await findSource(
    { members: store.members, region: request.region, password: request.password, database: defaultDatabase },
    signal,
  );
  request.say(`copying from ${source.member.name}, ${source.role} of epoch ${source.epoch}`);
  await makeShelf(folder);
  await clearUnfinished(folder, signal);
  const [startedAt, begin] = [clock.wall(), clock.now()];
  const name = backupName(startedAt);
  const newest = (await listBackups(folder)).at(-1)?.name ?? "";
  // Names are the order in which old ones go: one that sorts before another would go in its place.
  if (name <= newest)
    throw new DatabaseError(
      "HOLDFAST_BACKUP_NOT_TAKEN",
      `this host's clock says ${name}, and there is a backup ${newest} already; correct the clock, or move that one away`,
    );
  const making = join(folder, unfinishedName("taking", name));
  await rm(making, { recursive: true, force: true });
  await mkdir(making, { mode: 0o700 });
  try {
    const data = join(making, dataFolder);
    await copyFrom(request, source.target, data, signal);
    const listed = readManifest(await readFile(join(data, manifestFile))).files;
    const names = new Set([...listed.map(({ path }) => path), manifestFile]);
    const unlisted: ListedFile[] = [];
    for (const path of (await treeOf(data)).files)
      if (!names.has(path)) unlisted.push(await listFile(data, path, signal));
    const record: BackupRecord = {
      schema: 1,
      topology: request.topology,
      store: store.name,
      member: source.member.name,
      region: source.member.region,
      role: source.role,
      epoch: source.epoch,
      systemId: source.systemId,
      takenAt: startedAt,
      tookMs: Math.round(clock.now() - begin),
      bytes: [...listed, ...unlisted].reduce((sum, { bytes }) => sum + bytes, 0),
      major: Number.parseInt((await readFile(join(data, "PG_VERSION"))).toString("utf8"), 10),
      by: request.by,
      unlisted,
    };
    await writeDurable(join(making, recordFile), `${JSON.stringify(record, null, 2)}\n`, shelfOwner);
    await rename(making, join(folder, name));
    await syncFolder(folder);
  } catch (error) {
    await rm(making, { recursive: true, force: true });
    throw error;
  }
  return findBackup(folder, name);
}

/** Names of what was removed (K3). */
export async function pruneBackups(folder: string, keep: number): Promise<readonly string[]> {
  const going = whatGoes(await listBackups(folder), keep);
  for (const { name } of going) await removeBackup(folder, name);
  return going.map(({ name }) => name);
}

async function copyFrom(
  { store, say }: TakeRequest,
  from: ReplicationTarget,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const told = tellProgress(10, (text) => say(`copied ${text}`));
  let isFirst = true;
  const onProgress = (doneBytes: number, totalBytes: number) => {
    // Before the disk is full: others may write to it too.
    if (isFirst) requireRoom(dirname(folder), totalBytes - doneBytes);
    isFirst = false;
    told(doneBytes, totalBytes);
  };
  const maxBytesPerSecond = (store.seedMegabytesPerSecondMax ?? 0) * 1e6;
  try {
    await takeBaseBackup(
      { from, folder, account: shelfOwner, maxBytesPerSecond, withManifest: true, onProgress },
      signal,
    );
  } catch (error) {
    if (!(error instanceof DatabaseError) || error.code !== "HOLDFAST_PG_SEED") throw error;
    const isFull = (error.cause as NodeJS.ErrnoException | undefined)?.code === "ENOSPC";
    const code = isFull ? "HOLDFAST_BACKUP_NO_ROOM" : "HOLDFAST_BACKUP_NOT_TAKEN";
    throw new DatabaseError(code, error.message, { retryable: !isFull, cause: error });
  }
}
