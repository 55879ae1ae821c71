/** Names that nobody has borne before: of an agent's life, of a request. */
import { randomBytes } from "node:crypto";

/** 12 characters of 32 (60 bits), no i, l, o, u: to be read out at 3 a.m. Equal by chance once in 10^9 after 50,000 of them. */
export function makeId(): string {
  const letters = "0123456789abcdefghjkmnpqrstvwxyz";
  let id = "";
  for (const byte of randomBytes(12)) id += letters[byte % 32];
  return id;
}
