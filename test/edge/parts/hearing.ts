/** An origin that writes down all bytes that it is sent, connection by connection, and answers each whole request once. */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";

export interface HearingOrigin extends AsyncDisposable {
  readonly port: number;
  readonly heard: { raw: string }[];
}

export async function startHearing(): Promise<HearingOrigin> {
  const heard: { raw: string }[] = [];
  const server = createServer((socket) => {
    const one = { raw: "" };
    heard.push(one);
    socket
      .on("error", () => undefined)
      .on("data", (bytes) => {
        one.raw += bytes.toString("latin1");
        if (isWhole(one.raw))
          socket.end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
      });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    heard,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** Exactly one request, by the one framing that the edge itself writes. */
export function isWhole(raw: string): boolean {
  const end = raw.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(raw.slice(0, end))?.[1] ?? 0);
  return raw.length === end + 4 + length;
}
