/** Clients that are slow, silent, greedy or mad: they cost a connection for a while, and nobody else anything. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { edgeConfig, folder, startHere, until } from "./parts/edges.ts";
import type { Listener } from "./parts/origins.ts";
import { openRaw } from "./parts/raw-client.ts";
import { endlessService, shortLimits, silentService, startServed } from "./parts/served.ts";
import { service, signed, table, target } from "./parts/tables.ts";

function startWith(state: string, listener: Listener, more: Partial<typeof shortLimits> = {}) {
  return startServed(state, listener, { limits: { ...shortLimits, ...more } });
}

test("who says nothing, half a head, half a body, or nothing more, is ended in time", async () => {
  using state = folder();
  await using it = await startWith(state.path, (_request, response) => response.end("ok"));
  using silent = openRaw(it.edge.http);
  using halfHead = openRaw(it.edge.http, "GET / HTTP/1.1\r\nHost: a\r\n");
  using halfBody = openRaw(it.edge.http, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
  using idle = openRaw(it.edge.http, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await until(() => idle.text.includes("ok"), "the idle one is answered first");
  const all = [silent, halfHead, halfBody, idle];
  await until(() => all.every(({ isClosed }) => isClosed), "all are ended", 3000);
});

test("a head that drips in byte by byte is ended at its deadline, which no byte moves", async () => {
  using state = folder();
  await using it = await startWith(state.path, (_request, response) => response.end("ok"));
  using dripping = openRaw(it.edge.http, "GET / HTTP/1.1\r\nHost: a\r\n");
  const drip = setInterval(() => dripping.socket.write("X"), 20);
  try {
    await until(() => dripping.isClosed, "it is ended", 3000);
  } finally {
    clearInterval(drip);
  }
});

test("a body that drips in byte by byte is ended at its deadline, and costs the service nothing", async () => {
  using state = folder();
  let asked = 0;
  await using it = await startWith(state.path, (_request, response) => {
    asked++;
    response.end("ok");
  });
  using dripping = openRaw(it.edge.http, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
  const drip = setInterval(() => dripping.socket.write("X"), 20);
  try {
    await until(() => dripping.isClosed, "it is ended", 3000);
  } finally {
    clearInterval(drip);
  }
  assert.equal(asked, 0);
});

test("events go on for longer than a try may take, and end when nothing more comes", async () => {
  using state = folder();
  let beat: NodeJS.Timeout | undefined;
  await using it = await startWith(
    state.path,
    (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      beat = setInterval(() => response.write("data: tick\n\n"), 100);
    },
    { quietForMs: 1000 },
  );
  try {
    using client = openRaw(it.edge.http, "GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    // `tryTimeoutMs` of these tests is 500.
    await until(() => client.text.split("tick").length > 20, "two seconds of events");
    assert.equal(client.isClosed, false);
    clearInterval(beat);
    await until(() => client.isClosed, "the silent stream is ended", 5000);
    assert.doesNotMatch(client.text, /0\r\n\r\n$/, "and not as if it were complete");
  } finally {
    clearInterval(beat);
  }
});

test("who takes nothing of a long answer is ended, and the service is not read to its end for it", async () => {
  using state = folder();
  const { listener, seen } = endlessService();
  await using it = await startWith(state.path, listener);
  using greedy = openRaw(it.edge.http, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  greedy.socket.pause();
  const connections = async () => /holdfast_edge_connections (\d+)/.exec(await it.edge.metrics())?.[1];
  await until(async () => (await connections()) === "0", "it is ended", 5000);
  // What the kernel's buffers on both ways hold, and no more.
  assert.ok(seen.written < 50_000_000, `${seen.written} bytes were read`);
});

test("a client that goes away takes its request at the service along", async () => {
  using state = folder();
  const { listener, seen } = silentService();
  await using it = await startWith(state.path, listener);
  const leaving = openRaw(it.edge.http, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await until(() => seen.isAsked, "the service is asked");
  leaving.socket.destroy();
  await until(() => seen.isGone, "the request is given up", 400);
});

test("a client that goes away while it is held leaves the room", async () => {
  using state = folder();
  await using edge = await startHere(edgeConfig(state.path));
  await edge.apply(signed(table(1, { services: { orders: service([target("west", 1)]) } })));
  const held = async () => ((await edge.state()) as { held: number }).held;
  const leaving = openRaw(edge.http, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await until(async () => (await held()) === 1, "it is held");
  leaving.socket.destroy();
  await until(async () => (await held()) === 0, "it has left");
});

test("an endless answer arrives piece by piece, as it is written", async () => {
  using state = folder();
  let say: ((text: string) => void) | null = null;
  await using it = await startWith(state.path, (_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    say = (text) => response.write(`data: ${text}\n\n`);
    say("first");
  });
  using client = openRaw(it.edge.http, "GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
  await until(() => client.text.includes("data: first"), "the first arrives");
  say!("second");
  await until(() => client.text.includes("data: second"), "the second arrives");
  assert.equal(client.isClosed, false);
});

test("two thousand random requests, mutated and cut anywhere, neither crash the edge nor leave anything behind", async () => {
  using state = folder();
  await using it = await startWith(state.path, (request, response) => {
    request.resume();
    response.end("ok");
  });
  // xorshift32 with a fixed seed: a failure can be had again.
  let seed = 0x9e3779b9;
  const below = (n: number): number => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return (seed >>> 0) % n;
  };
  const sound = Buffer.from(
    "POST /x?y=1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    "latin1",
  );
  const run = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n++) {
      using client = openRaw(it.edge.http);
      const bytes = Buffer.from(sound);
      for (let change = below(6); change > 0; change--) bytes[below(bytes.length)] = below(256);
      const cut = below(bytes.length);
      client.socket.write(bytes.subarray(0, cut));
      client.socket.write(bytes.subarray(cut, cut + below(bytes.length - cut + 1)));
      const isDone = () => client.isClosed || client.text.endsWith("ok");
      await until(isDone, `an end to ${JSON.stringify(bytes.toString("latin1"))}`, 10_000);
    }
  };
  await Promise.all(Array.from({ length: 20 }, () => run(100)));
  const answer = await fetch(it.edge.http);
  assert.equal(await answer.text(), "ok");
  await until(async () => /holdfast_edge_held 0\n/.test(await it.edge.metrics()), "nothing is held");
  const { services } = (await it.edge.state()) as { services: { active: number }[] };
  assert.deepEqual(
    services.map(({ active }) => active),
    [0],
  );
});
