/** Old answers when nobody gives a new one, and only where nobody forbids it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { edgeConfig, folder, startHere } from "./parts/edges.ts";
import { startOrigin } from "./parts/origins.ts";
import { rules, service, signed, table, target } from "./parts/tables.ts";

const patient = { ...rules, holdMaxMs: 100, staleMaxMs: 60_000 };

test("with every region gone a kept answer is served, says its age and that it is old; others are errors", async () => {
  using state = folder();
  const west = await startOrigin((request, response) => {
    const isPrivate = request.url === "/private";
    response.setHeader("cache-control", isPrivate ? "private, max-age=60" : "max-age=0, stale-if-error=60");
    response.setHeader("vary", "accept-language");
    response.setHeader("content-length", 5);
    response.end("fresh");
  });
  await using edge = await startHere(edgeConfig(state.path));
  const route = service([target("west", west.port)], { rules: patient });
  await edge.apply(signed(table(1, { services: { orders: route } })));
  const ask = (path: string, language = "en", method = "GET") =>
    fetch(`${edge.http}${path}`, { method, headers: { "accept-language": language } });
  for (const path of ["/public", "/private"]) await (await ask(path)).text();
  await west[Symbol.asyncDispose]();

  const kept = await ask("/public");
  assert.equal(kept.status, 200);
  assert.equal(await kept.text(), "fresh");
  assert.match(kept.headers.get("cache-status") ?? "", /^edge-west; hit; ttl=-?\d+; detail="/);
  assert.ok(Number(kept.headers.get("age")) >= 0);
  assert.equal(kept.headers.get("x-holdfast-region"), "west");
  assert.equal((await ask("/public", "en", "HEAD")).status, 200);
  assert.equal((await ask("/private")).status, 503);
  assert.equal((await ask("/public", "fr")).status, 503);
  assert.equal((await ask("/never-asked")).status, 503);
  assert.equal((await ask("/public", "en", "PUT")).status, 503);
});

test("an error of the service is covered by what it said before, until it says otherwise", async () => {
  using state = folder();
  let status = 200;
  await using west = await startOrigin((_request, response) => {
    response.writeHead(status, { "cache-control": "max-age=60", "content-length": 3 });
    response.end(String(status));
  });
  await using edge = await startHere(edgeConfig(state.path));
  const route = service([target("west", west.port)], { rules: patient });
  await edge.apply(signed(table(1, { services: { orders: route } })));
  const ask = async () => (await fetch(edge.http)).text();
  assert.equal(await ask(), "200");
  status = 500;
  assert.equal(await ask(), "200");
  status = 404;
  // While the service answers it is asked: this is no cache.
  assert.equal(await ask(), "404");
  status = 500;
  assert.equal(await ask(), "404");
});

test("a service in mode static serves what is kept, and nothing else", async () => {
  using state = folder();
  let asked = 0;
  await using west = await startOrigin((_request, response) => {
    asked++;
    response.writeHead(200, { "cache-control": "max-age=60", "content-length": 2 }).end("ok");
  });
  await using edge = await startHere(edgeConfig(state.path));
  const targets = [target("west", west.port)];
  await edge.apply(signed(table(1, { services: { orders: service(targets, { rules: patient }) } })));
  await (await fetch(`${edge.http}/a`)).text();
  const isStatic = service(targets, { rules: patient, mode: "static" });
  await edge.apply(signed(table(2, { services: { orders: isStatic } })));
  assert.equal(await (await fetch(`${edge.http}/a`)).text(), "ok");
  assert.equal((await fetch(`${edge.http}/b`)).status, 503);
  assert.equal(asked, 1);
});
