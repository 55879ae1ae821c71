/** Writes small files that must be whole after a power cut: temporary file, fsync, rename, fsync of the folder. */
import { execFile } from "node:child_process";
import { chown, type FileHandle, mkdir, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Account } from "./account.ts";

let serial = 0;

/** Afterwards `path` holds `text` for good; at no moment does it hold a part of it. */
export async function writeDurable(
  path: string,
  text: string,
  account: Account,
  mode = 0o600,
): Promise<void> {
  serial += 1;
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.${serial}`);
  let file: FileHandle | undefined;
  try {
    file = await open(temporary, "w", mode);
    await file.writeFile(text);
    if (account.switches) await file.chown(account.uid, account.gid);
    await file.sync();
    await file.close();
    file = undefined;
    await rename(temporary, path);
  } catch (error) {
    await file?.close();
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/** As `writeDurable`, but for what need not outlive a power cut: whole for every reader, and without waiting for the disk. */
export async function writeUnsynced(
  path: string,
  text: string,
  account: Account,
  mode = 0o600,
): Promise<void> {
  serial += 1;
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.${serial}`);
  try {
    await writeFile(temporary, text, { mode });
    if (account.switches) await chown(temporary, account.uid, account.gid);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/**
 * Everything below `path` is on disk for good. One call for the whole file system where there is one (syncfs, 20 to 50
 * times faster than the thousand files of an empty database one by one), else file by file.
 */
export async function syncTree(path: string, signal: AbortSignal): Promise<void> {
  if (process.platform === "linux") {
    const told = await new Promise<Error | null>((resolve) => {
      execFile("sync", ["--file-system", path], { signal, env: { PATH: "/usr/bin:/bin" } }, resolve);
    });
    signal.throwIfAborted();
    if (told === null) return;
  }
  for (const entry of await readdir(path, { withFileTypes: true })) {
    signal.throwIfAborted();
    const inner = join(path, entry.name);
    if (entry.isDirectory()) await syncTree(inner, signal);
    else if (entry.isFile()) await syncFolder(inner);
  }
  await syncFolder(path);
}

/** A folder that only `account` may enter, made with its parents. */
export async function makePrivateFolder(path: string, account: Account): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  if (account.switches) await chown(path, account.uid, account.gid);
}
