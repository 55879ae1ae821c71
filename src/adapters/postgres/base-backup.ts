/** Takes a base backup over the replication protocol into a folder, and leaves it whole and on disk, or not at all. */
import { chmod, chown, type FileHandle, mkdir, open, rm, symlink } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import type { Account } from "./account.ts";
import { DatabaseError } from "./database-error.ts";
import { syncFolder, syncTree } from "./durable-file.ts";
import { markerFile } from "./member-file.ts";
import { ReplicationConnection, type ReplicationTarget } from "./replication.ts";
import { TarReader } from "./tar-reader.ts";

export const manifestFile = "backup_manifest";

export interface BackupRequest {
  readonly from: ReplicationTarget;
  /** Must not exist. Only when this resolves, it holds a whole backup. */
  readonly folder: string;
  readonly account: Account;
  /** 0: as fast as it goes. PostgreSQL takes 32 kB/s to 1 GB/s. */
  readonly maxBytesPerSecond: number;
  /** Whether PostgreSQL's own list of its files, with their checksums, is to lie in it as `backup_manifest`. */
  readonly withManifest: boolean;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

export async function takeBaseBackup(request: BackupRequest, signal: AbortSignal): Promise<void> {
  const { folder, maxBytesPerSecond } = request;
  const connection = await ReplicationConnection.open(request.from, "physical", signal);
  const sink = new FolderSink(folder, request.account, request.withManifest);
  let totalBytes = 0;
  let tablespaces = 0;
  try {
    await sink.begin();
    const options = ["LABEL 'holdfast'", "CHECKPOINT 'fast'", "WAL true", "PROGRESS true"];
    options.push(
      ...(request.withManifest ? ["MANIFEST 'yes'", "MANIFEST_CHECKSUMS 'SHA256'"] : ["MANIFEST 'no'"]),
    );
    if (0 < maxBytesPerSecond)
      options.push(`MAX_RATE ${Math.min(1024 * 1024, Math.max(32, Math.floor(maxBytesPerSecond / 1024)))}`);
    await connection.copy(`BASE_BACKUP (${options.join(", ")})`, {
      onRow: (fields, resultSet) => {
        if (resultSet !== 1) return;
        tablespaces += 1;
        totalBytes += Number(fields[2] ?? 0) * 1024;
      },
      onCopy: async (message) => {
        if (1 < tablespaces)
          throw new DatabaseError(
            "HOLDFAST_PG_SEED",
            "the upstream has tablespaces of its own, which cannot be seeded; move their tables to pg_default first",
          );
        // PostgreSQL 15 and later: n = new archive, m = manifest, d = data, p = progress.
        const kind = String.fromCharCode(message[0] as number);
        if (kind === "m") await sink.beginManifest();
        if (kind === "d") await sink.write(message.subarray(1));
        if (kind === "p") request.onProgress(Number(message.readBigInt64BE(1)), totalBytes);
      },
    });
    await sink.finish(signal);
  } catch (error) {
    await sink.abandon();
    signal.throwIfAborted();
    if (error instanceof DatabaseError) throw error;
    const text = error instanceof Error ? error.message : String(error);
    const advice = adviceFor((error as NodeJS.ErrnoException).code);
    throw new DatabaseError("HOLDFAST_PG_SEED", `the base backup into ${folder} failed: ${text}${advice}`, {
      retryable: true,
      cause: error,
    });
  } finally {
    connection.close();
  }
}

function adviceFor(code: string | undefined): string {
  if (code === "ENOSPC") return "; make room on that disk";
  // PostgreSQL verifies every page that it sends, and says so at the end: data_corrupted.
  if (code === "XX001")
    return "; pages of the upstream are damaged: hand over to a whole copy, or restore a backup";
  return "";
}

class FolderSink {
  readonly #root: string;
  readonly #account: Account;
  readonly #tar = new TarReader();
  readonly #withManifest: boolean;
  #file: FileHandle | null = null;
  #inManifest = false;
  #work: Promise<void> = Promise.resolve();
  #abandoned = false;
  #skipping = false;
  #sawControl = false;

  constructor(root: string, account: Account, withManifest: boolean) {
    this.#root = root;
    this.#account = account;
    this.#withManifest = withManifest;
  }

  async begin(): Promise<void> {
    await this.#makeFolder(this.#root);
  }

  /** It comes after everything else, and in no archive. */
  async beginManifest(): Promise<void> {
    await this.#closeFile();
    this.#inManifest = true;
    this.#file = await open(join(this.#root, manifestFile), "wx", 0o600);
  }

  /** One at a time. What still arrives once it is abandoned is dropped. */
  async write(bytes: Buffer): Promise<void> {
    if (this.#abandoned) return;
    this.#work = this.#store(bytes);
    await this.#work;
  }

  async #store(bytes: Buffer): Promise<void> {
    if (this.#inManifest) return writeAll(this.#file as FileHandle, bytes);
    for (const event of this.#tar.read(bytes)) {
      if (event.kind === "content") {
        if (!this.#skipping) await writeAll(this.#file as FileHandle, event.bytes);
        continue;
      }
      if (event.kind === "end") {
        await this.#closeFile();
        continue;
      }
      const { entry } = event;
      // A member's marker never belongs to another one; a backup is whole only with all that its manifest names.
      this.#skipping = (entry.name === markerFile && !this.#withManifest) || entry.name === "postmaster.pid";
      if (this.#skipping) continue;
      const path = this.#inside(entry.name);
      if (entry.kind === "folder") await this.#makeFolder(path);
      else if (entry.kind === "link") await symlink(entry.linkTarget, path);
      else {
        this.#file = await open(path, "wx", entry.mode & 0o600);
        if (this.#account.switches) await this.#file.chown(this.#account.uid, this.#account.gid);
        if (entry.name === "global/pg_control") this.#sawControl = true;
      }
    }
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    await file?.close();
  }

  async finish(signal: AbortSignal): Promise<void> {
    await this.#closeFile();
    if (!this.#tar.isWhole || !this.#sawControl || this.#inManifest !== this.#withManifest)
      throw new DatabaseError("HOLDFAST_PG_SEED", "the base backup ended before it was whole", {
        retryable: true,
      });
    await syncTree(this.#root, signal);
    await syncFolder(dirname(this.#root));
  }

  async abandon(): Promise<void> {
    this.#abandoned = true;
    await this.#work.catch(() => undefined);
    await this.#file?.close().catch(() => undefined);
    await rm(this.#root, { recursive: true, force: true });
  }

  #inside(name: string): string {
    const path = normalize(join(this.#root, name.replace(/\/$/, "")));
    if (!path.startsWith(`${this.#root}/`))
      throw new DatabaseError(
        "HOLDFAST_PG_SEED",
        `the base backup names ${name}, which lies outside of its folder`,
      );
    return path;
  }

  async #makeFolder(path: string): Promise<void> {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await chmod(path, 0o700);
    if (this.#account.switches) await chown(path, this.#account.uid, this.#account.gid);
  }
}

async function writeAll(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done)).bytesWritten;
}
