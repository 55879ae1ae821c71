/** What is written down beside a base backup: how it was taken, and what its last restore test found. */
import type { Epoch, MemberName, RegionName, StoreName } from "./id.ts";
import type { SpanMs, WallMs } from "./time.ts";

/** `backup.json`, written when everything else of the backup is on disk. */
export interface BackupRecord {
  readonly schema: 1;
  readonly topology: string;
  readonly store: StoreName;
  /** Whom it was copied from. */
  readonly member: MemberName;
  readonly region: RegionName;
  readonly role: "primary" | "standby";
  readonly epoch: Epoch;
  readonly systemId: string;
  /** When the copy began: what was acknowledged before is in it, but for what a standby lagged behind. */
  readonly takenAt: WallMs;
  readonly tookMs: SpanMs;
  readonly bytes: number;
  /** Of PostgreSQL, such as 15. */
  readonly major: number;
  /** Version of Holdfast that took it. */
  readonly by: string;
  /** Files that PostgreSQL's own manifest leaves out: WAL. */
  readonly unlisted: readonly ListedFile[];
}

export interface ListedFile {
  /** From the data folder on, such as `base/5/1259`. */
  readonly path: string;
  readonly bytes: number;
  readonly algorithm: ChecksumAlgorithm;
  /** Hexadecimal; empty where the algorithm is NONE. */
  readonly checksum: string;
}

export type ChecksumAlgorithm = "NONE" | "CRC32C" | "SHA224" | "SHA256" | "SHA384" | "SHA512";

/** `test.json`: the last restore test of the backup that it lies beside. */
export interface BackupTest {
  readonly schema: 1;
  readonly backup: string;
  readonly outcome: "passed" | "failed";
  /** What is wrong, 100 at most; empty when it passed. */
  readonly damages: readonly Damage[];
  /** When the test began. */
  readonly testedAt: WallMs;
  /** Version of Holdfast that tested it. */
  readonly by: string;
  /** Version of the PostgreSQL that it was started with, such as `15.18`; empty: it did not come to that. */
  readonly postgres: string;
  /** From nothing to a server that takes connections, on this host: read, checked, copied, recovered; null: it never did. */
  readonly restoreMs: SpanMs | null;
  readonly tookMs: SpanMs;
  readonly bytes: number;
  /** null: the cluster has no data checksums, pages of an unusual size, or it did not come to that. */
  readonly pagesChecked: number | null;
  readonly tables: number;
  readonly rows: number;
  /** The first 1000 by name. */
  readonly rowsOf: Readonly<Record<string, number>>;
  /** ISO 8601, of the last transaction that committed while the copy was made; null: none did. */
  readonly lastCommitAt: string | null;
}

export interface Damage {
  /** From the backup's folder on; empty: it cannot be said of one file. */
  readonly file: string;
  readonly because: string;
}

/** A folder that bears a backup's name, with what could be read of it. */
export interface KeptBackup {
  /** UTC, such as `20261122T023000Z`: names are in the order of time. */
  readonly name: string;
  readonly folder: string;
  /** null: `backup.json` cannot be read. */
  readonly record: BackupRecord | null;
  /** null: it was never tested, or what was written of it cannot be read. */
  readonly test: BackupTest | null;
}
