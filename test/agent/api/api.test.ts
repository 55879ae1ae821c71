/** The API over real sockets: who may, what is taken, what is said. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { get, type IncomingMessage } from "node:http";
import { type TestContext, test } from "node:test";
import { createApi } from "../../../src/agent/api/api.ts";
import type { ApiHandlers } from "../../../src/agent/api/handlers.ts";
import { openApi, routes } from "../../../src/agent/api/routes.ts";
import { fakeHandlers, statusView } from "./fake-handlers.ts";

const token = "secret-token";

async function scene(t: TestContext, more: Partial<ApiHandlers> = {}) {
  const handlers = fakeHandlers(more);
  const said: string[] = [];
  const api = createApi({ handlers, token, logger: (text) => said.push(text) });
  const { port } = await api.listen({ host: "127.0.0.1", port: 0 });
  t.after(() => api.close());
  const call = async (
    method: string,
    path: string,
    given: { body?: unknown; headers?: object; bare?: true } = {},
  ) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      headers: { ...(given.bare ? {} : { authorization: `Bearer ${token}` }), ...given.headers },
      ...(given.body === undefined
        ? {}
        : { body: typeof given.body === "string" ? given.body : JSON.stringify(given.body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.includes("json") ?? false;
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: isJson ? JSON.parse(text) : null,
    };
  };
  return { api, handlers, port, call, said };
}

const switchover = { kind: "switchover", dataStore: "orders-db", toRegion: "eu-central", by: "ada" };

test("every guarded route refuses who has no token or a wrong one, and the others ask for none", async (t) => {
  const { call } = await scene(t);
  for (const route of Object.values(routes)) {
    const path = route.path.replace(":id", "i1");
    const method = route.method.toUpperCase();
    for (const headers of [{}, { authorization: "Bearer wrong" }, { authorization: token }]) {
      if (!route.guarded) continue;
      const { status, json } = await call(method, path, { bare: true, headers });
      assert.equal(status, 401, path);
      assert.equal(json.code, "HOLDFAST_REQUEST_UNAUTHENTICATED");
    }
    if (!route.guarded) assert.equal((await call(method, path, { bare: true })).status, 200, path);
  }
});

test("health, figures, status and incidents say what the handlers say", async (t) => {
  const { call } = await scene(t, { ready: () => ({ ready: false, because: "no store was seen yet" }) });
  assert.equal((await call("GET", "/livez", { bare: true })).status, 200);
  const ready = await call("GET", "/readyz", { bare: true });
  assert.deepEqual([ready.status, ready.json.detail], [503, "no store was seen yet"]);
  assert.match((await call("GET", "/metrics", { bare: true })).text, /^holdfast_epoch 7$/m);
  assert.deepEqual((await call("GET", "/v1/status")).json, statusView);
  assert.equal((await call("GET", "/v1/incidents")).json.length, 1);
  assert.deepEqual((await call("GET", "/v1/incidents/i1")).json, { id: "i1" });
  assert.equal((await call("GET", "/v1/incidents/i2")).status, 404);
  assert.equal((await call("GET", "/v1/nothing")).json.code, "HOLDFAST_REQUEST_UNKNOWN");
});

test("the same Idempotency-Key is done once, and for another request it is refused", async (t) => {
  const { call, handlers } = await scene(t);
  const headers = { "idempotency-key": "ada-1" };
  const first = await call("POST", "/v1/requests", { body: switchover, headers });
  assert.equal(first.status, 202);
  const again = await call("POST", "/v1/requests", { body: switchover, headers });
  assert.equal(again.status, 200);
  assert.equal(again.json.id, first.json.id);
  assert.equal(handlers.records.size, 1);
  const other = await call("POST", "/v1/requests", {
    body: { ...switchover, toRegion: "eu-north" },
    headers,
  });
  assert.equal(other.status, 422);
  assert.deepEqual((await call("GET", first.headers.get("location") ?? "")).json, first.json);
  await call("POST", "/v1/requests", { body: switchover });
  await call("POST", "/v1/requests", { body: switchover });
  assert.equal(handlers.records.size, 3);
});

test("what is not a request is told by name, and what is refused says why", async (t) => {
  const { call } = await scene(t);
  const check = async (body: unknown, status: number, detail: RegExp) => {
    const { status: got, headers, json } = await call("POST", "/v1/requests", { body });
    assert.equal(got, status, JSON.stringify(json));
    assert.match(headers.get("content-type") ?? "", /^application\/problem\+json/);
    assert.match(json.detail, detail);
    assert.equal(json.type, `urn:holdfast:problem:${json.code}`);
  };
  await check("{", 422, /not JSON/);
  await check({ ...switchover, kind: "explode" }, 422, /^kind: /);
  await check({ ...switchover, by: undefined }, 422, /^by: /);
  await check({ ...switchover, toRegion: "../etc" }, 422, /^toRegion: small letters/);
  await check({ ...switchover, force: true }, 422, /force/);
  await check({ ...switchover, dataStore: null }, 422, /names its data store/);
  await check({ kind: "allow-data-loss", dataStore: "orders-db", by: "ada" }, 422, /why: .*ifEpoch: /);
  await check({ ...switchover, ifEpoch: 99 }, 409, /the epoch is 7, not 99/);
  await check({ ...switchover, why: "x".repeat(20_000) }, 413, /at most 16384 bytes/);
});

test("a handler that fails is a problem and a line in the log", async (t) => {
  const fail = (): never => {
    throw new Error("no view yet");
  };
  const { call, said } = await scene(t, { status: fail });
  const { status, json } = await call("GET", "/v1/status");
  assert.deepEqual([status, json.code], [500, "HOLDFAST_REQUEST_FAILED"]);
  assert.deepEqual(said, ["an API handler failed"]);
});

function listen(port: number): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}` };
    get({ host: "127.0.0.1", port, path: "/v1/events", headers, agent: false }, resolve).once(
      "error",
      reject,
    );
  });
}

async function until(holds: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 3000;
  while (!holds()) {
    assert.ok(performance.now() < end, what);
    await new Promise((wake) => setTimeout(wake, 2));
  }
}

test("a listener hears events, its leaving is noticed, and it does not keep the API from closing", async (t) => {
  const { port, handlers, api } = await scene(t);
  const one = await listen(port);
  let heard = "";
  one.on("data", (chunk) => {
    heard += chunk;
  });
  await until(() => heard.includes(`event: status\ndata: {"epoch":7}\nid: 1\n\n`), "the event was heard");
  const two = await listen(port);
  two.resume();
  two.on("error", () => {});
  await until(() => handlers.listening === 2, "both listen");
  two.destroy();
  await until(() => handlers.listening === 1, "the second has left");
  // One that sits on an open connection and says nothing.
  const ended = new Promise((resolve) => one.once("close", resolve));
  const began = performance.now();
  await api.close();
  assert.ok(performance.now() - began < 1000);
  await ended;
  assert.equal(handlers.listening, 0);
});

test("an address that is taken is said to be", async (t) => {
  const { port } = await scene(t);
  const second = createApi({ handlers: fakeHandlers(), token, logger: () => {} });
  await assert.rejects(second.listen({ host: "127.0.0.1", port }), {
    code: "HOLDFAST_ADDRESS_UNUSABLE",
    message: `cannot listen on 127.0.0.1:${port}: somebody else listens there`,
  });
  await second.close();
});

test("OpenAPI describes each route that is served, and each route that it describes is served", async (t) => {
  const { call } = await scene(t);
  const described = openApi() as { paths: Record<string, Record<string, { responses: object }>> };
  const source = readFileSync(new URL("../../../src/agent/api/api.ts", import.meta.url), "utf8");
  const served = [...source.matchAll(/serve\("(\w+)"/g)].map((match) => match[1]).sort();
  assert.deepEqual(served, Object.keys(routes).sort());
  const inDocument = Object.entries(described.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method} ${path}`),
  );
  assert.deepEqual(
    inDocument.sort(),
    Object.values(routes)
      .map((route) => `${route.method} ${route.path.replace(":id", "{id}")}`)
      .sort(),
  );
  const over = await call("GET", "/v1/openapi.json", { bare: true });
  assert.deepEqual(over.json, JSON.parse(JSON.stringify(described)));
  assert.match(over.text, /"ifEpoch":\{[^}]*"minimum":0/);
});
