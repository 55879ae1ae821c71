/** Backups of real members, whole and damaged in every way that we could think of: each damage is found, and named. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { testBackup } from "../../../src/adapters/postgres/backup/restore-test.ts";
import { clearUnfinished, findBackup, listBackups } from "../../../src/adapters/postgres/backup/shelf.ts";
import { takeBackup } from "../../../src/adapters/postgres/backup/take.ts";
import { endTree, findTree } from "../../../src/adapters/postgres/process-tree.ts";
import type { BackupTest, KeptBackup } from "../../../src/core/model/backup.ts";
import { within } from "../../contract/database.ts";
import { installations, Lab, secrets } from "./lab.ts";

const clock = { now: () => performance.now(), wall: () => Date.now() };
const quiet = { clock, by: "test", say: () => undefined };

const places = await installations();
const [newest] = places;
assert.ok(newest);

/** One backup, of which each damage gets a copy of its own. */
let lab: Lab;
let root: string;
let whole: KeptBackup;
before(async () => {
  root = realpathSync(mkdtempSync(join(tmpdir(), "holdfast-backup-")));
  chmodSync(root, 0o755);
  lab = await Lab.make(newest.binDir, ["pg-a", "pg-b"]);
  await lab.cluster(1);
  await fill(lab);
  whole = await take(lab, join(root, "whole"));
});
after(async () => {
  await lab?.[Symbol.asyncDispose]();
  rmSync(root, { recursive: true, force: true });
});

async function fill(of: Lab): Promise<void> {
  const client = await of.client("pg-a");
  await client.query(
    "create table orders (id int primary key, item text); insert into orders select n, repeat('x', 200) from generate_series(1, 5000) n",
  );
  await client.end();
}

function take(of: Lab, folder: string, change: object = {}): Promise<KeptBackup> {
  const request = { folder, topology: "lab", store: of.store, region: "region-0", ...quiet };
  return takeBackup({ ...request, password: secrets.replicator, ...change }, within(60_000));
}

function restoreTest(backup: KeptBackup, binDir = newest?.binDir): Promise<BackupTest> {
  const scratch = join(backup.folder, "..");
  return testBackup({ backup, scratch, binDir, runAs: undefined, ...quiet }, within(120_000));
}

/** Nothing on a shelf but whole backups: no scratch, nothing half made. */
function assertTidy(folder: string): void {
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith(".")),
    [],
  );
}

for (const { name, binDir } of places)
  test(`a backup of ${name} is copied from a standby that streams, and all of it is there again`, {
    timeout: 180_000,
  }, async () => {
    await using own = await Lab.make(binDir, ["pg-a", "pg-b"]);
    await own.cluster(1);
    await fill(own);
    const folder = join(own.root, "backups");
    const backup = await take(own, folder);
    const { record } = backup;
    assert.ok(record);
    assert.deepEqual([record.member, record.role, record.epoch], ["pg-b", "standby", 1]);
    assert.ok(record.unlisted.some(({ path }) => /^pg_wal\/[0-9A-F]{24}$/.test(path)));
    assertTidy(folder);
    const result = await restoreTest(backup, binDir);
    assert.deepEqual([result.outcome, result.damages], ["passed", []]);
    assert.equal(result.rowsOf["orders.public.orders"], 5000);
    assert.ok((result.pagesChecked ?? 0) > 200 && (result.restoreMs ?? 0) > 0, JSON.stringify(result));
    assert.deepEqual((await findBackup(folder, "latest")).test, result);
    assertTidy(folder);
  });

