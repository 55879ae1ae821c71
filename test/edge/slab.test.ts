/** All sockets of an edge read into one buffer: what one client sends must never show in what another gets. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { Writable } from "node:stream";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { edgeConfig, folder, startHere } from "./parts/edges.ts";
import { startOrigin } from "./parts/origins.ts";
import { rules, service, signed, table, target } from "./parts/tables.ts";

const clients = 24;

/** In pieces of every size, one a turn, so that the pieces of all clients come in between one another. */
async function sendInPieces(socket: Writable, bytes: Buffer, turn: number): Promise<void> {
  for (let at = 0, size = 1 + turn; at < bytes.length; at += size, size = 1 + ((size * 7) % 9973)) {
    if (!socket.write(bytes.subarray(at, at + size))) await once(socket, "drain");
    await nextTurn();
  }
}

async function receive(socket: Socket, wanted: (all: Buffer) => boolean): Promise<Buffer> {
  let all = Buffer.alloc(0);
  for await (const chunk of socket) {
    all = Buffer.concat([all, chunk as Buffer]);
    if (wanted(all)) break;
  }
  return all;
}

test("HTTP: bodies in pieces, of many clients at once, arrive as they were sent", async () => {
  await using echo = await startOrigin(async (asked, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of asked) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    // Half of them without a length, in pieces.
    if (body.length % 2 === 0) response.setHeader("content-length", body.length);
    for (let at = 0; at < body.length; at += 5000) response.write(body.subarray(at, at + 5000));
    response.end();
  });
  using state = folder();
  await using edge = await startHere(edgeConfig(state.path));
  const services = {
    orders: service([target("west", echo.port)], { rules: { ...rules, tryTimeoutMs: 60_000 } }),
  };
  assert.equal((await edge.apply(signed(table(1, { services })))).kind, "applied");

  await Promise.all(
    Array.from({ length: clients }, async (_, n) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      for (const length of [10, 3001, 70_000 + n, 200_000, 1_500_000 + n]) {
        const sent = randomBytes(length);
        const asked = request(`${edge.http}/${n}`, {
          agent,
          method: "PUT",
          headers: { "content-length": length },
        });
        const answered = once(asked, "response") as Promise<[IncomingMessage]>;
        await sendInPieces(asked, sent, n);
        asked.end();
        const [answer] = await answered;
        const chunks: Buffer[] = [];
        for await (const chunk of answer) chunks.push(chunk as Buffer);
        assert.equal(answer.statusCode, 200);
        assert.ok(Buffer.concat(chunks).equals(sent), `client ${n}: ${length} bytes came back changed`);
      }
      agent.destroy();
    }),
  );
});

test("TCP: what many clients and a slow server say to one another arrives as it was sent", async () => {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.write("hello");
    socket.on("data", (chunk: Buffer) => {
      if (socket.write(chunk)) return;
      socket.pause();
      socket.once("drain", () => socket.resume());
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  server.unref();
  using state = folder();
  const anyPort = { host: "127.0.0.1", port: 0 };
  await using edge = await startHere(edgeConfig(state.path, { tcp: { "orders-db": anyPort } }));
  const services = { orders: service([target("west", 1)], { dataStores: ["orders-db"] }) };
  const gate = { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
  const stores = {
    "orders-db": { epoch: 1, writer: { member: "pg-west", region: "west", gate }, changing: false },
  };
  assert.equal((await edge.apply(signed(table(1, { epoch: 1, services, stores })))).kind, "applied");
  try {
    await Promise.all(
      Array.from({ length: clients }, async (_, n) => {
        const socket = connect(edge.tcp["orders-db"]?.port ?? 0, "127.0.0.1");
        await once(socket, "connect");
        const sent = randomBytes(300_000 + n);
        const back = receive(socket, (all) => all.length === "hello".length + sent.length);
        await sendInPieces(socket, sent, n);
        const all = await back;
        assert.ok(all.subarray("hello".length).equals(sent), `client ${n} got back what it did not send`);
        socket.destroy();
      }),
    );
  } finally {
    server.close();
  }
});
