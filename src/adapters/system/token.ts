/** The bearer token of an agent's API: made when it is first needed, kept in a file for its user alone. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { readFileIfAny, replaceFile } from "./atomic-file.ts";

/** 256 bits, 43 characters. */
export function loadOrMakeToken(path: string): string {
  const kept = readFileIfAny(path)?.trim();
  if (kept) return kept;
  const token = randomBytes(32).toString("base64url");
  replaceFile(path, `${token}\n`);
  return token;
}

/** Takes as long for a near miss as for a far one; digests make the lengths equal. */
export function isSameToken(a: string, b: string): boolean {
  const [left, right] = [a, b].map((each) => createHash("sha256").update(each).digest());
  return timingSafeEqual(left as Buffer, right as Buffer);
}
