/** What the edge told, wherever it is asked for: under each framework, through our own edge, and on to other services. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import {
  createIdempotency,
  onRequestContext,
  type RequestContext,
  requestContext,
  runInContext,
  tracedFetch,
  traceHeaders,
} from "../../src/sdk/sdk.ts";
import { frameworks } from "./parts/services.ts";

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const fields = {
  "x-request-id": "request-17",
  "x-holdfast-region": "eu-west",
  "x-holdfast-edge": "edge-eu-west",
  "x-holdfast-generation": "12",
  "x-holdfast-epoch": "7",
  "x-holdfast-mode": "ro",
  "x-holdfast-level": "2",
  "x-holdfast-flags": "lite=?1, recommendations=?0, search",
  traceparent,
  tracestate: "vendor=a, other=b",
};
const told: RequestContext = {
  requestId: "request-17",
  region: "eu-west",
  edge: "edge-eu-west",
  generation: 12,
  epoch: 7,
  mode: "ro",
  level: 2,
  flags: { lite: true, recommendations: false, search: true },
  trace: { traceparent, tracestate: "vendor=a,other=b" },
};
const untold: RequestContext = {
  requestId: null,
  region: null,
  edge: null,
  generation: null,
  epoch: null,
  mode: null,
  level: null,
  flags: null,
  trace: null,
};

const idempotency = createIdempotency<pg.PoolClient>({ connect: () => Promise.reject(new Error("none")) });
const parts = { idempotency, work: async () => ({ status: 200 }) };

for (const [framework, start] of Object.entries(frameworks))
  test(`${framework}: a handler knows the context of its own request, also behind a parsed body`, async (t) => {
    const service = await start(parts);
    t.after(() => service.close());
    const ask = async (headers: Record<string, string>, method: string) => {
      const body = method === "POST" ? { body: JSON.stringify({ some: "body" }) } : {};
      const type = { "content-type": "application/json", ...headers };
      const answer = await fetch(`${service.url}/context`, { method, headers: type, ...body });
      return (await answer.json()) as RequestContext;
    };
    const asked = Array.from({ length: 40 }, async (_, index) => {
      const level = String(index % 5);
      const method = index % 2 === 0 ? "POST" : "GET";
      const context = await ask({ ...fields, "x-holdfast-level": level }, method);
      assert.deepEqual(context, { ...told, level: index % 5 });
    });
    await Promise.all(asked);
    assert.deepEqual(await ask({}, "GET"), untold);
  });

test("outside of a request there is no context, and inside it is kept over waits", async () => {
  assert.equal(requestContext(), null);
  await runInContext(fields, async () => {
    await sleep(1);
    assert.deepEqual(requestContext(), told);
  });
  assert.deepEqual(
    runInContext(new Headers(fields), () => requestContext()),
    told,
  );
  assert.equal(requestContext(), null);
});

test("what is no number, no mode and no trace is not made one", () => {
  const odd = {
    "x-holdfast-generation": "1e3",
    "x-holdfast-epoch": "-1",
    "x-holdfast-mode": "rwx",
    "x-holdfast-level": "9999999999999999",
    traceparent: "00-0-0-0",
    tracestate: "a=b",
  };
  assert.deepEqual(
    runInContext(odd, () => requestContext()),
    untold,
  );
});

test("listeners hear each request until they stop", () => {
  const heard: (number | null)[] = [];
  const stop = onRequestContext(({ level }) => heard.push(level));
  runInContext(fields, () => undefined);
  stop();
  runInContext(fields, () => undefined);
  assert.deepEqual(heard, [2]);
});

test("traces are passed on only if they are sound, as the W3C says", () => {
  const id = "4bf92f3577b34da6a3ce929d0e0e4736";
  const span = "00f067aa0ba902b7";
  const rows: readonly [string, string | null][] = [
    [`00-${id}-${span}-01`, `00-${id}-${span}-01`],
    [`00-${id}-${span}-ff`, `00-${id}-${span}-ff`],
    [`cc-${id}-${span}-03-later`, `00-${id}-${span}-01`],
    [`cc-${id}-${span}-02`, `00-${id}-${span}-00`],
    [`00-${id}-${span}-01-later`, null],
    [`ff-${id}-${span}-01`, null],
    [`00-${"0".repeat(32)}-${span}-01`, null],
    [`00-${id}-${"0".repeat(16)}-01`, null],
    [`00-${id.toUpperCase()}-${span}-01`, null],
    [`00-${id}-${span}`, null],
    ["", null],
  ];
  for (const [sent, passed] of rows) {
    const { traceparent: got = null } = runInContext({ traceparent: sent, tracestate: "a=1" }, traceHeaders);
    assert.equal(got, passed, sent);
  }
  const states: readonly [string, string | undefined][] = [
    ["a=1,b=2", "a=1,b=2"],
    [" a=1 ,, b=2 ", "a=1,b=2"],
    ["tenant@vendor=x y", "tenant@vendor=x y"],
    ["A=1", undefined],
    ["a", undefined],
    ["a=1=2", undefined],
    ["", undefined],
    [Array.from({ length: 33 }, (_, n) => `a${n}=1`).join(","), undefined],
    [`a=${"x".repeat(255)},b=${"x".repeat(255)}`, undefined],
  ];
  for (const [sent, passed] of states)
    assert.equal(runInContext({ traceparent, tracestate: sent }, traceHeaders).tracestate, passed, sent);
  assert.deepEqual(traceHeaders(), {});
});

test("tracedFetch passes the trace on, and never over what the caller set", async (t) => {
  const seen: IncomingHttpHeaders[] = [];
  const server = createServer((request, response) => {
    seen.push(request.headers);
    response.end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const other = traceparent.replace("4bf9", "aaaa");
  await runInContext(fields, async () => {
    await tracedFetch(url);
    await tracedFetch(new Request(url, { headers: { "x-own": "1" } }), { method: "POST", body: "x" });
    await tracedFetch(url, { headers: { traceparent: other, "x-request-id": "mine-too" } });
  });
  await tracedFetch(url);
  const parts = seen.map((headers) => [headers.traceparent, headers.tracestate, headers["x-request-id"]]);
  assert.deepEqual(parts, [
    [traceparent, "vendor=a,other=b", "request-17"],
    [traceparent, "vendor=a,other=b", "request-17"],
    [other, undefined, "mine-too"],
    [undefined, undefined, undefined],
  ]);
  assert.equal(seen[1]?.["x-own"], "1");
});
