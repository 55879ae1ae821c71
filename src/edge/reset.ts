/** A connection ended at once, with a reset: what lies in a buffer of ours or of the kernel does not go out any more. */
import type { Socket } from "node:net";

/**
 * As `resetAndDestroy`, in every state of the socket. That one waits for a connection that is still being made, for as long
 * as the kernel tries. And while a FIN is on its way out libuv refuses a reset (EINVAL), upon which Node forgets the handle
 * without closing it: a process that has nothing else to do turns at full speed then, and does not end.
 */
export function reset(socket: Socket): void {
  if (socket.connecting) socket.destroy();
  else if (isSendingFin(socket)) socket.once("finish", () => socket.resetAndDestroy());
  else socket.resetAndDestroy();
}

/** Within one turn of the loop it is done: all that was written is out. */
function isSendingFin({ writableEnded, writableFinished, writableLength, destroyed }: Socket): boolean {
  return writableEnded && !writableFinished && writableLength === 0 && !destroyed;
}
