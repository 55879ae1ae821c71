/** WebSockets through the edge: who gets one, where it leads, and when it ends. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServiceRoute, StoreRoute } from "../../src/core/model/routing.ts";
import { type EdgeHere, edgeConfig, folder, startHere, until } from "./parts/edges.ts";
import { service, signed, table, target } from "./parts/tables.ts";
import {
  askForWebSocket,
  type Echo,
  requestWith,
  soundFields,
  startEcho,
  webSocketKey,
} from "./parts/websockets.ts";

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
  using client = askForWebSocket(
    edge.http,
    `${requestWith(soundFields)}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`,
  );
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
    soundFields.replace("keep-alive, Upgrade", "keep-alive"),
    soundFields.replace("WebSocket\r\n", "h2c\r\n"),
    soundFields.replace("WebSocket\r\n", "websocket, h2c\r\n"),
    soundFields.replace("Upgrade: WebSocket", "Upgrade: websocket\r\nUpgrade: websocket"),
    soundFields.replace("Version: 13", "Version: 8"),
    soundFields.replace(webSocketKey, "short"),
    soundFields.replace(webSocketKey, `${webSocketKey}\r\nSec-WebSocket-Key: ${webSocketKey}`),
    soundFields.replace(webSocketKey, `${webSocketKey}\r\nContent-Length: 5`),
  ].map((each) => requestWith(each) + (each.includes("Length: 5") ? "hello" : ""));
  doubtful.push(
    requestWith(soundFields).replace("GET", "POST"),
    requestWith(soundFields).replace("HTTP/1.1", "HTTP/1.0"),
  );
  for (const head of doubtful) {
    using client = askForWebSocket(edge.http, head);
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
  using client = askForWebSocket(edge.http);
  await until(() => client.text.includes("HTTP/1.1 503"), "it is held, and refused in the end", 12_000);
  assert.equal(await openCount(edge), "0");
});

test("a request for one is tried in the next region, as any other", async () => {
  using state = folder();
  await using echo = await startEcho();
  await using edge = await startHere(edgeConfig(state.path));
  const targets = [target("west", 1), target("central", echo.port)];
  await edge.apply(signed(table(1, { services: { orders: service(targets) } })));
  using client = askForWebSocket(edge.http);
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
    using client = askForWebSocket(edge.http);
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
  using quiet = askForWebSocket(edge.http);
  using alive = askForWebSocket(edge.http);
  await until(() => quiet.text.includes("hello") && alive.text.includes("hello"), "both are open");
  using third = askForWebSocket(edge.http);
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
  using client = askForWebSocket(edge.http);
  await until(() => client.text.includes("hello"), "it is open");
  await edge[Symbol.asyncDispose]();
  await until(() => client.isClosed && echo.open.size === 0, "both sides are closed");
});