test("without a standby that streams it is copied from the primary, and without a primary from nobody", {
  timeout: 180_000,
}, async () => {
  await using own = await Lab.make(newest.binDir, ["pg-a", "pg-b"]);
  const [primary, standby] = await own.cluster(0);
  await standby?.end(within(10_000));
  const folder = join(own.root, "backups");
  const { record } = await take(own, folder);
  assert.deepEqual([record?.member, record?.role], ["pg-a", "primary"]);
  await primary?.end(within(10_000));
  await assert.rejects(take(own, folder), /HOLDFAST_BACKUP_NO_SOURCE|pg-a: .*; pg-b: /);
  await assert.rejects(take(own, folder, { password: "wrong" }), { code: "HOLDFAST_BACKUP_NO_SOURCE" });
  assertTidy(folder);
});

test("a clock that was set back takes no backup, which would be removed in the place of an older one", async () => {
  const folder = join(whole.folder, "..");
  const back = { now: clock.now, wall: () => Date.now() - 3_600_000 };
  await assert.rejects(take(lab, folder, { clock: back }), { code: "HOLDFAST_BACKUP_NOT_TAKEN" });
  assert.deepEqual(readdirSync(folder), [whole.name]);
});

/** The largest file of a table: it holds the rows. */
function tableFile(data: string): string {
  const base = join(data, "base");
  const files = readdirSync(base).flatMap((folder) =>
    readdirSync(join(base, folder))
      .filter((file) => /^\d+$/.test(file))
      .map((file) => `base/${folder}/${file}`),
  );
  return files.sort((a, b) => statSync(join(data, b)).size - statSync(join(data, a)).size)[0] as string;
}

function walFile(data: string): string {
  return `pg_wal/${readdirSync(join(data, "pg_wal")).find((name) => /^[0-9A-F]{24}$/.test(name))}`;
}

function flip(path: string, at: number): void {
  const file = openSync(path, "r+");
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, at);
  writeSync(file, Buffer.of((byte[0] as number) ^ 0x40), 0, 1, at);
  closeSync(file);
}

/** Damages the data, and says which file must be named. */
const damages: Readonly<Record<string, (data: string) => string>> = {
  "a byte of a table that was flipped": (data) => {
    const file = tableFile(data);
    flip(join(data, file), 20_000);
    return file;
  },
  "a table that was cut short": (data) => {
    const file = tableFile(data);
    truncateSync(join(data, file), statSync(join(data, file)).size - 8192);
    return file;
  },
  "a table that became longer": (data) => {
    appendFileSync(join(data, tableFile(data)), Buffer.alloc(8192));
    return tableFile(data);
  },
  "a table that is missing": (data) => {
    const file = tableFile(data);
    rmSync(join(data, file));
    return file;
  },
  "a file that nobody put there": (data) => {
    writeFileSync(join(data, "base", "999999"), "");
    return "base/999999";
  },
  "a link in the place of a file": (data) => {
    rmSync(join(data, "PG_VERSION"));
    symlinkSync("/etc/hostname", join(data, "PG_VERSION"));
    return "PG_VERSION";
  },
  "a folder that is missing": (data) => {
    rmSync(join(data, "base"), { recursive: true });
    return "base/";
  },
  "a control file with a flipped byte": (data) => {
    flip(join(data, "global/pg_control"), 40);
    return "global/pg_control";
  },
  "a label that is missing": (data) => {
    rmSync(join(data, "backup_label"));
    return "backup_label";
  },
  "WAL that is missing": (data) => {
    const file = walFile(data);
    rmSync(join(data, file));
    return file;
  },
  "WAL that was cut short": (data) => {
    truncateSync(join(data, walFile(data)), 1024);
    return walFile(data);
  },
  "WAL with a flipped byte": (data) => {
    flip(join(data, walFile(data)), 300);
    return walFile(data);
  },
  "a manifest with another checksum": (data) => {
    flip(join(data, "backup_manifest"), 200);
    return "backup_manifest";
  },
  "a manifest that was cut short": (data) => {
    truncateSync(join(data, "backup_manifest"), 1000);
    return "backup_manifest";
  },
  "a manifest that is missing": (data) => {
    rmSync(join(data, "backup_manifest"));
    return "backup_manifest";
  },
};

