/** The handshake of a WebSocket (RFC 6455 section 4), read strictly: only who says all of it may leave HTTP behind. */
import { createHash } from "node:crypto";
import type { Socket } from "node:net";

/** One end of a WebSocket: its socket, and who is given what is read from it, from now on. */
export interface WebSocketEnd {
  readonly socket: Socket;
  /** Valid during the call (B1 of `slab.ts`). */
  onBytes: ((bytes: Buffer) => void) | null;
}

/** 16 bytes in base64: the last character before the padding has four bits to spare, and they are 0. */
const soundKey = /^[A-Za-z0-9+/]{21}[AQgw]==$/;
/** RFC 6455 section 1.3. */
const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** The key of a request that asks for `upgrade`; null: it does not ask as it should, and is passed on as a plain GET. */
export function webSocketKeyOf(upgrade: string, headers: readonly string[]): string | null {
  if (upgrade.toLowerCase() !== "websocket") return null;
  const key = onlyValue(headers, "sec-websocket-key");
  const version = onlyValue(headers, "sec-websocket-version");
  return key !== null && soundKey.test(key) && version === "13" ? key : null;
}

/** Whether who answered 101 has read this very key, and so speaks WebSocket from here on. */
export function isAcceptOf(key: string, headers: readonly string[]): boolean {
  const proof = createHash("sha1")
    .update(key + guid)
    .digest("base64");
  return onlyValue(headers, "sec-websocket-accept") === proof;
}

function onlyValue(headers: readonly string[], lowerName: string): string | null {
  let found: string | null = null;
  for (let at = 0; at < headers.length; at += 2) {
    if ((headers[at] as string).toLowerCase() !== lowerName) continue;
    if (found !== null) return null;
    found = headers[at + 1] as string;
  }
  return found;
}
