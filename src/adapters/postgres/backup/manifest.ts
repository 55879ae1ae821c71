/** PostgreSQL's own list of what is in a base backup (backup manifest format, versions 1 and 2). */
import { createHash, type Hash } from "node:crypto";
import type { ChecksumAlgorithm, ListedFile } from "../../../core/model/backup.ts";
import { parseLsn } from "../../../core/model/lsn.ts";
import { crc32c } from "../crc32c.ts";
import type { Stretch } from "../history.ts";

export interface Manifest {
  readonly files: readonly ListedFile[];
  /** WAL without which it does not become consistent, oldest first. */
  readonly wal: readonly Stretch[];
}

/** Throws a RangeError that says what is wrong: a manifest that was altered or cut short is never gone by. */
export function readManifest(bytes: Buffer): Manifest {
  // It ends with the line that bears the SHA-256 of all lines before.
  const last = bytes.lastIndexOf('"Manifest-Checksum"');
  const end = last < 0 ? -1 : bytes.lastIndexOf("\n", last) + 1;
  if (end <= 0) throw new RangeError("it is cut short: it does not end with its checksum");
  const told = /^"Manifest-Checksum": "([0-9a-f]{64})"}\s*$/.exec(bytes.toString("latin1", end))?.[1];
  const sum = createHash("sha256").update(bytes.subarray(0, end)).digest("hex");
  if (told !== sum) throw new RangeError("it is not as PostgreSQL wrote it: its own checksum does not fit");
  const text = JSON.parse(bytes.toString("utf8")) as Written;
  const version = text["PostgreSQL-Backup-Manifest-Version"];
  if (version !== 1 && version !== 2) throw new RangeError(`it is of version ${version}; 1 and 2 are known`);
  return {
    files: text.Files.map((file) => ({
      path: file.Path ?? Buffer.from(file["Encoded-Path"] ?? "", "hex").toString("utf8"),
      bytes: file.Size,
      algorithm: algorithmOf(file["Checksum-Algorithm"]),
      checksum: file.Checksum ?? "",
    })),
    wal: text["WAL-Ranges"].map((range) => ({
      timeline: range.Timeline,
      begin: parseLsn(range["Start-LSN"]),
      end: parseLsn(range["End-LSN"]),
    })),
  };
}

interface Written {
  readonly "PostgreSQL-Backup-Manifest-Version": number;
  readonly Files: readonly {
    readonly Path?: string;
    readonly "Encoded-Path"?: string;
    readonly Size: number;
    readonly "Checksum-Algorithm"?: string;
    readonly Checksum?: string;
  }[];
  readonly "WAL-Ranges": readonly {
    readonly Timeline: number;
    readonly "Start-LSN": string;
    readonly "End-LSN": string;
  }[];
}

const algorithms: readonly ChecksumAlgorithm[] = ["NONE", "CRC32C", "SHA224", "SHA256", "SHA384", "SHA512"];

function algorithmOf(name = "NONE"): ChecksumAlgorithm {
  const known = algorithms.find((each) => each === name);
  if (known === undefined) throw new RangeError(`it goes by checksums of a kind that is not known: ${name}`);
  return known;
}

/** The checksum of a file as it is read, in the notation of a manifest. */
export class FileSum {
  readonly #hash: Hash | null;
  readonly #algorithm: ChecksumAlgorithm;
  #crc = 0;

  constructor(algorithm: ChecksumAlgorithm) {
    this.#algorithm = algorithm;
    this.#hash = algorithm.startsWith("SHA") ? createHash(algorithm.toLowerCase()) : null;
  }

  update(bytes: Buffer): void {
    this.#hash?.update(bytes);
    if (this.#algorithm === "CRC32C") this.#crc = crc32c(bytes, this.#crc);
  }

  hex(): string {
    if (this.#algorithm === "NONE") return "";
    if (this.#hash) return this.#hash.digest("hex");
    // Its bytes as they lie in memory: little endian.
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(this.#crc);
    return bytes.toString("hex");
  }
}
