/** Clients over HTTP/2: the same rules as over HTTP/1.1, and what a client can do without end is ended. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { connect as connectTcp } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { promisify } from "node:util";
import { edgeConfig, folder, startHere, type TestEdge, until } from "./parts/edges.ts";
import { type Frames, openFrames, plainGet } from "./parts/frames.ts";
import { type Listener, readAll, startOrigin } from "./parts/origins.ts";
import { endlessService, shortLimits, silentService, startServed } from "./parts/served.ts";
import { rules, service, signed, table, target } from "./parts/tables.ts";

const cleartext = { tls: true, cleartext: true, streamsMax: 100, resetBurst: 50, resetsPerSecond: 1 };

function startWith(state: string, listener: Listener, more: Parameters<typeof edgeConfig>[1] = {}) {
  return startServed(state, listener, { http2: cleartext, ...more });
}

interface Client extends Disposable {
  readonly session: ClientHttp2Session;
}

function open(edge: TestEdge): Client {
  const session = connect(edge.http);
  session.on("error", () => undefined);
  return { session, [Symbol.dispose]: () => session.destroy() };
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

async function ask(
  { session }: Client,
  headers: Record<string, string | string[]>,
  body?: string | Buffer,
): Promise<Answer> {
  const stream = session.request(headers, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  return answerOf(stream);
}

async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
  return { status: Number(headers[":status"]), headers, text: await text(stream) };
}

test("curl speaks HTTP/2 in clear text where that is asked for, and is refused where it is not", async () => {
  using state = folder();
  await using it = await startWith(state.path, (_request, response) => response.end("ok"));
  using state2 = folder();
  await using strict = await startHere(edgeConfig(state2.path));
  const curl = (url: string, ...how: readonly string[]) =>
    promisify(execFile)("curl", [...["-sS", "--max-time", "5", ...how], ...["-w", " %{http_version}", url]]);
  assert.equal((await curl(it.edge.http, "--http2-prior-knowledge")).stdout, "ok 2");
  assert.equal((await curl(it.edge.http, "--http1.1")).stdout, "ok 1.1");
  // An upgrade from HTTP/1.1 (h2c) is not followed: RFC 9113 has given it up.
  assert.equal((await curl(it.edge.http, "--http2")).stdout, "ok 1.1");
  await assert.rejects(curl(strict.http, "--http2-prior-knowledge"));
});

test("a request arrives as one of HTTP/1.1, and its answer says where it was", async () => {
  using state = folder();
  await using it = await startWith(state.path, async (request, response) => {
    const heard = {
      ...request.headers,
      method: request.method,
      url: request.url,
      body: await readAll(request),
    };
    response.setHeader("Set-Cookie", ["a=1", "b=2"]);
    response.setHeader("X-Twice", ["one", "two"]);
    response.end(JSON.stringify(heard));
  });
  using client = open(it.edge);
  const asked = {
    ":path": "/a?b=c",
    ":method": "POST",
    cookie: ["d=1", "e=2"],
    te: "trailers",
    "x-own": "1",
  };
  const answer = await ask(client, asked, "hello");
  assert.equal(answer.status, 200);
  assert.equal(answer.headers["x-holdfast-region"], "west");
  assert.equal(answer.headers["x-holdfast-tries"], "1");
  assert.deepEqual(answer.headers["set-cookie"], ["a=1", "b=2"]);
  assert.equal(answer.headers["x-twice"], "one, two");
  const heard = JSON.parse(answer.text);
  assert.equal(heard.method, "POST");
  assert.equal(heard.url, "/a?b=c");
  assert.equal(heard.body, "hello");
  assert.equal(heard.host, new URL(it.edge.http).host);
  assert.equal(heard.cookie, "d=1; e=2");
  assert.equal(heard["content-length"], "5");
  assert.equal(heard["x-own"], "1");
  assert.equal(heard.te, undefined);
});

test("bodies of every size arrive whole both ways, many at once on one connection", async () => {
  using state = folder();
  await using it = await startWith(state.path, async (request, response) => {
    const body = await readAll(request);
    response.end(body);
  });
  using client = open(it.edge);
  const sizes = [0, 1, 16_384, 65_536, 1_048_576, 1_048_577, 3_000_000];
  const answers = await Promise.all(
    sizes.map((size) => ask(client, { ":path": `/${size}`, ":method": "PUT" }, "x".repeat(size))),
  );
  assert.deepEqual(
    answers.map((answer) => answer.text.length),
    sizes,
  );
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  const head = await ask(client, { ":path": "/", ":method": "HEAD" });
  assert.equal(head.text, "");
});

test("held, repeated elsewhere, stale and refused: as over HTTP/1.1", async () => {
  using state = folder();
  const west = await startOrigin((_request, response) => {
    response.setHeader("cache-control", "max-age=60");
    response.setHeader("content-length", 4);
    response.end("west");
  });
  await using central = await startOrigin((_request, response) => response.end("central"));
  await using edge = await startHere(edgeConfig(state.path, { http2: cleartext }));
  const apply = (generation: number, ...targets: ReturnType<typeof target>[]) =>
    edge.apply(
      signed(
        table(generation, {
          services: { orders: service(targets, { rules: { ...rules, staleMaxMs: 60_000 } }) },
        }),
      ),
    );
  await apply(1, target("west", west.port));
  using client = open(edge);
  assert.equal((await ask(client, { ":path": "/" })).text, "west");
  await west[Symbol.asyncDispose]();
  const stale = await ask(client, { ":path": "/" });
  assert.equal(stale.text, "west");
  assert.match(String(stale.headers["cache-status"]), /^edge-west; hit;/);
  const held = ask(client, { ":path": "/other" });
  await until(async () => ((await edge.state()) as { held: number }).held === 1, "it is held");
  await apply(2, target("west", 1), target("central", central.port));
  const answer = await held;
  assert.equal(answer.text, "central");
  assert.ok(Number(answer.headers["x-holdfast-held-ms"]) > 0);
  assert.ok(Number(answer.headers["x-holdfast-tries"]) > 1);
  const refused = await ask(client, { ":path": "/", ":method": "TRACE" });
  assert.equal(refused.status, 405);
  assert.equal(JSON.parse(refused.text).code, "HOLDFAST_METHOD");
  assert.equal(
    (await ask(client, { ":path": "/" })).text,
    "central",
    "the connection goes on after a refusal",
  );
});

test("a stream that the client cancels takes its request at the service along", async () => {
  using state = folder();
  const { listener, seen } = silentService();
  await using it = await startWith(state.path, listener);
  using client = open(it.edge);
  const stream = client.session.request({ ":path": "/" });
  stream.on("error", () => undefined);
  await until(() => seen.isAsked, "the service is asked");
  stream.close(constants.NGHTTP2_CANCEL);
  await until(() => seen.isGone, "the request is given up", 400);
});

test("an answer that breaks in its middle is a stream that is reset, not one that ends", async () => {
  using state = folder();
  await using it = await startWith(state.path, (_request, response) => {
    response.write("half");
    setTimeout(() => response.destroy(), 20);
  });
  using client = open(it.edge);
  const stream = client.session.request({ ":path": "/" });
  await assert.rejects(answerOf(stream), /NGHTTP2_INTERNAL_ERROR/);
});

test("pieces of an answer arrive as they are written, and a slow reader is not read ahead for", async () => {
  using state = folder();
  const { listener, seen } = endlessService();
  let say: ((words: string) => void) | null = null;
  await using it = await startWith(
    state.path,
    (request, response) => {
      if (request.url !== "/events") return listener(request, response);
      say = (words) => response.write(words);
      return say("first");
    },
    { limits: { ...edgeConfig("").limits, takenWithinMs: 300 } },
  );
  using client = open(it.edge);
  const events = client.session.request({ ":path": "/events" });
  assert.equal(String((await once(events, "data"))[0]), "first");
  say!("second");
  assert.equal(String((await once(events, "data"))[0]), "second");

  const greedy = client.session.request({ ":path": "/endless" });
  greedy.on("error", () => undefined);
  await once(greedy, "response");
  greedy.pause();
  await closed(greedy);
  assert.equal(greedy.rstCode, constants.NGHTTP2_INTERNAL_ERROR);
  // What the kernel's buffers on both ways hold, and no more.
  assert.ok(seen.written < 50_000_000, `${seen.written} bytes were read`);
  say!("third");
  assert.equal(String((await once(events, "data"))[0]), "third", "the other stream goes on");
});

test("an answer that HTTP/2 has no words for is a stream that is reset, and the connection goes on", async () => {
  using state = folder();
  await using it = await startWith(state.path, (request, response) => {
    response.writeHead(request.url === "/999" ? 999 : 200, { "x-sound": "\xfc" }).end("ok");
  });
  using client = open(it.edge);
  assert.equal((await fetch(`${it.edge.http}/`)).status, 200);
  await assert.rejects(ask(client, { ":path": "/999" }), /NGHTTP2_INTERNAL_ERROR/);
  assert.equal((await ask(client, { ":path": "/200" })).headers["x-sound"], "\xfc");
});

test("an edge that ends says GOAWAY, and lets what is under way finish", async () => {
  using state = folder();
  let finish: (() => void) | null = null;
  await using origin = await startOrigin((_request, response) => {
    finish = () => response.end("done");
  });
  const edge = await startHere(edgeConfig(state.path, { http2: cleartext }));
  await edge.apply(signed(table(1, { services: { orders: service([target("west", origin.port)]) } })));
  using client = open(edge);
  const answer = ask(client, { ":path": "/" });
  await until(() => finish !== null, "the service is asked");
  const goaway = once(client.session, "goaway");
  const closed = edge[Symbol.asyncDispose]();
  await goaway;
  finish!();
  assert.equal((await answer).text, "done");
  await closed;
});

test("clients of an edge whose region is drained hear GOAWAY, and what is under way finishes", async () => {
  using state = folder();
  let finish: (() => void) | null = null;
  await using origin = await startOrigin((_request, response) => {
    finish = () => response.end("done");
  });
  await using edge = await startHere(edgeConfig(state.path, { http2: cleartext }));
  const services = { orders: service([target("central", origin.port)]) };
  await edge.apply(signed(table(1, { services })));
  using client = open(edge);
  const answer = ask(client, { ":path": "/" });
  await until(() => finish !== null, "the service is asked");
  const goaway = once(client.session, "goaway");
  const regions = { west: "draining", central: "active", east: "standby" } as const;
  await edge.apply(signed(table(2, { services, regions })));
  await goaway;
  finish!();
  assert.equal((await answer).text, "done");
});

test("a client that opens and resets streams without end is ended (CVE-2023-44487)", async () => {
  using state = folder();
  let asked = 0;
  await using it = await startWith(state.path, () => {
    asked++;
  });
  await using frames = await openFrames(it.edge);
  for (let n = 0; n < 2000 && !frames.isClosed; n++) {
    const stream = 2 * n + 1;
    // Who expects to be told to go on, and is gone by then, too.
    const fields = n % 2 === 0 ? plainGet : [...plainGet, ["expect", "100-continue"] as const];
    frames.write(frames.headers(stream, { end: n % 2 === 0, fields }), frames.reset(stream));
    if (n % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => frames.isClosed, "it is ended");
  // As many as it may have open, and a burst of resets, at the very most.
  assert.ok(asked <= 150, `${asked} requests reached the service`);
  await answersStill(it.edge);
});

test("a head that never ends is ended, however it is cut into CONTINUATION frames (CVE-2024-27316)", async () => {
  using state = folder();
  await using it = await startWith(state.path, (_request, response) => response.end("ok"));
  await using frames = await openFrames(it.edge);
  frames.write(frames.headers(1, { more: true }));
  for (let n = 0; n < 2000 && !frames.isClosed; n++) {
    frames.write(frames.continuation(1));
    if (n % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => frames.isClosed, "it is ended");
  await answersStill(it.edge);
});

for (const [what, frame] of [
  ["SETTINGS", (frames: Frames) => frames.settings()],
  ["PING", (frames: Frames) => frames.ping()],
] as const)
  test(`a client that floods with ${what} and reads nothing is ended`, async () => {
    using state = folder();
    await using it = await startWith(state.path, (_request, response) => response.end("ok"));
    await using frames = await openFrames(it.edge);
    frames.stopReading();
    const burst = Buffer.concat(Array.from({ length: 1000 }, () => frame(frames)));
    for (let n = 0; n < 5000 && !frames.isClosed; n++) {
      if (!frames.write(burst)) await Promise.race([frames.drained(), frames.closed]);
    }
    await until(() => frames.isClosed, "it is ended", 20_000);
    await answersStill(it.edge);
  });

test("more streams at once than may be are refused one by one, and the others answered", async () => {
  using state = folder();
  const waiting: (() => void)[] = [];
  await using it = await startWith(
    state.path,
    (_request, response) => waiting.push(() => response.end("ok")),
    { http2: { ...cleartext, streamsMax: 5 } },
  );
  await using frames = await openFrames(it.edge);
  for (let n = 0; n < 8; n++) frames.write(frames.headers(2 * n + 1, { end: true }));
  await until(() => frames.types.filter((type) => type === "RST_STREAM").length === 3, "three are refused");
  await until(() => waiting.length === 5, "five are passed on");
  for (const answer of waiting) answer();
  await until(() => frames.types.filter((type) => type === "HEADERS").length === 5, "five are answered");
  assert.equal(frames.isClosed, false);
});

test("a session on which nothing happens, and a body that drips in, are ended in time", async () => {
  using state = folder();
  await using it = await startWith(state.path, (_request, response) => response.end("ok"), {
    limits: shortLimits,
  });
  const preface = connectTcp({ host: "127.0.0.1", port: Number(new URL(it.edge.http).port) });
  preface.on("error", () => undefined).write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  preface.resume();
  await once(preface, "close");
  await using idle = await openFrames(it.edge);
  await until(() => idle.isClosed, "an idle session is ended");
  using client = open(it.edge);
  const stream = client.session.request({ ":path": "/", ":method": "PUT" });
  stream.on("error", () => undefined);
  const drip = setInterval(() => stream.write("x"), 20);
  await closed(stream);
  clearInterval(drip);
});

async function answersStill(edge: TestEdge): Promise<void> {
  assert.match(await (await fetch(`${edge.http}/.holdfast/livez`)).text(), /ok/);
}

/** However: `once` of node:events would fail of an error before it. */
function closed(stream: ClientHttp2Stream): Promise<unknown> {
  return new Promise((resolve) => stream.once("close", resolve));
}
