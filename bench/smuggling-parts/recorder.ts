/** An origin that writes down all bytes that it hears, and a client that sends any bytes. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { isWhole } from "./judge.ts";

/** Proxies send what they send within a few milliseconds; whoever waits for more of a body waits for ever. */
const silentForMs = 100;
const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

export async function startRecorder() {
  let texts: string[] = [];
  let lastAt = 0;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const at = texts.push("") - 1;
    const own = texts;
    sockets.add(socket);
    const answer = () => socket.writable && socket.end(ok);
    const timer = setTimeout(answer, 3 * silentForMs);
    socket
      .on("error", () => undefined)
      .on("close", () => {
        clearTimeout(timer);
        sockets.delete(socket);
      })
      .on("data", (bytes) => {
        lastAt = performance.now();
        own[at] += bytes.toString("latin1");
        if (isWhole(own[at] as string)) answer();
      });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    forget() {
      for (const socket of sockets) socket.destroy();
      texts = [];
      lastAt = 0;
    },
    /** When nothing more comes. */
    async heard() {
      while (performance.now() - lastAt < silentForMs) await pause(10);
      return texts.join("");
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Until the connection is closed, or nothing came for a moment. */
export async function send(port: number, bytes: string): Promise<void> {
  const socket = connect({ host: "127.0.0.1", port });
  await new Promise<void>((resolve) => {
    let timer = setTimeout(resolve, 4 * silentForMs);
    socket
      .on("data", () => {
        clearTimeout(timer);
        timer = setTimeout(resolve, silentForMs / 2);
      })
      .on("error", () => undefined)
      .on("close", () => {
        clearTimeout(timer);
        resolve();
      });
    socket.write(Buffer.from(bytes, "latin1"));
  });
  socket.destroy();
}
