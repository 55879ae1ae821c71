/** `holdfast backup`: take base backups, restore them to see whether they are any good, and tell which there are. */
import { resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import manifest from "../../../package.json" with { type: "json" };
import {
  FileJournal,
  findBackup,
  listBackups,
  pruneBackups,
  readReplicatorPassword,
  systemClock,
  takeBackup,
  testBackup,
} from "../../adapters/adapters.ts";
import type { BackupTest, KeptBackup } from "../../core/model/backup.ts";
import { type ErrorCode, HoldfastError } from "../../core/model/error-code.ts";
import type { Verdict } from "../../core/spec/fit.ts";
import { fitBackups } from "../../core/spec/fit-backups.ts";
import { describeSpan, formatDuration } from "../../core/spec/units.ts";
import { backupsOf, onlyBackupsOf, type PlaceOptions, splitPath } from "../backups-of.ts";
import { complain, orComplain } from "../connect.ts";
import { exit, exitWith } from "../exit.ts";
import { type Ink, type Paint, paintFor } from "../paint.ts";
import { parseSpan } from "../span.ts";
import { defaultFile } from "../topology-file.ts";

interface TakeOptions extends PlaceOptions {
  readonly secretsDir: string;
  readonly keep?: number;
  readonly within: number;
  readonly json?: boolean;
}

interface TestOptions extends PlaceOptions {
  readonly scratch?: string;
  readonly pgBin?: string;
  readonly pgUser?: string;
  readonly within: number;
  readonly json?: boolean;
}

interface ListOptions extends PlaceOptions {
  readonly json?: boolean;
}

/** Whoever waits longer than a night has another way to make backups. */
const nightMs = 12 * 3_600_000;

export function register(program: Command): void {
  const backup = program
    .command("backup")
    .description("base backups: take them, restore them as a test, and list what there is");
  withPlace(backup.command("take").description("copy a data store, whole and on disk, into a new folder"))
    .option("--secrets-dir <folder>", "where the agents' passwords are; only read", "/etc/holdfast/secrets")
    .option(
      "--keep <n>",
      "afterwards remove all but so many; what passed or was tested last stays",
      parseKeep,
    )
    .option("--within <span>", "give it up after so long, such as 2h; default: 12h", parseSpan, nightMs)
    .option("--json", "print the backup as JSON")
    .addHelpText(
      "after",
      `
Examples:
  holdfast backup take --keep 7
  holdfast backup take --data-store orders-db --folder /srv/backups

Run it on the host of a member. It copies from a standby that streams, where there is one, at most as fast as the data
store's seeding.megabytesPerSecondMax. Exits with 0 when the backup is whole and on disk, 1 when it is not (nothing is left
of it), 4 when no member can be copied from.`,
    )
    .action(take);
  withPlace(
    backup
      .command("test")
      .description("restore a backup into a scratch folder, and see whether all of it is there"),
  )
    .argument("[backup]", "its name, its folder, or latest", "latest")
    .option(
      "--scratch <folder>",
      "where the restored data is for the time of the test; default: beside the backups",
    )
    .option("--pg-bin <folder>", "PostgreSQL's programs; default: found as agents do")
    .option("--pg-user <name>", "user that PostgreSQL runs as when this is root; default: found as agents do")
    .option("--within <span>", "give it up after so long, such as 2h; default: 12h", parseSpan, nightMs)
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      `
Examples:
  holdfast backup test
  holdfast backup test 20261122T023000Z --scratch /mnt/scratch
  holdfast backup test /srv/backups/orders-db/20261122T023000Z --json

Compares every file with PostgreSQL's manifest, starts a PostgreSQL on a copy that nobody else can reach, reads every table,
checks every page, and removes the copy. Exits with 0 when all of it is there, 8 when it is not, 1 when the test could not be
made: then nothing is known.`,
    )
    .action(test);
  withPlace(
    backup.command("list").description("which backups there are, how old, and what their tests found"),
  )
    .option("--json", "print them as JSON, with everything that is known of each")
    .addHelpText(
      "after",
      `
Examples:
  holdfast backup list
  holdfast backup list --json | jq '.dataStores[].readiness'

Exits with 0 when there is what the topology asks for (spec.backups), 7 when there is not: none, too old, untested or damaged.`,
    )
    .action(list);
}

