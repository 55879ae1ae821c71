/** What an edge keeps: never told older than it is, given up when it changes, and, where it is told to, used again. */
import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { test } from "node:test";
import { request } from "undici";
import { StaleStore } from "../../src/edge/stale-store.ts";
import { edgeConfig, folder, startHere, until } from "./parts/edges.ts";
import { startOrigin } from "./parts/origins.ts";
import { rules, service, signed, table, target } from "./parts/tables.ts";

const patient = { ...rules, holdMaxMs: 100, staleMaxMs: 60_000 };

async function startService(
  cache: boolean,
  listener: (request: IncomingMessage, response: ServerResponse) => void,
) {
  const state = folder();
  const west = await startOrigin(listener);
  let isLost = false;
  const edge = await startHere(edgeConfig(state.path, { cache }));
  await edge.apply(
    signed(table(1, { services: { orders: service([target("west", west.port)], { rules: patient }) } })),
  );
  const ask = async (
    path: string,
    headers: Record<string, string> = {},
    method: "GET" | "HEAD" | "PUT" = "GET",
  ) => {
    // Not by `fetch`, which adds `Cache-Control` to what has conditions.
    const answer = await request(`${edge.http}${path}`, { method, headers });
    const field = (name: string) => String(answer.headers[name] ?? "");
    return { status: answer.statusCode, field, text: await answer.body.text() };
  };
  return {
    ask,
    lose: () => {
      isLost = true;
      return west[Symbol.asyncDispose]();
    },
    async [Symbol.asyncDispose]() {
      await edge[Symbol.asyncDispose]();
      if (!isLost) await west[Symbol.asyncDispose]();
      state[Symbol.dispose]();
    },
  };
}

test("an old answer says how old it was when it came, too", async () => {
  await using run = await startService(false, (_request, response) => {
    response.writeHead(200, { "cache-control": "max-age=60", age: "30", "content-length": 2 }).end("ok");
  });
  await run.ask("/");
  await run.lose();
  const kept = await run.ask("/");
  assert.equal(kept.status, 200);
  assert.ok(30 <= Number(kept.field("age")), `age ${kept.field("age")}`);
  assert.match(kept.field("cache-status"), /ttl=(30|29);/);
});

test("after a change of the same thing what was kept of it is given up", async () => {
  await using run = await startService(false, (_request, response) => {
    response.writeHead(200, { "cache-control": "max-age=60", "content-length": 2 }).end("ok");
  });
  for (const path of ["/a", "/b"]) await run.ask(path);
  await run.ask("/a", {}, "PUT");
  await run.lose();
  assert.equal((await run.ask("/a")).status, 503);
  assert.equal((await run.ask("/b")).status, 200);
});

test("that nothing changed, a part, and an error do not take the place of what is kept", async () => {
  await using run = await startService(false, (request, response) => {
    const status = request.headers["if-none-match"] ? 304 : request.headers.range ? 206 : 200;
    const body = status === 304 ? "" : "whole".slice(0, status === 206 ? 2 : 5);
    const length = status === 304 ? {} : { "content-length": body.length };
    response.writeHead(status, { "cache-control": "max-age=60", etag: '"1"', ...length }).end(body);
  });
  await run.ask("/");
  assert.equal((await run.ask("/", { "if-none-match": '"1"' })).status, 304);
  assert.equal((await run.ask("/", { range: "bytes=0-1" })).status, 206);
  await run.lose();
  assert.equal((await run.ask("/")).text, "whole");
});

test("what is kept is counted with its fields and its path: large ones are no way around the bound", () => {
  const store = new StaleStore("edge", false);
  const headers = ["cache-control", "max-age=60", "x-large", "y".repeat(60_000)];
  for (let n = 0; n < 3000; n++)
    store.keep(
      { service: "orders", method: "GET", path: `/${n}`, headers: [] },
      { status: 200, headers, body: null },
      "west",
      60_000,
    );
  assert.ok(60_000_000 < store.bytes && store.bytes <= 64 * 1024 * 1024, `${store.bytes}`);
});

