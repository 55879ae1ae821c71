/** Writes small files that must be whole after a power cut: temporary file, fsync, rename, fsync of the folder. */
import { chown, type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
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

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** A folder that only `account` may enter, made with its parents. */
export async function makePrivateFolder(path: string, account: Account): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  if (account.switches) await chown(path, account.uid, account.gid);
}
