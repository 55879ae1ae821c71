/** The last routing tables on disk: written whole or not at all, read back at start with nobody to ask (R3). */
import { mkdir, open, readdir, readFile, rename, rm, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { RoutingTable } from "../core/model/routing.ts";

/** Several, since the newest may be the poison: `slow-poison`, Azure Front Door, October 2025. */
const keptMax = 5;
type TableMark = Pick<RoutingTable, "epoch" | "generation">;
const pattern = /^table-\d{12}-\d{12}\.json$/;
const stagedPattern = /^\d+-\d+\.tmp$/;

export class KeptTables {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Hands the disk a signed table as it came, while it is still looked at: it counts only once it is kept. */
  stage(bytes: Uint8Array): StagedFile {
    return new StagedFile(this.#folder, bytes);
  }

  /** Resolves when a power cut can no longer take it away. */
  async keep(staged: StagedFile, { epoch, generation }: TableMark): Promise<void> {
    const name = fileName(epoch, generation);
    // The oldest makes room while the disk takes the newest: who waits, waits for one of the two.
    await Promise.all([staged.keepAs(name), this.#makeRoomFor(name)]);
  }

  async #makeRoomFor(newest: string): Promise<void> {
    const others = (await this.#names()).filter((name) => name !== newest);
    await Promise.all(others.slice(0, 1 - keptMax).map((name) => unlink(join(this.#folder, name))));
  }

  /** The kept tables as they came, newest first; what cannot be read is left out. */
  async newestFirst(): Promise<readonly Uint8Array[]> {
    const names = [...(await this.#names())].reverse();
    const tables = await Promise.all(names.map((name) => readIfThere(join(this.#folder, name))));
    return tables.filter((bytes) => bytes !== null);
  }

  /** In the order of (epoch, generation). */
  async #names(): Promise<readonly string[]> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    return (await readdir(this.#folder)).filter((name) => pattern.test(name)).sort();
  }
}

function fileName(epoch: number, generation: number): string {
  return `table-${String(epoch).padStart(12, "0")}-${String(generation).padStart(12, "0")}.json`;
}

/** Temporary file, fsync, rename, fsync of the folder: after a crash there is the old file or the new one. */
export async function writeWhole(folder: string, name: string, bytes: Uint8Array): Promise<void> {
  const staged = new StagedFile(folder, bytes);
  try {
    await staged.keepAs(name);
  } finally {
    await staged.end();
  }
}

/** What a process that was killed in the middle of writing left in `folder`: nobody will ever keep it. */
export async function sweepStaged(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  const staged = names.filter((name) => stagedPattern.test(name));
  await Promise.all(staged.map((name) => rm(join(folder, name), { force: true })));
}

let stagedFiles = 0;

/** What is on its way to the disk, and has no name there yet that anybody reads. */
export class StagedFile {
  readonly #folder: string;
  readonly #temporary: string;
  readonly #written: Promise<void>;
  #isKept = false;

  constructor(folder: string, bytes: Uint8Array) {
    this.#folder = folder;
    this.#temporary = join(folder, `${process.pid}-${stagedFiles++}.tmp`);
    this.#written = this.#write(bytes);
    // Whoever keeps it is told; a table that is refused needs no disk.
    this.#written.catch(() => undefined);
  }

  /** Rejects when the disk did not take it. */
  async keepAs(name: string): Promise<void> {
    await this.#written;
    await rename(this.#temporary, join(this.#folder, name));
    this.#isKept = true;
    const directory = await open(this.#folder, "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }

  /** Leaves nothing behind of what was not kept. */
  async end(): Promise<void> {
    if (this.#isKept) return;
    await this.#written.catch(() => undefined);
    await rm(this.#temporary, { force: true });
  }

  async #write(bytes: Uint8Array): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const file = await open(this.#temporary, "w", 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  }
}

export async function readIfThere(path: string): Promise<Uint8Array | null> {
  try {
    return await readFile(path);
  } catch {
    // A kept table that cannot be read is as good as none: the next older one serves.
    return null;
  }
}