async function damagedCopy(name: string): Promise<KeptBackup> {
  const folder = mkdtempSync(join(root, "damaged-"));
  chmodSync(folder, 0o711);
  cpSync(whole.folder, join(folder, whole.name), { recursive: true, verbatimSymlinks: true });
  assert.ok(name !== "");
  return findBackup(folder, "latest");
}

for (const [what, damage] of Object.entries(damages))
  test(`${what} fails the restore test, which names the file`, { timeout: 120_000 }, async () => {
    const backup = await damagedCopy(what);
    const file = damage(join(backup.folder, "data"));
    const result = await restoreTest(backup);
    assert.equal(result.outcome, "failed");
    assert.ok(
      result.damages.some((one) => one.file.startsWith(`data/${file}`)),
      `${file} is not among ${JSON.stringify(result.damages)}`,
    );
    assert.equal((await findBackup(join(backup.folder, ".."), "latest")).test?.outcome, "failed");
    assertTidy(join(backup.folder, ".."));
  });

/** As if PostgreSQL had sent it so: the manifest agrees with what is there. */
function agree(data: string, file: string): void {
  const path = join(data, "backup_manifest");
  const digest = (bytes: Buffer | string) => createHash("sha256").update(bytes).digest("hex");
  const altered = readFileSync(path, "utf8").replace(
    new RegExp(`("Path": "${file}", .*"Checksum": ")[0-9a-f]+"`),
    `$1${digest(readFileSync(join(data, file)))}"`,
  );
  const end = altered.lastIndexOf("\n", altered.lastIndexOf('"Manifest-Checksum"')) + 1;
  const lines = altered.slice(0, end);
  writeFileSync(path, `${lines}"Manifest-Checksum": "${digest(lines)}"}\n`);
}

test("a page that was wrong before it was copied is found by its own checksum", {
  timeout: 120_000,
}, async () => {
  const backup = await damagedCopy("a page");
  const data = join(backup.folder, "data");
  // A catalogue of template1, which nobody has written to: no WAL mends it, and no query reads its free space.
  const file = "base/1/1255";
  const header = readFileSync(join(data, file)).subarray(3 * 8192);
  assert.ok(header.readUInt16LE(12) < header.readUInt16LE(14));
  flip(join(data, file), 3 * 8192 + header.readUInt16LE(12));
  agree(data, file);
  const result = await restoreTest(backup);
  assert.equal(result.outcome, "failed");
  assert.ok(
    result.damages.some((one) => one.file === `data/${file}` && /page 3 /.test(one.because)),
    JSON.stringify(result.damages),
  );
});

test("WAL that does not reach the end of the copy fails in PostgreSQL, whatever the lists say", {
  timeout: 120_000,
}, async () => {
  const backup = await damagedCopy("wal");
  const data = join(backup.folder, "data");
  const file = walFile(data);
  const { size } = statSync(join(data, file));
  writeFileSync(join(data, file), Buffer.alloc(size));
  const checksum = createHash("sha256").update(Buffer.alloc(size)).digest("hex");
  const { record } = backup;
  assert.ok(record);
  const unlisted = record.unlisted.map((one) => (one.path === file ? { ...one, checksum } : one));
  const result = await restoreTest({ ...backup, record: { ...record, unlisted } });
  assert.equal(result.outcome, "failed");
  assert.match(result.damages[0]?.because ?? "", /does not start.*(WAL|checkpoint)/);
});

test("a backup without a description that can be read fails by name, and is never the newest that is whole", {
  timeout: 60_000,
}, async () => {
  const backup = await damagedCopy("description");
  writeFileSync(join(backup.folder, "backup.json"), '{"schema": 1');
  const found = await findBackup(join(backup.folder, ".."), "latest");
  assert.equal(found.record, null);
  assert.deepEqual((await restoreTest(found)).damages, [
    { file: "backup.json", because: "it cannot be read" },
  ]);
});

