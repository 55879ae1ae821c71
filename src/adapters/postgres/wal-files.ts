/** WAL segments as files: which file holds a position, and what is in it. */
import { closeSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Lsn } from "../../core/model/lsn.ts";

/** Segments of the folder tell their size: 16 MiB unless initdb was told otherwise. */
export function segmentSize(walDir: string): number {
  const name = readdirSync(walDir).find((each) => /^[0-9A-F]{24}$/.test(each));
  return name === undefined ? 16 * 1024 * 1024 : statSync(join(walDir, name)).size;
}

/** Such as `000000020000000000000003` for a position in the third segment of timeline 2. */
export function segmentName(timeline: number, lsn: Lsn, segmentBytes: number): string {
  const number = Math.floor(lsn / segmentBytes);
  const perLog = 2 ** 32 / segmentBytes;
  const hex = (value: number) => value.toString(16).toUpperCase().padStart(8, "0");
  return hex(timeline) + hex(Math.floor(number / perLog)) + hex(number % perLog);
}

/** Up to `length` bytes at `lsn` of the timeline's own segment; fewer at the segment's end. Throws when it is missing. */
export function readSegment(
  walDir: string,
  timeline: number,
  lsn: Lsn,
  length: number,
  segmentBytes: number,
): Buffer {
  const offset = lsn % segmentBytes;
  const file = openSync(join(walDir, segmentName(timeline, lsn, segmentBytes)), "r");
  try {
    const buffer = Buffer.alloc(Math.min(length, segmentBytes - offset));
    let done = 0;
    while (done < buffer.length) {
      const got = readSync(file, buffer, done, buffer.length - done, offset + done);
      if (got === 0) break;
      done += got;
    }
    return buffer.subarray(0, done);
  } finally {
    closeSync(file);
  }
}

const pageBytes = 8192;
const shortHeaderBytes = 24;
const longHeaderBytes = 40;

/** Where the record that begins at `lsn` ends, as PostgreSQL counts: rounded up to 8, page headers on the way included. */
export function readRecordEnd(dataDir: string, timeline: number, lsn: Lsn): Lsn {
  const walDir = join(dataDir, "pg_wal");
  const segmentBytes = segmentSize(walDir);
  let left = Math.ceil(readSegment(walDir, timeline, lsn, 4, segmentBytes).readUInt32LE(0) / 8) * 8;
  let at = lsn;
  for (;;) {
    const room = pageBytes - (at % pageBytes);
    if (left <= room) return at + left;
    left -= room;
    at += room;
    at += at % segmentBytes === 0 ? longHeaderBytes : shortHeaderBytes;
  }
}
