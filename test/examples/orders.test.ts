/** The orders service against a real PostgreSQL: what it says, and above all what it never says. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort, startPostgres, type TestPostgres } from "./postgres.ts";
import { startService, type TestService } from "./service.ts";

interface Receipt {
  readonly id: string;
  readonly epoch: number;
  readonly member: string;
  readonly region: string;
}

let postgres: TestPostgres;
let service: TestService;

before(async () => {
  postgres = await startPostgres();
  await postgres.beginEpoch(7, "pg-west");
  service = await startService({ REGION: "west", DATABASE_URL: postgres.url });
  await until("the tables are there", async () => (await service.get("/readyz")).status === 200);
});

after(async () => {
  await service?.[Symbol.asyncDispose]();
  await postgres?.[Symbol.asyncDispose]();
});

async function until(what: string, holds: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, `never: ${what}`);
    await sleep(20);
  }
}

const tea = { item: "tea", quantity: 2 };

test("an order is acknowledged by a member, in an epoch, and can be read", async () => {
  const response = await service.post(tea, { "idempotency-key": "first" });
  assert.equal(response.status, 201);
  const receipt = (await response.json()) as Receipt;
  assert.deepEqual([receipt.epoch, receipt.member, receipt.region], [7, "pg-west", "west"]);
  assert.equal(response.headers.get("x-acknowledged-by"), "pg-west@7");

  const read = await service.get(`/orders/${receipt.id}`);
  assert.equal(read.status, 200);
  const order = (await read.json()) as { item: string; quantity: number };
  assert.deepEqual([order.item, order.quantity], ["tea", 2]);
  const list = (await (await service.get("/orders?limit=100")).json()) as { orders: Receipt[] };
  assert.ok(list.orders.some(({ id }) => id === receipt.id));
});

test("the same key and order are answered again alike, and make no second row", async () => {
  const first = await service.post(tea, { "idempotency-key": "again" });
  const second = await service.post(tea, { "idempotency-key": "again" });
  assert.equal(second.status, 201);
  assert.equal(first.headers.get("idempotency-replayed"), null);
  assert.equal(second.headers.get("idempotency-replayed"), "true");
  assert.deepEqual(await second.json(), await first.json());
  assert.deepEqual(await rowsOf("again"), [1, 1]);
});

test("twenty repetitions at once make one row", async () => {
  const answers = await Promise.all(
    Array.from({ length: 20 }, async () => (await service.post(tea, { "idempotency-key": "burst" })).json()),
  );
  assert.equal(new Set(answers.map((answer) => (answer as Receipt).id)).size, 1);
  assert.deepEqual(await rowsOf("burst"), [1, 1]);
});

test("a replay waits for standbys too: it commits", async () => {
  await service.post(tea, { "idempotency-key": "writes" });
  await service.post(tea, { "idempotency-key": "writes" });
  const [row] = await postgres.sql("SELECT replays FROM order_keys WHERE key = 'writes'");
  assert.equal(row?.replays, 1);
});

test("a replay after a failover says who took the order and who confirms it now", async () => {
  await service.post(tea, { "idempotency-key": "across" });
  await postgres.beginEpoch(8, "pg-east");
  const replay = await service.post(tea, { "idempotency-key": "across" });
  assert.equal(((await replay.json()) as Receipt).member, "pg-west");
  assert.equal(replay.headers.get("x-acknowledged-by"), "pg-east@8");
});

test("the same key for another order is refused", async () => {
  await service.post(tea, { "idempotency-key": "other" });
  const response = await service.post({ ...tea, quantity: 3 }, { "idempotency-key": "other" });
  assert.equal(response.status, 422);
  assert.deepEqual(await rowsOf("other"), [1, 1]);
});

test("without a key two requests are two orders", async () => {
  const ids = await Promise.all(
    [1, 2].map(
      async () => ((await (await service.post({ item: "plain", quantity: 1 })).json()) as Receipt).id,
    ),
  );
  assert.equal(new Set(ids).size, 2);
});

test("what is not an order, not a key and not a resource is told so", async () => {
  const cases: readonly [body: unknown, headers: Record<string, string>][] = [
    [{ item: "", quantity: 1 }, {}],
    [{ item: "tea", quantity: 0 }, {}],
    [{ item: "tea", quantity: 1.5 }, {}],
    [{ item: "x".repeat(201), quantity: 1 }, {}],
    [{ item: "tea\u0000", quantity: 1 }, {}],
    [{ item: "tea", quantity: "1" }, {}],
    ["x".repeat(20_000), {}],
    [null, {}],
    [tea, { "idempotency-key": "k".repeat(256) }],
  ];
  for (const [body, headers] of cases) assert.equal((await service.post(body, headers)).status, 400);
  assert.equal((await service.get("/orders/1%27%20OR%201=1")).status, 404);
  assert.equal((await service.get("/orders/00000000-0000-4000-8000-000000000000")).status, 404);
  assert.equal((await service.get("/orders?limit=1000")).status, 400);
  assert.equal((await service.get("/admin")).status, 404);
});

test("a cancelled wait for a standby is never a success, though PostgreSQL calls it one", async () => {
  await using patient = await startService({
    REGION: "patient",
    DATABASE_URL: postgres.url,
    QUERY_TIMEOUT_MS: "60000",
  });
  await waitForNobody("nobody");
  // The setting reaches the server's processes when it does: orders until one waits.
  let last: { key: string; answer: Promise<Response> };
  let waiting = false;
  for (let n = 0; ; n++) {
    let answered = false;
    const key = `cancelled-${n}`;
    const answer = patient.post(tea, { "idempotency-key": key }).finally(() => {
      answered = true;
    });
    last = { key, answer };
    await until("it waits or is answered", async () => {
      const rows = await postgres.sql(
        "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'orders@patient'",
      );
      waiting = rows.length > 0;
      return waiting || answered;
    });
    if (waiting) break;
    assert.ok(n < 1_000);
  }
  await postgres.sql(
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'orders@patient'",
  );
  const response = await last.answer;
  await waitForNobody(null);
  assert.equal(response.status, 503);
  assert.equal(response.headers.get("x-holdfast-retry"), "writer-changing");
  const { applied, because } = (await response.json()) as { applied: string; because: string };
  assert.equal(applied, "unknown");
  assert.match(because, /canceling wait for synchronous replication/);
  // PostgreSQL kept the row all the same; asking again under the key resolves it, once.
  await until(
    "resolved",
    async () => (await patient.post(tea, { "idempotency-key": last.key })).status === 201,
  );
  assert.deepEqual(await rowsOf(last.key), [1, 1]);
});

test("a frozen primary is answered for with 503 in time, and the repetition succeeds once it thaws", async () => {
  await waitForNobody("nobody");
  let n = 0;
  await until("frozen", async () => {
    const response = await service.post(tea, { "idempotency-key": `frozen-${++n}` });
    if (response.status === 201) return false;
    assert.equal(response.status, 503);
    assert.equal(((await response.json()) as { applied: string }).applied, "unknown");
    return true;
  });
  await waitForNobody(null);
  await until(
    "thawed",
    async () => (await service.post(tea, { "idempotency-key": `frozen-${n}` })).status === 201,
  );
  assert.deepEqual(await rowsOf(`frozen-${n}`), [1, 1]);
});

test("a standby refuses the write for sure: 503, not applied", async () => {
  await postgres.sql("ALTER DATABASE postgres SET default_transaction_read_only = on");
  // Sessions that are open keep what they have: new ones are wanted. Until the old are gone the answer is "unknown".
  await endSessions();
  await until("refused for sure", async () => {
    const response = await service.post(tea, { "idempotency-key": "read-only" });
    assert.equal(response.status, 503);
    const { applied } = (await response.json()) as { applied: string };
    assert.equal(
      response.headers.get("x-holdfast-retry"),
      applied === "no" ? "nothing-done" : "writer-changing",
    );
    return applied === "no";
  });
  // In a session that allows writing again, whatever the default of the database.
  await postgres.sql("BEGIN READ WRITE; ALTER DATABASE postgres RESET default_transaction_read_only; COMMIT");
  await endSessions();
  await until(
    "writable again",
    async () => (await service.post(tea, { "idempotency-key": "read-only" })).status === 201,
  );
  assert.deepEqual(await rowsOf("read-only"), [1, 1]);
});

test("kill -9 in the middle of load: no acknowledged order lost, no repeated one doubled, and no crash", async () => {
  const acknowledged = new Map<string, string>();
  const unanswered = new Set<string>();
  let stopping = false;
  let sent = 0;
  const client = async () => {
    while (!stopping) {
      const key = `storm-${sent++}`;
      const response = await service.post(tea, { "idempotency-key": key }).catch(() => null);
      if (response?.status === 201) acknowledged.set(key, ((await response.json()) as Receipt).id);
      else {
        unanswered.add(key);
        if (response !== null) {
          assert.equal(response.status, 503);
          assert.match(response.headers.get("x-holdfast-retry") ?? "", /^(writer-changing|nothing-done)$/);
          await response.body?.cancel();
        }
        await sleep(10);
      }
    }
  };
  const clients = Array.from({ length: 12 }, client);
  await until("load", async () => acknowledged.size > 200);
  await postgres.kill();
  const beforeRestart = acknowledged.size;
  await until("failures are seen", async () => unanswered.size > 12);
  assert.equal((await service.get("/healthz")).status, 200, "the process is well without its database");
  assert.equal((await service.get("/readyz")).status, 503);
  await postgres.start();
  await until("orders flow again", async () => acknowledged.size > beforeRestart + 100);
  stopping = true;
  await Promise.all(clients);

  for (const key of [...unanswered, ...acknowledged.keys()]) {
    const repeated = await service.post(tea, { "idempotency-key": key });
    assert.equal(repeated.status, 201);
    const { id } = (await repeated.json()) as Receipt;
    assert.equal(acknowledged.get(key) ?? id, id, `${key} was confirmed under another id`);
  }
  const [counts] = await postgres.sql(
    "SELECT count(*)::int AS rows, count(DISTINCT key)::int AS keys FROM orders WHERE key LIKE 'storm-%'",
  );
  assert.deepEqual(counts, { rows: sent, keys: sent });
});

test("a nearby standby that lacks an order, or is gone, hides nothing", async () => {
  await using other = await startPostgres();
  await other.beginEpoch(7, "pg-west");
  await using reader = await startService({
    REGION: "east",
    DATABASE_URL: postgres.url,
    DATABASE_URL_READ: other.url,
  });
  const { id } = (await (await service.post({ item: "far", quantity: 1 })).json()) as Receipt;
  const missed = await reader.get(`/orders/${id}`);
  assert.deepEqual([missed.status, missed.headers.get("x-read-from")], [200, "primary"]);
  await other.kill();
  const gone = await reader.get(`/orders/${id}`);
  assert.deepEqual([gone.status, gone.headers.get("x-read-from")], [200, "primary"]);
});

test("a nearby standby that hangs costs one wait, not one a read", async () => {
  await using other = await startPostgres();
  await other.beginEpoch(7, "pg-west");
  await using reader = await startService({
    REGION: "east",
    DATABASE_URL: postgres.url,
    DATABASE_URL_READ: other.url,
  });
  other.freeze();
  try {
    assert.equal((await reader.get("/orders?limit=1")).status, 200);
    const began = performance.now();
    for (let i = 0; i < 10; i++) assert.equal((await reader.get("/orders?limit=1")).status, 200);
    assert.ok(performance.now() - began < 2_500, "ten waits of 300 ms would take 3 s");
  } finally {
    other.thaw();
  }
});

test("without a database it starts, answers 503 to what needs one, and ends in order", async () => {
  await using lonely = await startService({
    DATABASE_URL: `postgres://nobody@127.0.0.1:${await freePort()}/none`,
  });
  assert.equal((await lonely.get("/healthz")).status, 200);
  const response = await lonely.post(tea, { "idempotency-key": "early" });
  assert.equal(response.status, 503);
  assert.equal(response.headers.get("x-holdfast-retry"), "nothing-done");
  assert.equal(((await response.json()) as { applied: string }).applied, "no");
  const began = performance.now();
  assert.equal(await lonely.stop(), 0);
  assert.ok(performance.now() - began < 6_000, "5 s at most, and then some for a busy machine");
});

/** Rows under a key in orders and in order_keys. */
async function rowsOf(key: string): Promise<readonly unknown[]> {
  const [row] = await postgres.sql(
    "SELECT (SELECT count(*)::int FROM orders WHERE key = $1) AS o, (SELECT count(*)::int FROM order_keys WHERE key = $1) AS k",
    [key],
  );
  return [row?.o, row?.k];
}

/** A standby that nobody is: from then on no commit is acknowledged. null: nobody is waited for. */
async function waitForNobody(standby: "nobody" | null): Promise<void> {
  await postgres.sql(
    standby === null
      ? "ALTER SYSTEM RESET synchronous_standby_names"
      : `ALTER SYSTEM SET synchronous_standby_names = '${standby}'`,
  );
  await postgres.sql("SELECT pg_reload_conf()");
}

async function endSessions(): Promise<void> {
  await postgres.sql(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'orders@%'",
  );
}
