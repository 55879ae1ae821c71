/** Connections that are ended at once, in every state in which one may be. */
import assert from "node:assert/strict";
import { channel } from "node:diagnostics_channel";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { reset } from "../../src/edge/reset.ts";
import { edgeConfig, folder, startHere } from "./parts/edges.ts";
import { service, signed, table, target } from "./parts/tables.ts";

async function listening(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** Both ends of a connection; `far` has not been read. */
async function connected(): Promise<{ near: Socket; far: Socket }> {
  const server = createServer({ pauseOnConnect: true });
  const port = await listening(server);
  const near = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const [[far]] = (await Promise.all([once(server, "connection"), once(near, "connect")])) as [[Socket], []];
  server.close();
  return { near, far };
}

/** What `far` hears: `ECONNRESET`, or `end`. */
async function heardBy(far: Socket): Promise<string> {
  const heard = new Promise<string>((resolve) => {
    far.once("end", () => resolve("end")).once("error", ({ message }) => resolve(message));
  });
  far.resume();
  return heard;
}

for (const [what, before] of [
  ["is open", () => undefined],
  ["was ended in this very turn", (near: Socket) => near.end()],
  ["was ended in an earlier turn", (near: Socket) => near.end() && once(near, "finish")],
  ["has more to write than is taken", (near: Socket) => near.write(Buffer.alloc(50_000_000))],
  ["has more to write than is taken, and was ended", (near: Socket) => near.end(Buffer.alloc(50_000_000))],
] as const)
  test(`a connection that ${what} is reset, and closed`, { timeout: 10_000 }, async () => {
    const { near, far } = await connected();
    await before(near);
    const closed = once(near, "close");
    reset(near);
    await closed;
    await nextTurn();
    const heard = await heardBy(far);
    // Of what was ended before, the end may be heard first.
    if (!what.includes("ended in")) assert.match(heard, /ECONNRESET/);
    far.destroy();
  });

test("a connection that is still being made is given up at once", { timeout: 10_000 }, async () => {
  const server = createServer();
  const port = await listening(server);
  const near = connect(port, "127.0.0.1");
  near.on("connect", () => assert.fail("it was connected all the same"));
  const closed = once(near, "close");
  reset(near);
  await closed;
  server.close();
});

test("a gate that is late to take a connection is asked again, and the client hears of it at once", async () => {
  const server = createServer((socket) => socket.on("error", () => undefined).write("hello"));
  const gate = { host: "127.0.0.1", port: await listening(server) };
  using state = folder();
  const anyPort = { host: "127.0.0.1", port: 0 };
  await using edge = await startHere(edgeConfig(state.path, { tcp: { "orders-db": anyPort } }));
  const services = { orders: service([target("west", 1)], { dataStores: ["orders-db"] }) };
  const stores = {
    "orders-db": { epoch: 1, writer: { member: "pg-west", region: "west", gate }, changing: false },
  };
  await edge.apply(signed(table(1, { epoch: 1, services, stores })));
  // The edge waits 500 ms for a connection. This thread stands still for longer, as soon as it asks for one: once.
  let sockets = 0;
  const begun = channel("net.client.socket");
  const stand = (): void => {
    if (++sockets !== 2) return;
    begun.unsubscribe(stand);
    queueMicrotask(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 700));
  };
  begun.subscribe(stand);
  const client = connect(edge.tcp["orders-db"]?.port ?? 0, "127.0.0.1");
  try {
    // It waits for a writer for 5 s, and then ends the client.
    const [first] = await once(client, "data", { signal: AbortSignal.timeout(3000) });
    assert.equal(String(first), "hello");
    assert.equal(sockets, 2, "this client's, and the edge's first");
  } finally {
    begun.unsubscribe(stand);
    client.destroy();
    server.close();
  }
});
