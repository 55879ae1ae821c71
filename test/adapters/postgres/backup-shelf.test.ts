/** What stays on a shelf of backups, and what a manifest is read as. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { FileSum, readManifest } from "../../../src/adapters/postgres/backup/manifest.ts";
import { backupName, whatGoes } from "../../../src/adapters/postgres/backup/shelf.ts";
import type { KeptBackup } from "../../../src/core/model/backup.ts";

/** `passed`, `failed`, `untested`, or `unreadable`; all that is looked at. */
type State = "passed" | "failed" | "untested" | "unreadable";

function shelf(states: readonly (readonly [State, testedAt: number])[]): readonly KeptBackup[] {
  return states.map(
    ([state, testedAt], index) =>
      ({
        name: backupName(index * 86_400_000),
        folder: "",
        record: state === "unreadable" ? null : { schema: 1 },
        test: state === "passed" || state === "failed" ? { schema: 1, outcome: state, testedAt } : null,
      }) as KeptBackup,
  );
}

test("names are in the order of time", () => {
  assert.equal(backupName(Date.parse("2026-11-22T02:30:00.999Z")), "20261122T023000Z");
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4e12 }), fc.integer({ min: 0, max: 4e12 }), (a, b) => {
      assert.equal(backupName(a) <= backupName(b), Math.floor(a / 1000) <= Math.floor(b / 1000));
    }),
  );
});

test("the newest stay, the last that passed and the last that was tested too, and what cannot be read is left to people (K3)", () => {
  const states = fc.tuple(
    fc.constantFrom<State>("passed", "failed", "untested", "unreadable"),
    fc.integer({ min: 1, max: 20 }),
  );
  fc.assert(
    fc.property(fc.array(states, { maxLength: 12 }), fc.integer({ min: 1, max: 5 }), (all, keep) => {
      const kept = shelf(all);
      const going = new Set(whatGoes(kept, keep));
      const whole = kept.filter(({ record }) => record !== null);
      assert.ok(whole.slice(-keep).every((one) => !going.has(one)));
      assert.ok(kept.every((one) => one.record !== null || !going.has(one)));
      const proven = whole.findLast((one) => one.test?.outcome === "passed");
      assert.ok(!proven || !going.has(proven));
      const testedAt = (one: KeptBackup) => one.test?.testedAt ?? 0;
      const lastTest = Math.max(0, ...whole.map(testedAt));
      assert.ok(lastTest === 0 || whole.some((one) => testedAt(one) === lastTest && !going.has(one)));
      const stays = whole.length - going.size;
      assert.ok(Math.min(keep, whole.length) <= stays && stays <= keep + 2);
    }),
  );
});

function manifest(files: string, change: (text: string) => string = (text) => text): Buffer {
  const lines = change(
    `{ "PostgreSQL-Backup-Manifest-Version": 1,\n"Files": [\n${files}],\n"WAL-Ranges": [\n{ "Timeline": 2, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" }\n],\n`,
  );
  return Buffer.from(`${lines}"Manifest-Checksum": "${createHash("sha256").update(lines).digest("hex")}"}\n`);
}

test("a manifest of PostgreSQL is read, names that are no text included", () => {
  const { files, wal } = readManifest(
    manifest(
      '{ "Path": "base/1/2", "Size": 5, "Checksum-Algorithm": "CRC32C", "Checksum": "0a1b2c3d" },\n{ "Encoded-Path": "78", "Size": 0 }\n',
    ),
  );
  assert.deepEqual(files, [
    { path: "base/1/2", bytes: 5, algorithm: "CRC32C", checksum: "0a1b2c3d" },
    { path: "x", bytes: 0, algorithm: "NONE", checksum: "" },
  ]);
  assert.deepEqual(wal, [{ timeline: 2, begin: 0x2000028, end: 0x2000100 }]);
});

test("a manifest of another kind is refused, and says why", () => {
  const files = '{ "Path": "x", "Size": 5, "Checksum-Algorithm": "MD5", "Checksum": "00" }\n';
  assert.throws(() => readManifest(manifest(files)), /checksums of a kind that is not known: MD5/);
  assert.throws(
    () => readManifest(manifest("", (text) => text.replace('Version": 1', 'Version": 3'))),
    /version 3/,
  );
});

test("whatever is altered in a manifest, or cut off it, is found", () => {
  const good = manifest('{ "Path": "x", "Size": 5, "Checksum-Algorithm": "SHA256", "Checksum": "00" }\n');
  const closing = '"}\n'.length;
  const place = fc.integer({ min: 0, max: good.length - closing - 1 });
  fc.assert(
    fc.property(place, fc.integer({ min: 1, max: 255 }), (at, by) => {
      const bad = Buffer.from(good);
      bad[at] = (bad[at] as number) ^ by;
      assert.throws(() => readManifest(bad), RangeError);
      assert.throws(() => readManifest(good.subarray(0, at)), RangeError);
    }),
  );
});

test("checksums are those of the manifest's notation, in whatever pieces a file is read", () => {
  // RFC 3720 appendix B.4 gives 0xE3069283 for "123456789"; a manifest tells its bytes as they lie in memory.
  const sum = new FileSum("CRC32C");
  sum.update(Buffer.from("1234"));
  sum.update(Buffer.from("56789"));
  assert.equal(sum.hex(), "839206e3");
  const sha = new FileSum("SHA256");
  sha.update(Buffer.from("abc"));
  assert.equal(sha.hex(), createHash("sha256").update("abc").digest("hex"));
  assert.equal(new FileSum("NONE").hex(), "");
});
