/** Reads PostgreSQL's WAL (versions 15 to 18) without pg_waldump: pages, records, and the commits among them. */
import { formatLsn, type Lsn } from "../../core/model/lsn.ts";
import type { LostTransaction } from "../../ports/database.ts";
import { crc32c } from "./crc32c.ts";

/** From xlog_internal.h: XLOG_PAGE_MAGIC of each version. */
const magics: ReadonlyMap<number, number> = new Map([
  [0xd110, 15],
  [0xd113, 16],
  [0xd116, 17],
  [0xd118, 18],
]);

const pageBytes = 8192;
const recordHeaderBytes = 24;
/** PostgreSQL's own limit (XLogRecordMaxSize). */
const recordMaxBytes = 1020 * 1024 * 1024;

export interface WalSource {
  readonly segmentBytes: number;
  /** `length` bytes at `lsn` of the history that is read, or fewer where it ends. Never asked across a page. */
  read(lsn: Lsn, length: number): Buffer;
}

export interface WalRecord {
  readonly lsn: Lsn;
  /** Where the next one may begin. */
  readonly end: Lsn;
  readonly xid: number;
  readonly resourceManager: number;
  readonly info: number;
  /** The whole record, header included. */
  readonly bytes: Buffer;
  /** Of PostgreSQL, as the page tells. */
  readonly major: number;
}

/** The first place at or after `lsn` where a record could begin: past a page's header and what it continues. */
export function findFirstRecord(source: WalSource, lsn: Lsn): Lsn | null {
  const page = lsn - (lsn % pageBytes);
  const header = readPageHeader(source, page);
  if (header === null) return null;
  if (page + header.bytes < lsn) return lsn;
  if (header.continuedBytes === 0) return page + header.bytes;
  return skipContinued(source, page, header);
}

function skipContinued(source: WalSource, page: Lsn, header: PageHeader): Lsn | null {
  let at = page;
  let current: PageHeader | null = header;
  while (current !== null) {
    const room = pageBytes - current.bytes;
    if (current.continuedBytes <= room) {
      const end = at + current.bytes + align(current.continuedBytes);
      return end % pageBytes === 0 ? findFirstRecord(source, end) : end;
    }
    at += pageBytes;
    current = readPageHeader(source, at);
  }
  return null;
}

/** The records from `start` (where one begins) on, until the first that is not valid: there the WAL ends. */
export function* readRecords(source: WalSource, start: Lsn): Generator<WalRecord> {
  let at: Lsn = start;
  let previous: Lsn | null = null;
  for (;;) {
    const record = readRecord(source, at);
    if (record === null) return;
    // A page of an older life of this segment file may hold whole records: their chain does not lead here.
    const linked = Number(record.bytes.readBigUInt64LE(8));
    if (previous !== null && linked !== previous) return;
    previous = record.lsn;
    yield record;
    at = record.end;
  }
}

function readRecord(source: WalSource, start: Lsn): WalRecord | null {
  let at = start;
  const parts: Buffer[] = [];
  let have = 0;
  let total = 0;
  let major = 0;
  for (;;) {
    const inPage = at % pageBytes;
    const page = at - inPage;
    const header = readPageHeader(source, page);
    if (header === null) return null;
    major = header.major;
    if (inPage === 0) {
      // A page that does not continue what it should is the end.
      if (have > 0 && (!header.continues || header.continuedBytes !== total - have)) return null;
      at += header.bytes;
      if (have === 0) start = at;
    } else if (inPage < header.bytes) return null;
    const room = page + pageBytes - at;
    const want = total === 0 ? room : Math.min(room, total - have);
    const bytes = source.read(at, want);
    if (bytes.length === 0) return null;
    if (total === 0) {
      // Records begin at multiples of 8, so the length is never split.
      if (bytes.length < 4) return null;
      total = bytes.readUInt32LE(0);
      if (total < recordHeaderBytes || recordMaxBytes < total) return null;
    }
    const part = bytes.subarray(0, Math.min(bytes.length, total - have));
    parts.push(part);
    have += part.length;
    at += part.length;
    if (have === total) break;
    if (bytes.length < want) return null;
  }
  const bytes = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  if (!isIntact(bytes)) return null;
  const resourceManager = bytes[17] as number;
  const info = bytes[16] as number;
  // A switch leaves the rest of its segment empty.
  const isSwitch = resourceManager === 0 && (info & 0xf0) === 0x40;
  const end = isSwitch ? Math.ceil(at / source.segmentBytes) * source.segmentBytes : align(at);
  return {
    lsn: start,
    end,
    xid: bytes.readUInt32LE(4),
    info,
    resourceManager,
    bytes,
    major,
  };
}

