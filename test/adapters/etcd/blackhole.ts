/**
 * A TCP relay that can stall: connections stay open or are accepted, nothing passes in either direction, and what was
 * on its way arrives afterwards, as TCP repeats it: no network delivers a stream with a hole. And one that is slow.
 */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

export interface Relay extends AsyncDisposable {
  readonly port: number;
  /** That came from either side. */
  readonly bytes: number;
  /** Connections that were ever made over it. */
  readonly connections: number;
  /** Ends those that are open. */
  cut(): void;
  stall(yes: boolean): void;
}

/** `delayMs`: each way. */
export async function startRelay(toPort: number, delayMs = 0): Promise<Relay> {
  const sockets = new Set<Socket>();
  let stalls = false;
  let bytes = 0;
  const join = (from: Socket, to: Socket) => {
    sockets.add(from);
    if (stalls) from.pause();
    from.on("data", (data) => {
      bytes += data.length;
      if (delayMs === 0) to.write(data);
      else setTimeout(() => to.write(data), delayMs);
    });
    from.on("error", () => {});
    from.on("close", () => {
      sockets.delete(from);
      to.destroy();
    });
  };
  let connections = 0;
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  const server = createServer((client) => {
    connections += 1;
    const upstream = connect(toPort, "127.0.0.1");
    join(client, upstream);
    join(upstream, client);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as { port: number }).port,
    get bytes() {
      return bytes;
    },
    get connections() {
      return connections;
    },
    cut,
    stall: (yes) => {
      stalls = yes;
      for (const socket of sockets) socket[yes ? "pause" : "resume"]();
    },
    async [Symbol.asyncDispose]() {
      cut();
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
}
