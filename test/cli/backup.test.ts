/** `holdfast backup` as people and timers run it: what is listed, what readiness is, and what nonsense is told. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { layOut } from "../../src/lab/layout.ts";
import { holdfast } from "./run.ts";

let root: string;
let file: string;
before(async () => {
  root = mkdtempSync(join(tmpdir(), "holdfast-backup-cli-"));
  const options = { root, profile: "fast", witness: true, store: "embedded", rtoMs: 5000 } as const;
  const layout = await layOut({ ...options, withBackups: true });
  file = layout.topologyFile;
  writeFileSync(file, layout.topologyText);
  writeFileSync(join(root, "bare.yaml"), (await layOut(options)).topologyText);
});
after(() => rmSync(root, { recursive: true, force: true }));

/** A backup that was described and tested so, at the time that its name tells. */
function lay(shelf: string, agoMs: number, test: object | null, record: object | null = {}): string {
  const takenAt = Date.now() - agoMs;
  const name = `${new Date(takenAt).toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`;
  const folder = join(shelf, name);
  mkdirSync(join(folder, "data"), { recursive: true });
  const good = { schema: 1, takenAt, bytes: 2 << 20, member: "pg-west", role: "standby", major: 15 };
  writeFileSync(join(folder, "backup.json"), record ? JSON.stringify({ ...good, ...record }) : "{");
  if (test)
    writeFileSync(
      join(folder, "test.json"),
      JSON.stringify({ schema: 1, backup: name, outcome: "passed", damages: [], testedAt: takenAt, ...test }),
    );
  return name;
}

test("readiness is red while there is no backup, and green with one that passed its test", async () => {
  const folder = join(root, "one");
  const list = () => holdfast(["backup", "list", "--topology", file, "--folder", folder]);
  const none = await list();
  assert.equal(none.code, 7);
  assert.match(none.stdout, /none\n.*problem: there is none: run "holdfast backup take"/);
  lay(join(folder, "orders-db"), 600_000, null);
  const untested = await list();
  assert.equal(untested.code, 7);
  assert.match(untested.stdout, /never tested\n.*problem: none was tested/);
  const name = lay(join(folder, "orders-db"), 60_000, {});
  const good = await list();
  assert.equal(good.code, 0, good.stdout);
  assert.match(good.stdout, new RegExp(`${name} +\\d.* +2 MiB +pg-west \\(standby\\) +passed`));
});

test("readiness is red where the last test failed, for people and for programs", async () => {
  const folder = join(root, "two");
  const damages = [{ file: "data/base/5/1259", because: "it is missing" }];
  lay(join(folder, "orders-db"), 60_000, { outcome: "failed", damages });
  const run = await holdfast(["backup", "list", "--topology", file, "--folder", folder, "--json"]);
  assert.equal(run.code, 7);
  const { dataStores } = JSON.parse(run.stdout);
  assert.equal(dataStores[0].readiness.fit, "problem");
  assert.match(dataStores[0].readiness.advice, /data\/base\/5\/1259: it is missing/);
  assert.equal(dataStores[0].backups[0].test.outcome, "failed");
});

test("the doctor of the region that keeps backups tells of them, and no other", async () => {
  const words = ["doctor", file, "--secrets-dir", root, "--for", "3s", "--json", "--region"];
  const linesIn = async (region: string) => {
    const { lines } = JSON.parse((await holdfast([...words, region], { timeoutMs: 60_000 })).stdout);
    return lines.filter(({ what }: { what: string }) => what.startsWith("backups"));
  };
  const [line] = await linesIn("eu-west");
  assert.deepEqual([line.what, line.fit], ["backups: orders-db", "problem"]);
  assert.match(line.advice, /holdfast backup take/);
  lay(join(root, "backups", "orders-db"), 60_000, {});
  const [good] = await linesIn("eu-west");
  assert.equal(good.fit, "ok", JSON.stringify(good));
  assert.match(good.measured, /^1, the newest .* old, passed$/);
  assert.deepEqual(await linesIn("eu-central"), []);
  rmSync(join(root, "backups"), { recursive: true });
});

test("what lies beside backups, or is half made, is none", async () => {
  const folder = join(root, "three");
  const shelf = join(folder, "orders-db");
  lay(shelf, 60_000, {});
  mkdirSync(join(shelf, ".20261122T023000Z.taking-4194305"), { recursive: true });
  mkdirSync(join(shelf, "20261122T023000Z.old"));
  writeFileSync(join(shelf, "journal.jsonl"), "");
  const run = await holdfast(["backup", "list", "--topology", file, "--folder", folder, "--json"]);
  assert.equal(JSON.parse(run.stdout).dataStores[0].backups.length, 1);
  assert.equal(readdirSync(shelf).length, 4);
});

test("a backup whose description was damaged fails its test with a code of its own", async () => {
  const shelf = join(root, "four", "orders-db");
  const name = lay(shelf, 60_000, null, null);
  const run = await holdfast(["backup", "test", join(shelf, name)]);
  assert.equal(run.code, 8, run.stderr);
  assert.match(run.stdout, /FAILED its restore test.*\n {2}backup\.json: it cannot be read\n/);
  const list = await holdfast(["backup", "list", "--topology", file, "--folder", join(root, "four")]);
  assert.equal(list.code, 7);
});

test("a member that does not answer is told, and nothing is left", async () => {
  const folder = join(root, "five");
  writeFileSync(join(root, "postgres.json"), JSON.stringify({ admin: "a", replicator: "b", app: "c" }));
  const run = await holdfast([
    ...["backup", "take", "--topology", file, "--folder", folder, "--secrets-dir", root],
  ]);
  assert.equal(run.code, 4);
  assert.match(
    run.stderr,
    /^HOLDFAST_BACKUP_NO_SOURCE: no member can be copied from: pg-west: .*pg-central: /,
  );
  assert.match(run.stderr, /= help: /);
});

const nonsense: readonly [what: string, words: readonly string[], code: number, says: RegExp][] = [
  [
    "a data store that is not there",
    ["list", "--data-store", "x"],
    3,
    /no data store x; there is: orders-db/,
  ],
  ["a backup that is not there", ["test", "20260101T000000Z"], 3, /NOT_FOUND.*there is: none/],
  ["no backup at all", ["test"], 3, /no backup latest in .*there is: none/],
  ["a path to nothing", ["test", "/nowhere/at/all"], 3, /no backup all in \/nowhere\/at/],
  ["a number of backups to keep that is none", ["take", "--keep", "0"], 2, /a number from 1 to 9999/],
  ["a span without a unit", ["take", "--within", "5"], 2, /500ms, 8s or 2m/],
  ["secrets that are not there", ["take", "--secrets-dir", "/nowhere"], 1, /nowhere\/postgres\.json/],
];
for (const [what, words, code, says] of nonsense)
  test(`${what} is told, with what to do`, async () => {
    const run = await holdfast(["backup", ...words, "--topology", file]);
    assert.equal(run.code, code, run.stderr);
    assert.match(run.stderr, says);
  });

test("a topology that asks for no backups says so, and takes a folder by hand", async () => {
  const bare = join(root, "bare.yaml");
  const run = await holdfast(["backup", "list", "--topology", bare]);
  assert.equal(run.code, 3);
  assert.match(run.stderr, /orders-db.*spec\.backups.*--folder/);
  const folder = join(root, "six");
  lay(join(folder, "orders-db"), 60_000, {});
  const list = await holdfast(["backup", "list", "--topology", bare, "--folder", folder]);
  assert.equal(list.code, 0, list.stderr);
  assert.match(list.stdout, /passed .* ago\n.*asks for none/);
});
