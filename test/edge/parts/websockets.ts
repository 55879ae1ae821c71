/** A service that takes WebSockets and gives every byte back, and clients that ask an edge for one. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { openRaw, type RawClient } from "./raw-client.ts";

export const webSocketKey = "dGhlIHNhbXBsZSBub25jZQ==";

export interface Echo extends AsyncDisposable {
  readonly port: number;
  /** Heads of requests that were no upgrade, and how many that were. */
  readonly plain: string[];
  readonly open: Set<Socket>;
}

/** Takes upgrades and gives every byte back; answers anything else with 200. `accept`: what it says of the key. */
export async function startEcho(
  accept = (given: string) =>
    createHash("sha1").update(`${given}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64"),
): Promise<Echo> {
  const plain: string[] = [];
  const open = new Set<Socket>();
  const server = createServer((request, response) => {
    plain.push(JSON.stringify(request.headers));
    response.end("plain");
  });
  server.on("upgrade", (request, duplex, first) => {
    const socket = duplex as Socket;
    open.add(socket);
    socket.on("error", () => undefined).on("close", () => open.delete(socket));
    const proof = accept(String(request.headers["sec-websocket-key"]));
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${proof}\r\n\r\nhello from ${request.url}`,
    );
    socket.write(first);
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    plain,
    open,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export const requestWith = (more: string) => `GET /chat HTTP/1.1\r\nHost: a\r\n${more}\r\n\r\n`;
export const soundFields = `Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${webSocketKey}`;

/** `http`: the URL of an edge. */
export function askForWebSocket(http: string, head = requestWith(soundFields)): RawClient {
  return openRaw(http, head);
}
