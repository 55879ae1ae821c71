/** Networks of clients: `10.0.0.0/8` and `2001:db8::/32` in, whether an address lies in one out. */

export interface Network {
  /** Eight words of 16 bits; IPv4 as `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2). */
  readonly words: readonly number[];
  /** How many of the 128 bits count. */
  readonly bits: number;
}

/** null: not a network. An address alone is a network of one. */
export function parseNetwork(cidr: string): Network | null {
  const [address = "", length, ...more] = cidr.split("/");
  const words = parseIp(address);
  if (words === null || more.length > 0) return null;
  const isOld = !address.includes(":");
  const most = isOld ? 32 : 128;
  if (length !== undefined && !/^\d{1,3}$/.test(length)) return null;
  const bits = length === undefined ? most : Number(length);
  return bits <= most ? { words, bits: isOld ? bits + 96 : bits } : null;
}

export function inNetwork(network: Network, address: string): boolean {
  const words = parseIp(address);
  if (words === null) return false;
  let left = network.bits;
  for (let at = 0; at < 8 && left > 0; at++, left -= 16) {
    const mask = left < 16 ? (0xffff << (16 - left)) & 0xffff : 0xffff;
    if (((words[at] as number) & mask) !== ((network.words[at] as number) & mask)) return false;
  }
  return true;
}

function parseIp(text: string): readonly number[] | null {
  const address = text.replace(/%.*$/, "");
  if (!address.includes(":")) {
    const tail = parseDotted(address);
    return tail && [0, 0, 0, 0, 0, 0xffff, ...tail];
  }
  const [before = "", behind, ...more] = address.split("::");
  if (more.length > 0) return null;
  const head = wordsOf(before);
  const tail = behind === undefined ? [] : wordsOf(behind);
  if (head === null || tail === null) return null;
  const missing = 8 - head.length - tail.length;
  if (behind === undefined ? missing !== 0 : missing < 1) return null;
  return [...head, ...Array.from({ length: missing }, () => 0), ...tail];
}

function wordsOf(text: string): readonly number[] | null {
  if (text === "") return [];
  const words: number[] = [];
  const parts = text.split(":");
  for (const [at, part] of parts.entries()) {
    const dotted = at === parts.length - 1 ? parseDotted(part) : null;
    if (dotted !== null) words.push(...dotted);
    else if (/^[0-9a-f]{1,4}$/i.test(part)) words.push(Number.parseInt(part, 16));
    else return null;
  }
  return words.length <= 8 ? words : null;
}

function parseDotted(text: string): readonly number[] | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  const bytes = match?.slice(1).map(Number);
  if (!bytes || bytes.some((byte) => 255 < byte)) return null;
  const [a, b, c, d] = bytes as [number, number, number, number];
  return [a * 256 + b, c * 256 + d];
}