/** CRC-32C over the data, then over the header without the checksum itself. */
function isIntact(bytes: Buffer): boolean {
  const sum = crc32c(bytes.subarray(0, 20), crc32c(bytes.subarray(recordHeaderBytes)));
  return sum === bytes.readUInt32LE(20);
}

interface PageHeader {
  readonly bytes: number;
  readonly continues: boolean;
  readonly continuedBytes: number;
  readonly major: number;
}

function readPageHeader(source: WalSource, page: Lsn): PageHeader | null {
  const header = source.read(page, 24);
  if (header.length < 24) return null;
  const major = magics.get(header.readUInt16LE(0));
  // A recycled segment tells the address of its life before.
  if (major === undefined || Number(header.readBigUInt64LE(8)) !== page) return null;
  const info = header.readUInt16LE(2);
  return {
    bytes: (info & 0x0002) !== 0 ? 40 : 24,
    continues: (info & 0x0001) !== 0,
    continuedBytes: (info & 0x0001) !== 0 ? header.readUInt32LE(16) : 0,
    major,
  };
}

function align(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

const transactionManager = 1;
const commit = 0x00;
const commitPrepared = 0x30;

/** The transaction that this record commits; null for every other record. */
export function readCommit(record: WalRecord): LostTransaction | null {
  if (record.resourceManager !== transactionManager) return null;
  const operation = record.info & 0x70;
  if (operation !== commit && operation !== commitPrepared) return null;
  const data = mainData(record.bytes);
  if (data === null || data.length < 8) return null;
  // Microseconds since 2000-01-01, as TimestampTz.
  const microseconds = data.readBigInt64LE(0);
  const wall = Number(microseconds / 1000n) + Date.UTC(2000, 0, 1);
  const fraction = String(((microseconds % 1_000_000n) + 1_000_000n) % 1_000_000n).padStart(6, "0");
  const prepared = operation === commitPrepared ? preparedXid(data, record) : null;
  return {
    xid: prepared ?? record.xid,
    lsn: formatLsn(record.lsn),
    committedAt: `${new Date(wall).toISOString().slice(0, 19)}.${fraction}Z`,
  };
}

/** What follows the headers of a record without blocks, as all of the transaction manager's are. */
function mainData(bytes: Buffer): Buffer | null {
  let at = recordHeaderBytes;
  while (at < bytes.length) {
    const id = bytes[at] as number;
    if (id === 255) return bytes.subarray(at + 2, at + 2 + (bytes[at + 1] as number));
    if (id === 254) return bytes.subarray(at + 5, at + 5 + bytes.readUInt32LE(at + 1));
    if (id === 253) at += 3;
    else if (id === 252) at += 5;
    else return null;
  }
  return null;
}

/** A prepared transaction's commit bears its xid within (xl_xact_commit in xact.h), behind all optional parts. */
function preparedXid(data: Buffer, record: WalRecord): number | null {
  if ((record.info & 0x80) === 0) return null;
  const parts = data.readUInt32LE(8);
  let at = 12;
  if (parts & 1) at += 8; // database
  if (parts & 2) at += 4 + 4 * data.readInt32LE(at); // subtransactions
  if (parts & 4) at += 4 + 12 * data.readInt32LE(at); // dropped relations
  if (parts & 256) at += 4 + (record.major < 18 ? 12 : 16) * data.readInt32LE(at); // dropped statistics
  if (parts & 8) at += 4 + 16 * data.readInt32LE(at); // invalidations
  return parts & 16 && at + 4 <= data.length ? data.readUInt32LE(at) : null;
}