function withPlace(command: Command): Command {
  return command
    .addOption(new Option("--topology <file>", "topology file").env("HOLDFAST_TOPOLOGY").default(defaultFile))
    .option("--data-store <name>", "which one; may be left out where there is one")
    .option("--folder <folder>", "where backups are; default: as the topology says");
}

async function take(options: TakeOptions): Promise<void> {
  const place = onlyBackupsOf(options);
  if (!place) return;
  const { topology, store, folder, policy } = place;
  await bounded(
    options.within,
    `the backup of ${store.name}`,
    "HOLDFAST_BACKUP_NOT_TAKEN",
    async (signal) => {
      const taken = await takeBackup(
        {
          folder,
          topology: topology.name,
          store,
          region: policy?.region ?? "",
          password: readReplicatorPassword(options.secretsDir),
          clock: systemClock,
          by: manifest.version,
          say,
        },
        signal,
      );
      const removed = options.keep === undefined ? [] : await pruneBackups(folder, options.keep);
      await note(folder, { kind: "backup-taken", ...taken.record, name: taken.name, unlisted: undefined });
      for (const name of removed) await note(folder, { kind: "backup-removed", name });
      if (options.json) return print({ ...taken, removed });
      const { record } = taken;
      if (!record) return;
      process.stdout.write(
        `${taken.name}: ${mebibytes(record.bytes)} of ${store.name} from ${record.member} (${record.role}, epoch ${record.epoch}) in ${describeSpan(record.tookMs)}, in ${taken.folder}\n${removed.map((name) => `${name} was removed\n`).join("")}next: holdfast backup test\n`,
      );
    },
  );
}

async function test(wanted: string, options: TestOptions): Promise<void> {
  const path = splitPath(wanted);
  const place = path ? null : onlyBackupsOf(options);
  if (!path && !place) return;
  const { folder, name } = path ?? { folder: place?.folder ?? "", name: wanted };
  await bounded(options.within, `the test of ${name}`, "HOLDFAST_BACKUP_UNTESTED", async (signal) => {
    const backup = await findBackup(folder, name);
    const result = await testBackup(
      {
        backup,
        scratch: options.scratch === undefined ? folder : resolve(options.scratch),
        binDir: options.pgBin,
        runAs: options.pgUser,
        clock: systemClock,
        by: manifest.version,
        say,
      },
      signal,
    );
    await note(folder, { kind: "backup-tested", ...result, rowsOf: undefined });
    if (options.json) print(result);
    else process.stdout.write(`${describeTest(backup, result, paintFor(process.stdout))}\n`);
    if (result.outcome === "failed") exitWith(exit.damaged);
  });
}

async function list(options: ListOptions): Promise<void> {
  const places = backupsOf(options);
  if (!places) return;
  await orComplain(async () => {
    const now = Date.now();
    const all = await Promise.all(
      places.map(async ({ store, folder, policy }) => {
        const backups = await listBackups(folder);
        return {
          dataStore: store.name,
          folder,
          readiness: policy && fitBackups(policy, backups, now),
          backups,
        };
      }),
    );
    if (options.json) print({ dataStores: all });
    else
      for (const { dataStore, folder, readiness, backups } of all)
        process.stdout.write(
          `${table(`${dataStore} in ${folder}`, backups, readiness, now, paintFor(process.stdout))}\n`,
        );
    if (all.some(({ readiness }) => readiness?.fit === "problem")) exitWith(exit.objectivesNotMet);
  });
}