test("a cache answers while it is fresh, asks whether it still holds after that, and keeps variants apart", async () => {
  let asked = 0;
  let etag = '"1"';
  await using run = await startService(true, (request, response) => {
    asked++;
    const headers = { etag, vary: "accept-language", "x-asked": String(asked) };
    if (request.headers["if-none-match"] === etag) response.writeHead(304, headers).end();
    else {
      const age = request.url === "/fresh" ? "max-age=60" : "no-cache";
      response.writeHead(200, { ...headers, "cache-control": age, "content-length": 5 });
      response.end(`${etag}${request.headers["accept-language"]}`);
    }
  });
  const english = { "accept-language": "en" };
  const first = await run.ask("/fresh", english);
  const again = await run.ask("/fresh", english);
  assert.equal(asked, 1);
  assert.deepEqual([again.status, again.text, again.field("age")], [200, first.text, "0"]);
  assert.match(again.field("cache-status"), /^edge-west; hit; ttl=(60|59)$/);
  assert.equal(again.field("x-holdfast-tries"), "0");
  assert.equal((await run.ask("/fresh", { "accept-language": "de" })).text, `${etag}de`);
  assert.equal(asked, 2);
  assert.equal((await run.ask("/fresh", english)).text, `${etag}en`);
  assert.equal((await run.ask("/fresh", { ...english, "if-none-match": '"1"' })).status, 304);
  const part = await run.ask("/fresh", { ...english, range: "bytes=3-" });
  assert.deepEqual([part.status, part.text, part.field("content-range")], [206, "en", "bytes 3-4/5"]);
  assert.equal((await run.ask("/fresh", { ...english, "cache-control": "no-cache" })).text, `${etag}en`);
  assert.equal(asked, 3);

  await run.ask("/asks", english);
  const validated = await run.ask("/asks", english);
  assert.equal(validated.status, 200);
  assert.equal(validated.text, '"1"en');
  assert.equal(validated.field("x-asked"), "5");
  assert.match(validated.field("cache-status"), /^edge-west; fwd=stale; fwd-status=304; ttl=0$/);
  const head = await run.ask("/asks", english, "HEAD");
  assert.deepEqual([head.status, head.text], [200, ""]);
  etag = '"2"';
  assert.equal((await run.ask("/asks", english)).text, '"2"en');
  await run.lose();
  assert.equal((await run.ask("/fresh", english)).text, '"1"en');
  assert.equal((await run.ask("/asks", english)).status, 503);
});

test("where the service says so an old answer is given at once, and asked for anew behind it, once at a time", async () => {
  let asked = 0;
  let answerSecond: (() => void) | null = null;
  await using run = await startService(true, (_request, response) => {
    const text = `answer ${++asked}`;
    response.setHeader("cache-control", "max-age=0, stale-while-revalidate=60");
    response.setHeader("content-length", text.length);
    if (asked === 2) answerSecond = () => response.end(text);
    else response.end(text);
  });
  assert.equal((await run.ask("/")).text, "answer 1");
  for (let n = 0; n < 3; n++) assert.equal((await run.ask("/")).text, "answer 1");
  await until(() => answerSecond !== null, "it is asked for anew");
  assert.equal(asked, 2);
  answerSecond!();
  await until(async () => (await run.ask("/")).text === "answer 2", "the new answer is given");
});

test("nothing of one person is used for another", async () => {
  let asked = 0;
  await using run = await startService(true, (request, response) => {
    asked++;
    const said = request.url === "/private" ? "private, max-age=60" : "max-age=60";
    response.setHeader("cache-control", said);
    if (request.url === "/cookie") response.setHeader("set-cookie", "session=1");
    response.setHeader("content-length", 1);
    response.end("x");
  });
  for (const path of ["/private", "/cookie", "/authorized"]) {
    const authorization = path === "/authorized" ? { authorization: "Bearer x" } : {};
    await run.ask(path, authorization);
    await run.ask(path, authorization);
    await run.ask(path);
  }
  assert.equal(asked, 9);
  await run.ask("/anonymous");
  await run.ask("/anonymous");
  assert.equal(asked, 10);
  await run.ask("/anonymous", { authorization: "Bearer x" });
  assert.equal(asked, 11);
  await run.ask("/anonymous");
  assert.equal(asked, 11);
});
