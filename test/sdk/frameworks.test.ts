/** Keys under each framework, with real requests and a real PostgreSQL: one effect, one answer. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import pg from "pg";
import { createIdempotency, idempotencyMigration } from "../../src/sdk/sdk.ts";
import { startPostgres, type TestPostgres } from "../examples/postgres.ts";
import { frameworks, type TestService } from "./parts/services.ts";

let postgres: TestPostgres;
let pool: pg.Pool;

before(async () => {
  postgres = await startPostgres();
  await postgres.sql(idempotencyMigration());
  await postgres.sql(idempotencyMigration());
  await postgres.sql(
    "CREATE TABLE things (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL)",
  );
  pool = new pg.Pool({ connectionString: postgres.url, max: 4 });
  pool.on("error", () => {});
});

/** On a busy machine nothing may come too late. */
const patient = {
  connect: () => pool.connect(),
  waitMs: 60_000,
  statementWithinMs: 60_000,
  commitWithinMs: 60_000,
};

after(async () => {
  await pool?.end();
  await postgres?.[Symbol.asyncDispose]();
});

/** Every byte, and the one that ends a text in C first. */
const bytes = Buffer.from(Array.from({ length: 512 }, (_, index) => index % 256));

async function insert(session: pg.PoolClient, text: string) {
  const { name, how } = JSON.parse(text) as { name: string; how?: string };
  const { rows } = await session.query<{ id: string }>("INSERT INTO things (name) VALUES ($1) RETURNING id", [
    name,
  ]);
  const id = rows[0]?.id as string;
  if (how === "throw") throw new Error("out of luck");
  if (how === "500") return { status: 500, body: { id } };
  if (how === "402") return { status: 402, body: { id } };
  if (how === "forget") return { status: 409, body: { id }, keep: false };
  if (how === "bytes")
    return { status: 200, headers: { "content-type": "application/octet-stream" }, body: bytes };
  if (how === "empty") return { status: 204 };
  return {
    status: 201,
    headers: { location: `/things/${id}`, "set-cookie": ["a=1", "b=2"], "x-thing": "yes" },
    body: { id },
  };
}

async function namesOf(name: string): Promise<number> {
  const [row] = await postgres.sql("SELECT count(*)::int AS rows FROM things WHERE name = $1", [name]);
  return Number(row?.rows);
}

