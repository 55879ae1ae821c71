/** A service with the SDK behind our own edge: what it is told, and what its clients see of a failover. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import pg from "pg";
import { edgeFields } from "../../src/sdk/context.ts";
import {
  createIdempotency,
  idempotencyMigration,
  idempotentListener,
  type RequestContext,
  requestContext,
  runInContext,
} from "../../src/sdk/sdk.ts";
import { edgeConfig, folder, startHere } from "../edge/parts/edges.ts";
import { type Listener, startOrigin } from "../edge/parts/origins.ts";
import { rules, service, signed, table, target } from "../edge/parts/tables.ts";
import { startPostgres } from "../examples/postgres.ts";

async function startBehindEdge(listener: Listener, limits: Partial<typeof rules> = {}) {
  const state = folder();
  const origin = await startOrigin(listener);
  const edge = await startHere(edgeConfig(state.path));
  const route = service([target("west", origin.port)], { rules: { ...rules, ...limits } });
  assert.equal((await edge.apply(signed(table(3, { services: { things: route } })))).kind, "applied");
  return {
    url: edge.http,
    async [Symbol.asyncDispose]() {
      await edge[Symbol.asyncDispose]();
      await origin[Symbol.asyncDispose]();
      state[Symbol.dispose]();
    },
  };
}

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

test("a service is told by the edge, and by nobody who pretends to be one", async () => {
  const fields: string[] = [];
  await using behind = await startBehindEdge((request, response) =>
    runInContext(request.headers, () => {
      fields.push(...Object.keys(request.headers));
      response.end(JSON.stringify(requestContext()));
    }),
  );
  const pretended = Object.fromEntries(
    Object.values(edgeFields).map((name) => [name, name === "x-request-id" ? "request-0017" : "77"]),
  );
  const answer = await fetch(`${behind.url}/context`, {
    headers: { ...pretended, traceparent, "X-Holdfast-Mode": "static" },
  });
  const context = (await answer.json()) as RequestContext;
  assert.equal(context.requestId, "request-0017");
  assert.deepEqual(context.trace, { traceparent, tracestate: null });
  for (const told of [context.generation, context.epoch, context.level]) assert.notEqual(told, 77);
  assert.notEqual(context.region, "77");
  assert.equal(context.mode, "rw");
  assert.deepEqual([context.epoch, context.generation], [1, 3]);
  // Whatever edges come to say to services, the SDK reads it: a field that it does not know fails here.
  const known: readonly string[] = Object.values(edgeFields);
  const unknown = fields.filter((name) => name.startsWith("x-holdfast-") && !known.includes(name));
  assert.deepEqual(unknown, []);
});

test("PostgreSQL dies and returns: the client of the edge sees one late answer, and there is one row", async () => {
  await using postgres = await startPostgres();
  await postgres.sql(idempotencyMigration());
  await postgres.sql("CREATE TABLE things (name text NOT NULL)");
  const pool = new pg.Pool({ connectionString: postgres.url, max: 4, connectionTimeoutMillis: 300 });
  pool.on("error", () => {});
  pool.on("connect", (session) => session.on("error", () => {}));
  const things = idempotentListener(createIdempotency({ connect: () => pool.connect() }), {
    scopeOf: () => "",
    async work(session, { body }) {
      await session.query("INSERT INTO things VALUES ($1)", [String(body)]);
      return { status: 201, body: { name: String(body) } };
    },
  });
  try {
    await using behind = await startBehindEdge(
      (request, response) => (request.method === "POST" ? things(request, response) : response.end("well")),
      { holdMaxMs: 30_000, tryTimeoutMs: 5_000 },
    );
    const name = randomUUID();
    const post = (key: string) =>
      fetch(`${behind.url}/things`, { method: "POST", headers: { "idempotency-key": key }, body: name });
    const key = randomUUID();
    await postgres.kill();
    const asked = post(key);
    await postgres.start();
    const answer = await asked;
    assert.equal(answer.status, 201);
    const again = await post(key);
    assert.equal(again.headers.get("idempotency-replayed"), "true");
    assert.equal(await again.text(), await answer.text());
    const [row] = await postgres.sql("SELECT count(*)::int AS rows FROM things");
    assert.equal(row?.rows, 1);
  } finally {
    await pool.end();
  }
});
