/**
 * The restore test: a backup is read, compared with its manifest, restored into a scratch folder, recovered by a PostgreSQL
 * of its own, read by it, and gone over page by page.
 *
 * - B1. What is written down as passed was restored: no shortcut says so.
 * - B2. A test that could not be made is an error, and is never written down as a failure of the backup.
 * - B3. Nothing of the test outlives it; what a killed one left is removed by the next (K2).
 */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { BackupRecord, BackupTest, Damage, KeptBackup } from "../../../core/model/backup.ts";
import type { Clock } from "../../../ports/clock.ts";
import { type Account, findAccount, findBarrier } from "../account.ts";
import { manifestFile } from "../base-backup.ts";
import { type Binaries, findBinaries } from "../binaries.ts";
import { quoteIdentifier } from "../canary.ts";
import { DatabaseError } from "../database-error.ts";
import { listCommits } from "../divergence.ts";
import { makePrivateFolder, writeDurable } from "../durable-file.ts";
import { walAlong } from "../own-history.ts";
import { tellProgress } from "../progress.ts";
import { copyChecked, damagesMax, isForbidden, requireRoom } from "./files.ts";
import { type Manifest, readManifest } from "./manifest.ts";
import { checkPages } from "./page-checksum.ts";
import { ScratchServer } from "./scratch-server.ts";
import { clearUnfinished, dataFolder, recordFile, shelfOwner, testFile, unfinishedName } from "./shelf.ts";

export interface TestRequest {
  readonly backup: KeptBackup;
  /** A folder in which one for the restored data is made, and removed; the disk needs room for all of it. */
  readonly scratch: string;
  readonly binDir: string | undefined;
  readonly runAs: string | undefined;
  readonly clock: Clock;
  /** Version of Holdfast. */
  readonly by: string;
  readonly say: (text: string) => void;
}

/** Only the counting of a table is long; its length is not known before. */
const statementTimeoutMs = 6 * 3_600_000;
const tablesShownMax = 1000;
/** For the segments of WAL that a recovery writes. */
const recoveryBytes = 64 * 1024 * 1024;

/** What is known at the end of a test, whatever came of it. */
type Findings = Omit<BackupTest, "schema" | "backup" | "outcome" | "testedAt" | "by" | "tookMs">;

const nothing: Findings = {
  damages: [],
  postgres: "",
  restoreMs: null,
  bytes: 0,
  pagesChecked: null,
  tables: 0,
  rows: 0,
  rowsOf: {},
  lastCommitAt: null,
};

/** Writes what it found beside the backup. Rejects, and writes nothing, where the test could not be made (B2). */
export async function testBackup(request: TestRequest, signal: AbortSignal): Promise<BackupTest> {
  const { backup, clock, by } = request;
  const [testedAt, begin] = [clock.wall(), clock.now()];
  const found = await examine(request, signal);
  const test: BackupTest = {
    schema: 1,
    backup: backup.name,
    outcome: found.damages.length === 0 ? "passed" : "failed",
    testedAt,
    by,
    tookMs: Math.round(clock.now() - begin),
    ...found,
  };
  await writeDurable(join(backup.folder, testFile), `${JSON.stringify(test, null, 2)}\n`, shelfOwner);
  return test;
}

