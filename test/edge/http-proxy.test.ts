/** What passes through the HTTP listener of an edge, and how it comes out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { edgeConfig, folder, startHere } from "./parts/edges.ts";
import { readAll, startOrigin } from "./parts/origins.ts";
import { service, signed, table, target } from "./parts/tables.ts";

test("a request reaches the service of the edge's own region and says where it was", async () => {
  using state = folder();
  await using west = await startOrigin((request, response) => {
    response.setHeader("x-epoch", "7");
    response.end(`west ${request.headers["x-forwarded-for"]} ${request.headers.traceparent}`);
  });
  await using central = await startOrigin((_request, response) => response.end("central"));
  await using edge = await startHere(edgeConfig(state.path));
  const route = service([target("central", central.port), target("west", west.port)]);
  assert.equal((await edge.apply(signed(table(3, { services: { orders: route } })))).kind, "applied");

  const answer = await fetch(`${edge.http}/orders/1`, {
    headers: { "x-request-id": "request-0001", traceparent: "00-1-2-01" },
  });
  assert.equal(await answer.text(), "west 127.0.0.1 00-1-2-01");
  assert.equal(answer.headers.get("x-epoch"), "7");
  assert.equal(answer.headers.get("x-holdfast-region"), "west");
  assert.equal(answer.headers.get("x-holdfast-edge"), "edge-west");
  assert.equal(answer.headers.get("x-holdfast-generation"), "3");
  assert.equal(answer.headers.get("x-request-id"), "request-0001");
  assert.equal(answer.headers.get("x-holdfast-tries"), "1");
  assert.equal(answer.headers.get("x-holdfast-held-ms"), "0");
});

test("an edge without a table refuses, and says that it is not ready", async () => {
  using state = folder();
  await using edge = await startHere(edgeConfig(state.path));
  const answer = await fetch(`${edge.http}/`);
  assert.equal(answer.status, 503);
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
  assert.equal(((await answer.json()) as { code: string }).code, "HOLDFAST_NO_TABLE");
  assert.equal((await fetch(`${edge.admin}/readyz`)).status, 503);
  assert.equal((await fetch(`${edge.http}/.holdfast/readyz`)).status, 503);
  assert.equal((await fetch(`${edge.http}/.holdfast/livez`)).status, 200);
});

test("bodies of every size arrive whole, small ones and streamed ones", async () => {
  using state = folder();
  await using west = await startOrigin(async (request, response) => {
    const text = await readAll(request);
    response.end(`${text.length}`);
  });
  await using edge = await startHere(edgeConfig(state.path));
  await edge.apply(signed(table(1, { services: { orders: service([target("west", west.port)]) } })));
  for (const size of [0, 1, 1024, 1024 * 1024, 1024 * 1024 + 1, 5_000_000]) {
    const answer = await fetch(edge.http, { method: "POST", body: "x".repeat(size) });
    assert.equal(await answer.text(), String(size));
  }
});

test("a connection that nobody takes is tried in the next region, whatever the method", async () => {
  using state = folder();
  await using central = await startOrigin((_request, response) => response.end("central"));
  await using edge = await startHere(edgeConfig(state.path));
  const route = service([target("west", 1), target("central", central.port)]);
  await edge.apply(signed(table(1, { services: { orders: route } })));
  const answer = await fetch(edge.http, { method: "POST", body: "no key" });
  assert.equal(await answer.text(), "central");
  assert.equal(answer.headers.get("x-holdfast-tries"), "2");
});

test("what clients say of others is believed of trusted networks only", async () => {
  await using west = await startOrigin(({ headers }, response) => {
    const said = ["for", "proto", "host"].map((name) => headers[`x-forwarded-${name}`]);
    response.end(JSON.stringify([...said, headers.forwarded]));
  });
  const headers = {
    "x-forwarded-for": "192.0.2.1",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "shop.example",
    forwarded: "for=192.0.2.1;proto=https",
  };
  const heard = async (trustedProxies: string[]): Promise<unknown> => {
    using own = folder();
    await using edge = await startHere(edgeConfig(own.path, { trustedProxies }));
    await edge.apply(signed(table(1, { services: { orders: service([target("west", west.port)]) } })));
    const { host } = new URL(edge.http);
    const text = await (await fetch(edge.http, { headers })).text();
    return JSON.parse(text.replaceAll(host, "edge"));
  };
  const ours = 'for=127.0.0.1;host="edge";proto=http';
  for (const trusted of [[], ["10.0.0.0/8", "::1"]])
    assert.deepEqual(await heard(trusted), ["127.0.0.1", "http", "edge", ours]);
  for (const trusted of [["127.0.0.1"], ["fd00::/8", "127.0.0.0/8"]])
    assert.deepEqual(await heard(trusted), [
      "192.0.2.1, 127.0.0.1",
      "https",
      "shop.example",
      `for=192.0.2.1;proto=https, ${ours}`,
    ]);
});

test("a trace is passed on as it is, and begun only where that is asked for", async () => {
  await using west = await startOrigin(({ headers }, response) => response.end(String(headers.traceparent)));
  const heard = async (traceparent: "pass" | "begin", headers: Record<string, string> = {}) => {
    using own = folder();
    await using edge = await startHere(edgeConfig(own.path, { traceparent }));
    await edge.apply(signed(table(1, { services: { orders: service([target("west", west.port)]) } })));
    return (await fetch(edge.http, { headers })).text();
  };
  const trace = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00" };
  for (const mode of ["pass", "begin"] as const) assert.equal(await heard(mode, trace), trace.traceparent);
  assert.equal(await heard("pass"), "undefined");
  const begun = [await heard("begin"), await heard("begin")];
  for (const each of begun) assert.match(each, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  assert.notEqual(begun[0], begun[1]);
});