function post(service: TestService, thing: unknown, headers: Record<string, string>, path = "/things") {
  return fetch(`${service.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(thing),
    signal: AbortSignal.timeout(120_000),
  });
}

for (const [framework, start] of Object.entries(frameworks)) {
  test(`${framework}: what comes under one key is done once, and answered alike`, async (t) => {
    const idempotency = createIdempotency(patient);
    const service = await start({ idempotency, work: insert });
    t.after(() => service.close());
    const name = randomUUID();
    const key = { "idempotency-key": `"${randomUUID()}"` };
    const first = await post(service, { name }, key);
    const second = await post(service, { name }, key);
    assert.equal(first.status, 201);
    assert.equal(second.status, 201);
    const told = (await first.json()) as { id: string };
    assert.deepEqual(await second.json(), told);
    for (const answer of [first, second]) {
      assert.equal(answer.headers.get("location"), `/things/${told.id}`);
      assert.deepEqual(answer.headers.getSetCookie(), ["a=1", "b=2"]);
      assert.match(answer.headers.get("content-type") ?? "", /^application\/json/);
    }
    assert.equal(first.headers.get("idempotency-replayed"), null);
    assert.equal(second.headers.get("idempotency-replayed"), "true");
    assert.equal(await namesOf(name), 1);
  });

  test(`${framework}: 200 repeats at once have one effect and one answer`, async (t) => {
    const idempotency = createIdempotency(patient);
    const service = await start({ idempotency, work: insert });
    t.after(() => service.close());
    const name = randomUUID();
    const key = { "idempotency-key": randomUUID() };
    const answers = await Promise.all(
      Array.from({ length: 200 }, async () => {
        const answer = await post(service, { name }, key);
        return `${answer.status} ${await answer.text()}`;
      }),
    );
    assert.equal(new Set(answers).size, 1, [...new Set(answers)].join("\n"));
    assert.match(answers[0] as string, /^201 /);
    assert.equal(await namesOf(name), 1);
  });

  test(`${framework}: another request under the same key is refused, and another account's is its own`, async (t) => {
    const idempotency = createIdempotency(patient);
    const service = await start({ idempotency, work: insert });
    t.after(() => service.close());
    const [name, other] = [randomUUID(), randomUUID()];
    const key = { "idempotency-key": randomUUID() };
    assert.equal((await post(service, { name }, { ...key, "x-account": "ann" })).status, 201);
    for (const [thing, path] of [
      [{ name: other }, "/things"],
      [{ name }, "/things?other=path"],
    ] as const) {
      const refused = await post(service, thing, { ...key, "x-account": "ann" }, path);
      assert.equal(refused.status, 422);
      assert.equal(refused.headers.get("content-type"), "application/problem+json");
      const problem = (await refused.json()) as { status: number; code: string };
      assert.deepEqual([problem.status, problem.code], [422, "HOLDFAST_IDEMPOTENCY_KEY_REUSED"]);
    }
    assert.equal(await namesOf(other), 0);
    assert.equal((await post(service, { name: other }, { ...key, "x-account": "bob" })).status, 201);
    assert.deepEqual([await namesOf(name), await namesOf(other)], [1, 1]);
  });

  test(`${framework}: a missing or unreadable key is refused before anything is done`, async (t) => {
    const idempotency = createIdempotency(patient);
    const service = await start({ idempotency, work: insert });
    t.after(() => service.close());
    const name = randomUUID();
    for (const headers of [
      {},
      { "idempotency-key": "two words" },
      { "idempotency-key": '"' },
      { "idempotency-key": '""' },
      { "idempotency-key": "a, b" },
      { "idempotency-key": "x".repeat(256) },
    ]) {
      const refused = await post(service, { name }, headers as Record<string, string>);
      assert.equal(refused.status, 400, JSON.stringify(headers));
      assert.equal(refused.headers.get("content-type"), "application/problem+json");
    }
    assert.equal(await namesOf(name), 0);
  });

  test(`${framework}: bytes of all kinds are kept as they were`, async (t) => {
    const idempotency = createIdempotency(patient);
    const service = await start({ idempotency, work: insert });
    t.after(() => service.close());
    const key = { "idempotency-key": randomUUID() };
    for (const _ of ["done", "remembered"]) {
      const answer = await post(service, { name: "bytes", how: "bytes" }, key);
      assert.equal(answer.headers.get("content-type"), "application/octet-stream");
      assert.deepEqual(Buffer.from(await answer.arrayBuffer()), bytes);
    }
    const empty = { "idempotency-key": randomUUID() };
    for (const _ of ["done", "remembered"]) {
      const answer = await post(service, { name: "empty", how: "empty" }, empty);
      assert.deepEqual([answer.status, await answer.text()], [204, ""]);
    }
  });

  test(`${framework}: work that fails leaves no row, no key and no session behind`, async (t) => {
    const idempotency = createIdempotency(patient);
    const service = await start({ idempotency, work: insert });
    t.after(() => service.close());
    for (const [how, status] of [
      ["throw", 500],
      ["500", 500],
      ["forget", 409],
    ] as const) {
      const name = randomUUID();
      const key = randomUUID();
      for (const _ of ["first", "again", "and again", "more often than there are sessions", "once more"])
        assert.equal((await post(service, { name, how }, { "idempotency-key": key })).status, status);
      assert.equal(await namesOf(name), 0);
      const kept = await postgres.sql("SELECT 1 FROM idempotency_keys WHERE key = $1", [key]);
      assert.equal(kept.length, 0);
      // The key is still free, for whatever is sent under it next.
      assert.equal((await post(service, { name }, { "idempotency-key": key })).status, 201);
    }
  });
}

test("a refusal by the work itself is an answer, and kept", async (t) => {
  const idempotency = createIdempotency(patient);
  const service = await frameworks["node:http"]({ idempotency, work: insert });
  t.after(() => service.close());
  const name = randomUUID();
  const key = { "idempotency-key": randomUUID() };
  const first = await post(service, { name, how: "402" }, key);
  const second = await post(service, { name, how: "402" }, key);
  assert.deepEqual([first.status, second.status], [402, 402]);
  assert.equal(await second.text(), await first.text());
  assert.equal(await namesOf(name), 1);
});

test("where no key is required, what comes without one is done each time", async (t) => {
  const idempotency = createIdempotency(patient);
  const service = await frameworks.Hono({ idempotency, work: insert, required: false });
  t.after(() => service.close());
  const name = randomUUID();
  assert.equal((await post(service, { name }, {})).status, 201);
  assert.equal((await post(service, { name }, {})).status, 201);
  assert.equal((await post(service, { name, how: "throw" }, {})).status, 500);
  assert.equal(await namesOf(name), 2);
});

test("a body beyond the limit is refused by whoever reads it, and a session is not even asked for", async (t) => {
  const connect = () => Promise.reject(new Error("not to be asked"));
  const idempotency = createIdempotency<pg.PoolClient>({ connect, requestMaxBytes: 1_000 });
  for (const start of [frameworks["node:http"], frameworks["Express without a parser"], frameworks.Hono]) {
    const service = await start({ idempotency, work: insert });
    t.after(() => service.close());
    const refused = await post(service, { name: "x".repeat(2_000) }, { "idempotency-key": "large" });
    assert.equal(refused.status, 413);
  }
});
