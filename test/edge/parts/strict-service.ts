/** A service that answers everything, and writes down what its strict reader (Node's) could not read. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export async function startStrictService() {
  const malformed: string[] = [];
  const server = createServer((request, response) => {
    request.resume().on("end", () => response.end("ok"));
  });
  server.on("clientError", (error: NodeJS.ErrnoException & { rawPacket?: Buffer }, socket) => {
    // A client that goes away in mid-body takes the connection along: that is no broken request.
    if (error.code !== "ECONNRESET" && error.code !== "HPE_INVALID_EOF_STATE")
      malformed.push(`${error.code}: ${JSON.stringify(error.rawPacket?.toString("latin1").slice(0, 300))}`);
    socket.destroy();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    malformed,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
