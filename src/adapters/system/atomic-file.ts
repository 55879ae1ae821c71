/** Replaces a file so that after a crash at any instant the old or the new text stands there, whole. */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { HoldfastError } from "../../core/model/error-code.ts";
import { makeId } from "./random.ts";

/**
 * Temporary file, fsync, rename, fsync of the folder. Measured: after a power cut a file that had only been renamed came
 * back as zeros. Resolves nothing half-way: throws HOLDFAST_FILE_UNWRITABLE, and the old text still stands.
 */
export function replaceFile(path: string, text: string | Uint8Array, mode = 0o600): void {
  const temporary = `${path}.${makeId()}.tmp`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const file = openSync(temporary, "wx", mode);
    try {
      const bytes = typeof text === "string" ? Buffer.from(text) : text;
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
    syncFolder(dirname(path));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new HoldfastError(
      "HOLDFAST_FILE_UNWRITABLE",
      `cannot replace ${path}: ${(error as Error).message}; its old content stands`,
      error,
    );
  }
}

/** null: there is none. Any other trouble is thrown: what cannot be read is not absent. */
export function readFileIfAny(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new HoldfastError(
      "HOLDFAST_FILE_UNREADABLE",
      `cannot read ${path}: ${(error as Error).message}`,
      error,
    );
  }
}

function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
