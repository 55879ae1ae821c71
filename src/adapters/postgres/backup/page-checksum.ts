/** The data checksums of pages, as PostgreSQL computes them (checksum_impl.h), of files that no server has open. */
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Damage } from "../../../core/model/backup.ts";

const pageBytes = 8192;
/** 1 GiB, like the size of a page what every package of PostgreSQL is built with. */
const pagesPerFile = 131_072;
const lanes = 32;
const prime = 16_777_619;

const offsets = Int32Array.of(
  ...[
    0x5b1f36e9, 0xb8525960, 0x02ab50aa, 0x1de66d2a, 0x79ff467a, 0x9bb9f8a3, 0x217e7cd2, 0x83e13d2c,
    0xf8d4474f, 0xe39eb970, 0x42c6ae16, 0x993216fa, 0x7b093b5d, 0x98daff3c, 0xf718902a, 0x0b1c9cdb,
    0xe58f764b, 0x187636bc, 0x5d7b3bb1, 0xe73de7de, 0x92bec979, 0xcca6c0b2, 0x304a0979, 0x85aa43d4,
    0x783125bb, 0x6ca8eaa2, 0xe407eac6, 0x4b5cfc3e, 0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756,
  ],
);

/**
 * FNV-1a in 32 lanes, each round mixed with its own upper bits; the number of the block tells a page that was put elsewhere.
 * `page` begins at a multiple of 4 of its memory.
 */
export function pageChecksum(page: Buffer, block: number): number {
  const sums = offsets.slice();
  // Without the checksum itself, the lower half of the third word; then twice nothing, so that the last words are mixed too.
  const words = new Int32Array(pageBytes / 4 + 2 * lanes);
  words.set(new Int32Array(page.buffer, page.byteOffset, pageBytes / 4));
  words[2] = (words[2] as number) & ~0xffff;
  for (let at = 0; at < words.length; at += 1) {
    const lane = at % lanes;
    const value = (sums[lane] as number) ^ (words[at] as number);
    sums[lane] = Math.imul(value, prime) ^ (value >>> 17);
  }
  const all = sums.reduce((one, other) => one ^ other, 0) ^ block;
  return ((all >>> 0) % 65_535) + 1;
}

/** Tables, indexes and their forks below a data folder, whole; one damage a file, with its first page. */
export async function checkPages(
  dataDir: string,
  signal: AbortSignal,
): Promise<{ readonly pages: number; readonly damages: readonly Damage[] }> {
  let pages = 0;
  const damages: Damage[] = [];
  for (const file of await relationFiles(dataDir)) {
    const segment = Number(/\.(\d+)$/.exec(file)?.[1] ?? 0);
    const handle = await open(join(dataDir, file), "r");
    try {
      const buffer = Buffer.alloc(128 * pageBytes);
      for (let block = segment * pagesPerFile, bad = false; !bad; ) {
        signal.throwIfAborted();
        const { bytesRead } = await handle.read(buffer, 0, buffer.length);
        if (bytesRead === 0) break;
        for (let at = 0; at < bytesRead && !bad; at += pageBytes, block += 1) {
          const page = buffer.subarray(at, at + pageBytes);
          pages += 1;
          bad = at + pageBytes > bytesRead || !isSound(page, block);
          if (bad) damages.push({ file, because: `page ${block} does not fit its data checksum` });
        }
      }
    } finally {
      await handle.close();
    }
  }
  return { pages, damages };
}

/** A page that was never written (its upper bound is 0) has none. */
function isSound(page: Buffer, block: number): boolean {
  return page.readUInt16LE(14) === 0 || page.readUInt16LE(8) === pageChecksum(page, block);
}

async function relationFiles(dataDir: string): Promise<readonly string[]> {
  const databases = await readdir(join(dataDir, "base"));
  const folders = ["global", ...databases.map((name) => `base/${name}`)];
  const found = await Promise.all(
    folders.map(async (folder) =>
      (await readdir(join(dataDir, folder))).filter(isRelation).map((name) => `${folder}/${name}`),
    ),
  );
  return found.flat().sort();
}

function isRelation(name: string): boolean {
  return /^\d+(_(fsm|vm|init))?(\.\d+)?$/.test(name);
}
