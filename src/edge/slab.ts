/**
 * Sockets that read into one buffer of the process, which costs no memory a connection and no allocation a read.
 *
 * Node gives each read a buffer of 64 KB, cut to what came: with small messages that is a third of what a proxy's work
 * costs. All that runs here runs in one thread, and a read is handed over before the next begins, so one is enough.
 *
 * - B1. What `onBytes` is given is valid during the call: who keeps it keeps a copy (`kept`).
 */
import { connect, type OnReadOpts, Socket, type TcpNetConnectOpts } from "node:net";

/** As much as libuv asks for. */
const slab = Buffer.allocUnsafeSlow(64 * 1024);
/** Up to this size Node writes a text from its stack; a buffer it would hold on to. */
const asTextUpToBytes = 16 * 1024;

export type OnBytes = (bytes: Buffer) => void;

/** As `net.connect`, but what is read goes to `onBytes`. */
export function connectWithSlab(options: TcpNetConnectOpts, onBytes: OnBytes): Socket {
  return connect({ ...options, onread: readInto(onBytes) });
}

/**
 * A socket in place of one that a server has just accepted, which must not be used any more. `net.Server` has no `onread`
 * option: what it hands over is taken apart here. On a Node that is built otherwise it stays as it is, and works.
 */
export function acceptWithSlab(accepted: Socket, allowHalfOpen: boolean, onBytes: OnBytes): Socket {
  const inside = accepted as unknown as Inside;
  if (!inside._handle || !inside._server) return accepted.on("data", onBytes);
  const socket = new Socket({
    handle: inside._handle,
    allowHalfOpen,
    onread: readInto(onBytes),
  } as ConstructorParameters<typeof Socket>[0]);
  // The server counts its connections by this when they close.
  (socket as unknown as Inside)._server = inside._server;
  inside._server = null;
  inside._handle = null;
  return socket;
}

interface Inside {
  _handle: object | null;
  _server: object | null;
}

function readInto(onBytes: OnBytes): OnReadOpts {
  return {
    buffer: slab,
    callback(length) {
      onBytes(slab.subarray(0, length));
      return true;
    },
  };
}

/** B1: `bytes` for as long as anyone wants. */
export function kept(bytes: Buffer): Buffer {
  return bytes.buffer === slab.buffer ? Buffer.from(bytes) : bytes;
}

/** Writes what is valid only now. False: wait for `drain`. */
export function writeNow(socket: Socket, bytes: Buffer): boolean {
  if (bytes.length <= asTextUpToBytes) return socket.write(bytes.toString("latin1"), "latin1");
  return socket.write(kept(bytes));
}
