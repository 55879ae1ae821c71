/** A position in PostgreSQL's write-ahead log as a whole number of bytes. */

/** WAL position in bytes. A JavaScript integer is exact up to 2^53: 9 petabytes of WAL. */
export type Lsn = number;

/** `16/B374D848` -> 97500059720. Throws a RangeError on anything else, since a position is never guessed. */
export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  if (!match)
    throw new RangeError(`not a WAL position: ${JSON.stringify(text)} (expected such as 16/B374D848)`);
  return Number.parseInt(match[1] as string, 16) * 2 ** 32 + Number.parseInt(match[2] as string, 16);
}

/** 97500059720 -> `16/B374D848`, as PostgreSQL prints it. */
export function formatLsn(lsn: Lsn): string {
  const high = Math.floor(lsn / 2 ** 32);
  return `${high.toString(16).toUpperCase()}/${(lsn - high * 2 ** 32).toString(16).toUpperCase()}`;
}
