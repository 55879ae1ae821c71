/** The files of a base backup: read once, compared with what they were, and copied on the way. */
import { statfsSync } from "node:fs";
import { chown, type FileHandle, lstat, mkdir, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { ChecksumAlgorithm, Damage, ListedFile } from "../../../core/model/backup.ts";
import type { Account } from "../account.ts";
import { DatabaseError } from "../database-error.ts";
import { describeMebibytes } from "../progress.ts";
import { FileSum } from "./manifest.ts";

const chunkBytes = 1024 * 1024;
/** Who has lost a disk needs no list of a million files. */
export const damagesMax = 100;

export interface Tree {
  /** Parents before what is in them; the first is the root itself, "". */
  readonly folders: readonly string[];
  readonly files: readonly string[];
}

/** Everything below `root`, as paths from it on. */
export async function treeOf(root: string): Promise<Tree> {
  const folders = [""];
  const files: string[] = [];
  for (const folder of folders)
    for (const entry of await readdir(join(root, folder), { withFileTypes: true }))
      (entry.isDirectory() ? folders : files).push(join(folder, entry.name));
  return { folders, files };
}

/** As a manifest would list it. */
export async function listFile(root: string, path: string, signal: AbortSignal): Promise<ListedFile> {
  const algorithm = "SHA256";
  const { bytes, checksum } = await readWhole(join(root, path), algorithm, null, signal);
  return { path, bytes, algorithm, checksum };
}

/**
 * Copies a backup's data to `to`, which must not exist, and compares each file with its entry. Afterwards `to` holds all of
 * it where no damage is told. Rejects where the copy cannot be written.
 */
export async function copyChecked(request: {
  readonly from: string;
  readonly to: string;
  readonly listed: readonly ListedFile[];
  /** Beside those that are listed; they are not copied. */
  readonly known: readonly string[];
  readonly account: Account;
  readonly onProgress: (doneBytes: number) => void;
  readonly signal: AbortSignal;
}): Promise<{ readonly bytes: number; readonly damages: readonly Damage[] }> {
  const { from, to, account, signal } = request;
  const missing = new Map(request.listed.map((file) => [file.path, file]));
  const damages: Damage[] = [];
  const damaged = (file: string, because: string) => {
    if (damages.length < damagesMax) damages.push({ file, because });
  };
  let bytes = 0;
  const { folders, files } = await treeOf(from);
  for (const folder of folders) {
    await mkdir(join(to, folder), { mode: 0o700 });
    if (account.switches) await chown(join(to, folder), account.uid, account.gid);
  }
  for (const path of files) {
    const file = missing.get(path);
    missing.delete(path);
    if (request.known.includes(path)) continue;
    if (!file) damaged(path, "the manifest does not name it");
    else {
      const because = await copyFile(join(from, path), join(to, path), file, account, signal);
      if (because !== "") damaged(path, because);
      bytes += file.bytes;
      request.onProgress(bytes);
    }
  }
  for (const path of missing.keys()) damaged(path, "it is missing");
  return { bytes, damages };
}

/** Why it is not what it was; empty: it is. */
async function copyFile(
  from: string,
  to: string,
  file: ListedFile,
  account: Account,
  signal: AbortSignal,
): Promise<string> {
  const found = await lstat(from);
  if (!found.isFile()) return "it is not a plain file";
  if (found.size !== file.bytes) return `it has ${found.size} bytes, and had ${file.bytes}`;
  const copy = await open(to, "wx", 0o600);
  try {
    if (account.switches) await copy.chown(account.uid, account.gid);
    const { checksum } = await readWhole(from, file.algorithm, copy, signal);
    return checksum === file.checksum ? "" : `its content is not what it was (${file.algorithm})`;
  } catch (error) {
    // A disk that cannot give back what it was given.
    if (error instanceof UnreadableError) return `it cannot be read: ${error.message}`;
    throw error;
  } finally {
    await copy.close();
  }
}

class UnreadableError extends Error {}

/** It may be whole: whoever asks may only not see it. */
export function isForbidden(error: unknown): boolean {
  return ["EACCES", "EPERM"].includes(String((error as NodeJS.ErrnoException).code));
}

async function readWhole(
  path: string,
  algorithm: ChecksumAlgorithm,
  copy: FileHandle | null,
  signal: AbortSignal,
): Promise<{ readonly bytes: number; readonly checksum: string }> {
  const sum = new FileSum(algorithm);
  const buffer = Buffer.allocUnsafe(chunkBytes);
  const unreadable = (error: Error): never => {
    throw isForbidden(error) ? error : new UnreadableError(error.message);
  };
  const file = await open(path, "r").catch(unreadable);
  try {
    for (let bytes = 0; ; ) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, chunkBytes).catch(unreadable);
      if (bytesRead === 0) return { bytes, checksum: sum.hex() };
      const chunk = buffer.subarray(0, bytesRead);
      sum.update(chunk);
      bytes += bytesRead;
      for (let done = 0; copy !== null && done < bytesRead; )
        done += (await copy.write(chunk, done)).bytesWritten;
    }
  } finally {
    await file.close();
  }
}

/** Rejects with HOLDFAST_BACKUP_NO_ROOM where the disk of `folder` has not `bytes` left. */
export function requireRoom(folder: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (bytes <= free) return;
  throw new DatabaseError(
    "HOLDFAST_BACKUP_NO_ROOM",
    `${describeMebibytes(bytes)} are to be written to ${folder}, and its disk has ${describeMebibytes(free)} left`,
  );
}
