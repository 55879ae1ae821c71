/** A server that speaks just enough of PostgreSQL's protocol, and answers when the test says so. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export function message(type: string, body: Buffer | string = ""): Buffer {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body);
  const head = Buffer.alloc(5);
  head.write(type, 0, "latin1");
  head.writeUInt32BE(bytes.length + 4, 1);
  return Buffer.concat([head, bytes]);
}

export const ready = (status: "I" | "T" | "E") => message("Z", status);
export const done = (tag: string) => message("C", `${tag}\0`);
export const query = (sql: string) => message("Q", `${sql}\0`);
export const sslRequest = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

export function startup(): Buffer {
  const body = Buffer.from("\0\x03\0\0user\0test\0\0", "latin1");
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length + 4);
  return Buffer.concat([head, body]);
}

export interface WireServer extends AsyncDisposable {
  readonly port: number;
  /** Queries in the order in which they came, each with the socket to answer on. */
  readonly queries: { readonly sql: string; readonly socket: Socket }[];
  readonly sockets: Set<Socket>;
}

export async function startWireServer(name = "wire"): Promise<WireServer> {
  const queries: WireServer["queries"] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let bytes = Buffer.alloc(0);
    let started = false;
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
    socket.on("data", (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (!started) {
        if (bytes.length < 4 || bytes.length < bytes.readUInt32BE(0)) return;
        bytes = bytes.subarray(bytes.readUInt32BE(0));
        started = true;
        socket.write(
          Buffer.concat([message("R", Buffer.alloc(4)), message("S", `name\0${name}\0`), ready("I")]),
        );
      }
      while (bytes.length >= 5 && bytes.length >= bytes.readUInt32BE(1) + 1) {
        const end = bytes.readUInt32BE(1) + 1;
        if (bytes[0] === "Q".charCodeAt(0)) queries.push({ sql: bytes.toString("utf8", 5, end - 1), socket });
        bytes = bytes.subarray(end);
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    queries,
    sockets,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export interface WireClient extends Disposable {
  readonly socket: Socket;
  /** All that was received, as text. */
  received(): string;
  readonly isClosed: boolean;
}

/** Connects and says who it is; `received()` tells what came back. */
export function startWireClient(port: number, first: Buffer = startup()): WireClient {
  const socket = connect({ host: "127.0.0.1", port });
  let text = "";
  let closed = false;
  socket
    .on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
    })
    .on("error", () => undefined)
    .on("close", () => {
      closed = true;
    });
  socket.write(first);
  return {
    socket,
    received: () => text,
    get isClosed() {
      return closed;
    },
    [Symbol.dispose]: () => socket.destroy(),
  };
}
