/** WebSockets through the edge: who gets one, where it leads, and when it ends. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { test } from "node:test";
import type { ServiceRoute, StoreRoute } from "../../src/core/model/routing.ts";
import { type EdgeHere, edgeConfig, folder, startHere, until } from "./parts/edges.ts";
import { service, signed, table, target } from "./parts/tables.ts";

const key = "dGhlIHNhbXBsZSBub25jZQ==";

interface Echo extends AsyncDisposable {
  readonly port: number;
  /** Heads of requests that were no upgrade, and how many that were. */
  readonly plain: string[];
  readonly open: Set<Socket>;
}

/** Takes upgrades and gives every byte back; answers anything else with 200. `accept`: what it says of the key. */
async function startEcho(
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

interface Client extends Disposable {
  readonly socket: Socket;
  readonly text: string;
  readonly isClosed: boolean;
}

const fields = (more: string) => `GET /chat HTTP/1.1\r\nHost: a\r\n${more}\r\n\r\n`;
const sound = `Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}`;

function open(edge: EdgeHere, head = fields(sound)): Client {
  const socket = connect({ host: "127.0.0.1", port: Number(new URL(edge.http).port) });
  const client = {
    socket,
    text: "",
    isClosed: false,
    [Symbol.dispose]: () => {
      socket.destroy();
    },
  };
  socket
    .on("error", () => undefined)
    .on("data", (bytes: Buffer) => {
      client.text += bytes.toString("latin1");
    })
    .on("close", () => {
      client.isClosed = true;
    });
  socket.write(head);
  return client;
}

async function startWith(state: string, echo: Echo, more: Parameters<typeof edgeConfig>[1] = {}) {
  const edge = await startHere(edgeConfig(state, more));
  await edge.apply(signed(table(1, { services: { orders: service([target("west", echo.port)]) } })));
  return edge;
}

const openCount = async (edge: EdgeHere) => /holdfast_edge_websockets (\d+)/.exec(await edge.metrics())?.[1];
const endedBecause = async (edge: EdgeHere, because: string) =>
  (await edge.metrics()).includes(`holdfast_edge_websockets_ended_total{because="${because}"} 1\n`);

test("bytes go both ways as they come, whatever they look like, and the end of one side is the other's", async () => {
  using state = folder();
  await using echo = await startEcho();
  await using edge = await startWith(state.path, echo);
  // Sent ahead of the 101, and looking like a request: it belongs to the WebSocket.
  using client = open(edge, `${fields(sound)}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`);
  await until(() => client.text.includes("/smuggled"), "what was sent ahead comes back");
  assert.match(client.text, /^HTTP\/1\.1 101 /);
  assert.match(client.text, /\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/i);
  assert.match(client.text, /\r\nx-holdfast-region: west\r\n/);
  assert.match(client.text, /\r\n\r\nhello from \/chat/);
  const bytes = Buffer.alloc(1_000_000, "0123456789").toString();
  client.socket.write(bytes);
  await until(() => client.text.endsWith(bytes), "a megabyte comes back");
  assert.equal(await openCount(edge), "1");
  assert.deepEqual(echo.plain, []);
  client.socket.end();
  await until(() => client.isClosed && echo.open.size === 0, "both sides are closed");
  assert.equal(await openCount(edge), "0");
});

test("only who asks for it in every point gets one; others are passed on as plain requests", async () => {
  using state = folder();
  await using echo = await startEcho();
  await using edge = await startWith(state.path, echo);
  const doubtful = [
    sound.replace("keep-alive, Upgrade", "keep-alive"),
    sound.replace("WebSocket\r\n", "h2c\r\n"),
    sound.replace("WebSocket\r\n", "websocket, h2c\r\n"),
    sound.replace("Upgrade: WebSocket", "Upgrade: websocket\r\nUpgrade: websocket"),
    sound.replace("Version: 13", "Version: 8"),
    sound.replace(key, "short"),
    sound.replace(key, `${key}\r\nSec-WebSocket-Key: ${key}`),
    sound.replace(key, `${key}\r\nContent-Length: 5`),
  ].map((each) => fields(each) + (each.includes("Length: 5") ? "hello" : ""));
  doubtful.push(fields(sound).replace("GET", "POST"), fields(sound).replace("HTTP/1.1", "HTTP/1.0"));
  for (const head of doubtful) {
    using client = open(edge, head);
    await until(() => client.text.includes("plain"), `an answer to ${JSON.stringify(head)}`);
    assert.match(client.text, /^HTTP\/1\.1 200 /);
  }
  assert.equal(echo.open.size, 0);
  for (const heard of echo.plain) assert.doesNotMatch(heard, /"upgrade"/i);
});

test("a 101 from who has not read the key, or was not asked, is no answer", async () => {
  using state = folder();
  await using echo = await startEcho(() => "bm90IHRoaXMga2V5");
  await using edge = await startWith(state.path, echo);
  using client = open(edge);
  await until(() => client.text.includes("HTTP/1.1 503"), "it is held, and refused in the end", 12_000);
  assert.equal(await openCount(edge), "0");
});

test("a request for one is tried in the next region, as any other", async () => {
  using state = folder();
  await using echo = await startEcho();
  await using edge = await startHere(edgeConfig(state.path));
  const targets = [target("west", 1), target("central", echo.port)];
  await edge.apply(signed(table(1, { services: { orders: service(targets) } })));
  using client = open(edge);
  await until(() => client.text.includes("hello"), "it is open");
  assert.match(client.text, /x-holdfast-region: central\r\n[\s\S]*x-holdfast-tries: 2\r\n/);
});

const store: StoreRoute = {
  epoch: 1,
  writer: { member: "pg-1", region: "central", gate: { host: "127.0.0.1", port: 1 } },
  changing: false,
};

const ends: readonly (readonly [
  what: string,
  because: string,
  next: Parameters<typeof table>[1] | ((route: ServiceRoute) => Parameters<typeof table>[1]),
])[] = [
  [
    "its region is drained",
    "region drained",
    (orders) => ({ services: { orders }, regions: drained("drained") }),
  ],
  [
    "its region is fenced",
    "region fenced",
    (orders) => ({ services: { orders }, regions: drained("fenced") }),
  ],
  ["its service is off", "mode", (orders) => ({ services: { orders: { ...orders, mode: "off" } } })],
  [
    "the writer changes",
    "writer changed",
    (orders) => ({ services: { orders }, stores: { db: { ...store, epoch: 2 } }, epoch: 2 }),
  ],
];

function drained(state: "drained" | "fenced") {
  return { west: state, central: "active", east: "standby" } as const;
}

for (const [what, because, next] of ends)
  test(`a WebSocket ends when ${what}, and not before`, async () => {
    using state = folder();
    await using echo = await startEcho();
    await using edge = await startHere(edgeConfig(state.path, { drainMs: 1000 }));
    const central = target("central", 1);
    const route = service([target("west", echo.port), central], { dataStores: ["db"] });
    const apply = async (generation: number, content: Parameters<typeof table>[1]) => {
      const outcome = await edge.apply(signed(table(generation, { stores: { db: store }, ...content })));
      assert.equal(outcome.kind, "applied", outcome.because);
    };
    await apply(1, { services: { orders: route } });
    using client = open(edge);
    await until(() => client.text.includes("hello"), "it is open");
    await apply(2, { services: { orders: { ...route, rules: { ...route.rules, ttlMs: 1 } } } });
    client.socket.write("still here");
    await until(
      () => client.text.endsWith("still here"),
      "a table that changes nothing for it leaves it alone",
    );
    const isGone = because === "region fenced";
    const after = isGone ? { ...route, targets: [central] } : route;
    await apply(3, typeof next === "function" ? next(after) : next);
    await until(() => client.isClosed && echo.open.size === 0, "it ends");
    assert.ok(await endedBecause(edge, because), `because ${because}`);
  });

test("one on which nothing moves ends, one that lives does not, and there are no more than may be", async () => {
  using state = folder();
  await using echo = await startEcho();
  const limits = { ...edgeConfig("").limits, quietForMs: 700 };
  await using edge = await startWith(state.path, echo, { limits, webSocketsMax: 2 });
  using quiet = open(edge);
  using alive = open(edge);
  await until(() => quiet.text.includes("hello") && alive.text.includes("hello"), "both are open");
  using third = open(edge);
  await until(() => third.text.includes("HOLDFAST_SHED"), "the third is refused");
  const beat = setInterval(() => alive.socket.write("."), 50);
  await until(() => quiet.isClosed, "the quiet one ends", 4000);
  assert.equal(alive.isClosed, false);
  clearInterval(beat);
  await until(() => alive.isClosed, "the other too when it falls silent", 4000);
});

test("an edge that ends leaves no WebSocket open", async () => {
  using state = folder();
  await using echo = await startEcho();
  const edge = await startWith(state.path, echo);
  using client = open(edge);
  await until(() => client.text.includes("hello"), "it is open");
  await edge[Symbol.asyncDispose]();
  await until(() => client.isClosed && echo.open.size === 0, "both sides are closed");
});