async function examine(request: TestRequest, signal: AbortSignal): Promise<Findings> {
  const { backup, scratch } = request;
  const { record } = backup;
  if (!record) return { ...nothing, damages: [{ file: recordFile, because: "it cannot be read" }] };
  const path = join(backup.folder, dataFolder, manifestFile);
  let manifest: Manifest;
  try {
    manifest = readManifest(await readFile(path));
  } catch (error) {
    if (isForbidden(error)) throw error;
    const because = error instanceof RangeError ? error.message : `it cannot be read: ${error}`;
    return { ...nothing, damages: [{ file: join(dataFolder, manifestFile), because }] };
  }
  const account = findAccount(request.runAs);
  const binaries = await findBinariesOf(record, request, account);
  const barrier = findBarrier(join(scratch, "x"), account);
  if (barrier !== null)
    throw new DatabaseError(
      "HOLDFAST_BACKUP_UNTESTED",
      `user ${account.name} cannot reach ${scratch}: it may not enter ${barrier}; run "chmod o+x ${barrier}" or name another folder with --scratch`,
    );
  await clearUnfinished(scratch, signal);
  requireRoom(scratch, record.bytes + recoveryBytes);
  const place = join(scratch, unfinishedName("testing"));
  await rm(place, { recursive: true, force: true });
  await makePrivateFolder(place, account);
  try {
    return await restore({ request, record, manifest, account, binaries, place }, signal);
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

interface Parts {
  readonly request: TestRequest;
  readonly record: BackupRecord;
  readonly manifest: Manifest;
  readonly account: Account;
  readonly binaries: Binaries;
  readonly place: string;
}

async function restore(parts: Parts, signal: AbortSignal): Promise<Findings> {
  const { request, record, manifest, account, binaries, place } = parts;
  const { backup, clock, say } = request;
  const begin = clock.now();
  const dataDir = join(place, dataFolder);
  const told = tellProgress(10, (text) => say(`checked and restored ${text}`));
  const { bytes, damages } = await copyChecked({
    from: join(backup.folder, dataFolder),
    to: dataDir,
    listed: [...manifest.files, ...record.unlisted],
    known: [manifestFile],
    account,
    onProgress: (doneBytes) => told(doneBytes, record.bytes),
    signal,
  });
  if (damages.length > 0) return { ...nothing, bytes, damages: damages.map(below) };
  await using server = await ScratchServer.prepare({ place, dataDir, binaries, account });
  const because = await server.start(signal);
  const known = { ...nothing, bytes, postgres: binaries.version };
  if (/No space left on device/.test(because)) throw new DatabaseError("HOLDFAST_BACKUP_NO_ROOM", because);
  if (because !== "")
    return { ...known, damages: [{ file: "", because: `PostgreSQL does not start from it: ${because}` }] };
  const restoreMs = Math.round(clock.now() - begin);
  say(`restored and consistent after ${restoreMs} ms; reading every table`);
  const read = await readTables(server, signal);
  await server.stop(signal);
  const pages = read.hasChecksums ? await checkPages(dataDir, signal) : null;
  const { tables, rows, rowsOf } = read;
  return {
    ...known,
    restoreMs,
    tables,
    rows,
    rowsOf,
    pagesChecked: pages?.pages ?? null,
    lastCommitAt: newestCommit(join(backup.folder, dataFolder), manifest),
    damages: [...read.damages, ...(pages?.damages.map(below) ?? [])].slice(0, damagesMax),
  };
}

function below({ file, because }: Damage): Damage {
  return { file: `${dataFolder}/${file}`, because };
}

interface Read {
  readonly hasChecksums: boolean;
  readonly tables: number;
  readonly rows: number;
  readonly rowsOf: Readonly<Record<string, number>>;
  readonly damages: readonly Damage[];
}

/** Every row of every table of the users', of all databases. */
async function readTables(server: ScratchServer, signal: AbortSignal): Promise<Read> {
  const damages: Damage[] = [];
  /** Nothing where it cannot be read, which is a damage. */
  const ask = async <Column extends string>(what: string, database: string, text: string) => {
    try {
      return await server.ask<Column>(database, text, statementTimeoutMs, signal);
    } catch (error) {
      signal.throwIfAborted();
      damages.push({ file: "", because: `${what} cannot be read: ${(error as Error).message}` });
      return [];
    }
  };
  const counts: Record<string, number> = {};
  for (const { datname } of await ask<"datname">("the list of databases", "postgres", databasesQuery))
    for (const { schema, name } of await ask<"schema" | "name">(
      `the catalogue of ${datname}`,
      datname,
      tablesQuery,
    )) {
      const table = `${datname}.${schema}.${name}`;
      const from = `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
      for (const { rows } of await ask<"rows">(table, datname, `select count(*) as rows from ${from}`))
        counts[table] = Number(rows);
    }
  const [pages] = await ask<"checked">("the list of settings", "postgres", pagesQuery);
  const all = Object.entries(counts);
  return {
    hasChecksums: pages?.checked === "true",
    tables: all.length,
    rows: all.reduce((sum, [, rows]) => sum + rows, 0),
    rowsOf: Object.fromEntries(all.slice(0, tablesShownMax)),
    damages,
  };
}

/** Pages of another size are not gone over: no package has them. */
const pagesQuery = `select (current_setting('data_checksums') = 'on' and current_setting('block_size') = '8192'
  and current_setting('segment_size') = '1GB')::text as checked`;
const databasesQuery = "select datname from pg_database where datallowconn order by 1";
const tablesQuery = `select n.nspname as schema, c.relname as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'm') and c.relpersistence = 'p' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  order by 1, 2`;

/** By the WAL that the backup brings along: what was committed before the copy began tells no time. */
function newestCommit(dataDir: string, { wal }: Manifest): string | null {
  const source = walAlong(join(dataDir, "pg_wal"), wal);
  return wal.flatMap(({ begin, end }) => listCommits(source, begin, end)).at(-1)?.committedAt ?? null;
}

/** Another major version cannot start from it: that is no fault of the backup. */
async function findBinariesOf(
  { major }: BackupRecord,
  { binDir }: TestRequest,
  account: Account,
): Promise<Binaries> {
  const binaries = await findBinaries({ binDir, account });
  if (binaries.major === major) return binaries;
  throw new DatabaseError(
    "HOLDFAST_BACKUP_UNTESTED",
    `the backup is of PostgreSQL ${major}, and ${binaries.binDir} is ${binaries.version}: name the programs of ${major} with --pg-bin`,
  );
}
