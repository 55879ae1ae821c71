/** A way to an upstream that carries only so much a second, for tools that know no limit of their own. */
import { connect, createServer, type Socket } from "node:net";
import type { Address } from "../../core/model/topology.ts";
import { keepAliveAfterMs } from "./settings.ts";

export interface BoundedRelay {
  /** On this machine. */
  readonly address: Address;
  close(): Promise<void>;
}

/** `bytesPerSecond`: of what comes back from `target`, on each connection. Whoever connects is told of a failure by its end. */
export async function openBoundedRelay(target: Address, bytesPerSecond: number): Promise<BoundedRelay> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect({ ...target, keepAlive: true, keepAliveInitialDelay: keepAliveAfterMs });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    client.pipe(upstream);
    upstream.on("end", () => client.end());
    upstream.on("data", (chunk) => {
      client.write(chunk);
      // What was read is paid for before more is: the upstream's own window holds it back meanwhile.
      upstream.pause();
      setTimeout(() => upstream.resume(), (chunk.length / bytesPerSecond) * 1000);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as { port: number };
  return {
    address: { host: "127.0.0.1", port },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