test("a test that could not be made says nothing of the backup", { timeout: 60_000 }, async () => {
  const backup = await damagedCopy("untested");
  assert.ok(backup.record);
  const other = { ...backup, record: { ...backup.record, major: 14 } };
  await assert.rejects(restoreTest(other), { code: "HOLDFAST_BACKUP_UNTESTED" });
  const vast = { ...backup, record: { ...backup.record, bytes: Number.MAX_SAFE_INTEGER } };
  await assert.rejects(restoreTest(vast), { code: "HOLDFAST_BACKUP_NO_ROOM" });
  if (process.getuid?.() === 0) {
    const closed = join(backup.folder, "closed");
    mkdirSync(closed, { mode: 0o700 });
    const request = { backup, scratch: closed, binDir: newest.binDir, runAs: undefined, ...quiet };
    await assert.rejects(testBackup(request, within(10_000)), { code: "HOLDFAST_BACKUP_UNTESTED" });
  }
  assert.equal((await findBackup(join(backup.folder, ".."), "latest")).test, null);
  assertTidy(join(backup.folder, ".."));
});

test("a backup that is interrupted leaves nothing", { timeout: 60_000 }, async () => {
  const folder = join(root, "interrupted");
  const stop = new AbortController();
  const slow = { ...lab.store, seedMegabytesPerSecondMax: 1 };
  const request = {
    folder,
    topology: "lab",
    store: slow,
    region: "",
    password: secrets.replicator,
    ...quiet,
  };
  const say = (text: string) => void (text.startsWith("copied") && stop.abort(new Error("enough")));
  await assert.rejects(takeBackup({ ...request, say }, stop.signal), /enough/);
  assert.deepEqual(readdirSync(folder), []);
  // Nor a file that is open and has no name any more, which would keep its room on the disk.
  const open = readdirSync("/proc/self/fd").flatMap((fd) => {
    const link = `/proc/self/fd/${fd}`;
    return lstatSync(link, { throwIfNoEntry: false }) ? [readlinkSync(link)] : [];
  });
  assert.deepEqual(
    open.filter((path) => path.startsWith(folder)),
    [],
  );
});

test("a test that is interrupted leaves neither a PostgreSQL nor a folder", { timeout: 60_000 }, async () => {
  const backup = await damagedCopy("interrupted test");
  const stop = new AbortController();
  const scratch = join(backup.folder, "..");
  const request = { backup, scratch, binDir: newest.binDir, runAs: undefined, ...quiet };
  let dataDir = "";
  const say = (text: string) => {
    if (!text.startsWith("restored")) return;
    dataDir = join(scratch, `.testing-${process.pid}`, "data");
    assert.ok(findTree({ dataDir, pidFile: join(dataDir, "postmaster.pid") }).length > 0);
    stop.abort(new Error("enough"));
  };
  await assert.rejects(testBackup({ ...request, say }, stop.signal), /enough/);
  assert.deepEqual(findTree({ dataDir, pidFile: join(dataDir, "postmaster.pid") }), []);
  assertTidy(scratch);
});

test("what killed processes left is no backup, and goes with the next", { timeout: 60_000 }, async () => {
  const folder = mkdtempSync(join(root, "left-"));
  // No process has this id: it is above what Linux gives.
  mkdirSync(join(folder, ".20261122T023000Z.taking-4194305", "data"), { recursive: true });
  mkdirSync(join(folder, ".testing-4194305", "data"), { recursive: true });
  mkdirSync(join(folder, `.20261122T023000Z.taking-${process.ppid}`));
  mkdirSync(join(folder, ".somebody-elses"));
  assert.deepEqual(await listBackups(folder), []);
  await clearUnfinished(folder, within(10_000));
  assert.deepEqual(readdirSync(folder).sort(), [
    `.20261122T023000Z.taking-${process.ppid}`,
    ".somebody-elses",
  ]);
  await endTree({ dataDir: folder, pidFile: join(folder, "postmaster.pid") }, within(1000));
});
