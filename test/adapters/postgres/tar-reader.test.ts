/** A tar stream yields the same entries however it is cut. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { TarReader } from "../../../src/adapters/postgres/tar-reader.ts";

function archive(): Buffer {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-tar-"));
  try {
    mkdirSync(join(folder, "base"));
    writeFileSync(join(folder, "base", "empty"), "");
    writeFileSync(join(folder, "base", "block"), Buffer.alloc(512, 1));
    writeFileSync(join(folder, "base", "odd"), Buffer.alloc(1300, 2));
    return execFileSync("tar", ["--format=ustar", "-cf", "-", "base/empty", "base/block", "base/odd"], {
      cwd: folder,
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

void test("an archive yields the same files whatever pieces it comes in", () => {
  const bytes = archive();
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 12 }), (cuts) => {
      const reader = new TarReader();
      const files: [string, number, boolean][] = [];
      const edges = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      for (let i = 0; i + 1 < edges.length; i += 1)
        for (const event of reader.read(bytes.subarray(edges[i], edges[i + 1]))) {
          const last = files.at(-1);
          if (event.kind === "entry") files.push([event.entry.name, 0, false]);
          if (event.kind === "content" && last) last[1] += event.bytes.length;
          if (event.kind === "end" && last) last[2] = true;
        }
      assert.deepEqual(files, [
        ["base/empty", 0, true],
        ["base/block", 512, true],
        ["base/odd", 1300, true],
      ]);
      assert.equal(reader.isWhole, true);
    }),
  );
});

void test("an archive that is cut within a file is not whole, and other bytes are no archive", () => {
  const reader = new TarReader();
  assert.equal([...reader.read(archive().subarray(0, 512 + 512 + 100))].length > 0, true);
  assert.equal(reader.isWhole, false);
  assert.throws(() => [...new TarReader().read(Buffer.alloc(1024, 7))], RangeError);
});
