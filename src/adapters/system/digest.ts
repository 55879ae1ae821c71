/** Digests: whether two texts are the same, without sending them. */
import { createHash } from "node:crypto";

/** SHA-256, 64 hexadecimal digits. */
export function digest(text: string | Uint8Array): string {
  return createHash("sha256").update(text).digest("hex");
}
