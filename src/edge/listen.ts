/** Opening and closing of listening sockets, with errors that name the address. */
import type { Server as HttpServer } from "node:http";
import type { AddressInfo, Server } from "node:net";
import type { Address } from "../core/model/topology.ts";

export class ListenError extends Error {
  override readonly name = "ListenError";
  readonly code = "HOLDFAST_LISTEN";
}

/** Resolves with the address in use: port 0 asks for any free one. */
export function listen(server: Server, address: Address, what: string): Promise<Address> {
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException): void => {
      const where = `${address.host}:${address.port}`;
      const why =
        error.code === "EADDRINUSE"
          ? "another process listens there; end it, or choose another port"
          : error.message;
      reject(new ListenError(`cannot listen on ${where} for ${what}: ${why}`, { cause: error }));
    };
    server.once("error", fail);
    // 4096: after a failover everybody connects at once; the kernel's own limit (somaxconn) applies too.
    server.listen({ host: address.host, port: address.port, backlog: 4096 }, () => {
      server.off("error", fail);
      resolve({ host: address.host, port: (server.address() as AddressInfo).port });
    });
  });
}

/** Takes no more, lets what is under way finish, and ends the rest after `graceMs`. */
export function stopServer(server: HttpServer, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) return resolve();
    const hardEnd = setTimeout(() => server.closeAllConnections(), graceMs);
    server.close(() => {
      clearTimeout(hardEnd);
      resolve();
    });
    server.closeIdleConnections();
  });
}