const ends = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Ctrl-C and too long a time end it in order: what was begun is removed. */
async function bounded(
  withinMs: number,
  what: string,
  lateCode: ErrorCode,
  act: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const control = new AbortController();
  const interrupted = new Error("interrupted");
  const interrupt = () => control.abort(interrupted);
  const late = new HoldfastError(
    lateCode,
    `${what} was given up after ${formatDuration(withinMs)}; give it longer with --within`,
  );
  const timer = setTimeout(() => control.abort(late), Math.min(withinMs, 2 ** 31 - 1));
  for (const signal of ends) process.on(signal, interrupt);
  try {
    await orComplain(() => act(control.signal));
  } catch (error) {
    if (control.signal.reason !== interrupted) throw error;
    complain(`${what} was interrupted; nothing of it is left`, exit.interrupted);
  } finally {
    clearTimeout(timer);
    for (const signal of ends) process.off(signal, interrupt);
  }
}

/** One line in the journal beside the backups: what was done stays told when they are gone. */
async function note(folder: string, line: object): Promise<void> {
  const journal = new FileJournal({ path: `${folder}/journal.jsonl` });
  await journal.append(JSON.stringify({ at: new Date().toISOString(), ...line }));
  await journal.close();
  if (journal.dropped > 0) say(`the journal ${folder}/journal.jsonl cannot be written: ${journal.problem}`);
}

function describeTest(backup: KeptBackup, result: BackupTest, paint: Paint): string {
  const took = describeSpan(result.tookMs);
  if (result.outcome === "failed")
    return [
      paint("red", paint("bold", `${backup.name} FAILED its restore test after ${took}`)),
      ...result.damages.map(
        ({ file, because }) => `  ${file === "" ? "" : `${paint("bold", file)}: `}${because}`,
      ),
      "do not rely on it: take another and test that; see the disk that it lay on, and keep the damaged one until you know why",
    ].join("\n");
  const pages =
    result.pagesChecked === null ? "no data checksums to check" : `${result.pagesChecked} pages checked`;
  return [
    paint("green", paint("bold", `${backup.name} passed its restore test in ${took}`)),
    `  restored and open after ${describeSpan(result.restoreMs ?? 0)} (${mebibytes(result.bytes)}, PostgreSQL ${result.postgres})`,
    `  ${result.tables} tables with ${result.rows} rows read, ${pages}`,
    `  last commit in its WAL: ${result.lastCommitAt ?? "none while it was taken"}`,
  ].join("\n");
}

const marks: Readonly<Record<Verdict["fit"], Ink>> = { ok: "green", warning: "yellow", problem: "red" };

function table(
  title: string,
  backups: readonly KeptBackup[],
  readiness: Verdict | null,
  now: number,
  paint: Paint,
): string {
  const rows = backups.map(({ name, record, test }) => [
    name,
    record ? describeSpan(Math.max(0, now - record.takenAt)) : "",
    record ? mebibytes(record.bytes) : "",
    record ? `${record.member} (${record.role})` : "backup.json cannot be read",
    !test
      ? "never tested"
      : `${test.outcome} ${describeSpan(Math.max(0, now - test.testedAt))} ago${test.damages[0] ? `: ${test.damages[0].file || "PostgreSQL"}` : ""}`,
  ]);
  const head = ["backup", "age", "size", "from", "last test"];
  const widths = head.map((_, at) => Math.max(...[head, ...rows].map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join("  ")
      .trimEnd();
  return [
    paint("bold", title),
    ...(backups.length === 0 ? ["  none"] : [head, ...rows].map((row) => `  ${line(row)}`)),
    ...(readiness
      ? [
          `  ${paint(marks[readiness.fit], readiness.fit)}: ${readiness.advice || `there is ${readiness.fits}`}`,
        ]
      : ["  the topology asks for none (spec.backups): nobody is told when they are too old"]),
  ].join("\n");
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function print(value: object): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 1048576)} MiB`;
}

function parseKeep(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("a number from 1 to 9999");
}
