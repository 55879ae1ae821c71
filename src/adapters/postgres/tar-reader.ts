/** Reads a tar stream piece by piece (POSIX ustar, as PostgreSQL's BASE_BACKUP writes it). */

export interface TarEntry {
  readonly name: string;
  readonly kind: "file" | "folder" | "link";
  readonly size: number;
  readonly mode: number;
  readonly linkTarget: string;
}

export type TarEvent =
  | { readonly kind: "entry"; readonly entry: TarEntry }
  /** Bytes of the entry last announced. */
  | { readonly kind: "content"; readonly bytes: Buffer }
  /** The entry last announced is whole. */
  | { readonly kind: "end" };

const blockBytes = 512;

export class TarReader {
  #rest = Buffer.alloc(0);
  #leftBytes = 0;
  #paddingBytes = 0;
  #inEntry = false;

  /** Events of what `chunk` completes, in order. Throws a RangeError on what is not tar. */
  *read(chunk: Buffer): Generator<TarEvent> {
    let data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = Buffer.alloc(0);
    for (;;) {
      if (this.#leftBytes > 0) {
        const bytes = data.subarray(0, this.#leftBytes);
        if (bytes.length === 0) return;
        data = data.subarray(bytes.length);
        this.#leftBytes -= bytes.length;
        yield { kind: "content", bytes };
        continue;
      }
      if (this.#inEntry) {
        this.#inEntry = false;
        yield { kind: "end" };
      }
      if (this.#paddingBytes > 0) {
        const skipped = Math.min(this.#paddingBytes, data.length);
        data = data.subarray(skipped);
        this.#paddingBytes -= skipped;
        if (this.#paddingBytes > 0) return;
      }
      if (data.length < blockBytes) {
        this.#rest = Buffer.from(data);
        return;
      }
      const header = data.subarray(0, blockBytes);
      data = data.subarray(blockBytes);
      // Two empty blocks end an archive; PostgreSQL's backup has one or none.
      if (header.every((byte) => byte === 0)) continue;
      const entry = parseHeader(header);
      this.#inEntry = true;
      this.#leftBytes = entry.kind === "file" ? entry.size : 0;
      this.#paddingBytes = entry.kind === "file" ? (blockBytes - (entry.size % blockBytes)) % blockBytes : 0;
      yield { kind: "entry", entry };
    }
  }

  /** False when the archive ends within an entry. */
  get isWhole(): boolean {
    return this.#leftBytes === 0 && this.#paddingBytes === 0 && this.#rest.length === 0;
  }
}

function parseHeader(header: Buffer): TarEntry {
  const sum = readNumber(header, 148, 8);
  let actual = 0;
  for (let at = 0; at < blockBytes; at += 1) actual += 148 <= at && at < 156 ? 32 : (header[at] as number);
  if (sum !== actual) throw new RangeError(`not a tar header: checksum ${actual}, expected ${sum}`);
  const prefix = header.toString("latin1", 257, 262) === "ustar" ? readText(header, 345, 155) : "";
  const name = readText(header, 0, 100);
  const type = String.fromCharCode(header[156] as number);
  const kind =
    type === "5" ? "folder" : type === "2" ? "link" : type === "0" || type === "\0" ? "file" : null;
  if (kind === null) throw new RangeError(`unexpected tar entry ${name} of type ${type}`);
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    kind,
    size: readNumber(header, 124, 12),
    mode: readNumber(header, 100, 8) & 0o7777,
    linkTarget: readText(header, 157, 100),
  };
}

function readText(header: Buffer, at: number, length: number): string {
  const end = header.indexOf(0, at);
  return header.toString("utf8", at, end < 0 || at + length < end ? at + length : end);
}

/** Octal, or base 256 where octal is too small (8 GiB and more). */
function readNumber(header: Buffer, at: number, length: number): number {
  if ((header[at] as number) & 0x80) {
    let value = (header[at] as number) & 0x7f;
    for (let i = 1; i < length; i += 1) value = value * 256 + (header[at + i] as number);
    return value;
  }
  return Number.parseInt(readText(header, at, length).trim() || "0", 8);
}
