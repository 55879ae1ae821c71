/** Keys when things die: services in mid-request, PostgreSQL, standbys, sessions; and several processes at once. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import {
  type Answer,
  createIdempotency,
  type IdempotencyOptions,
  idempotencyMigration,
  type Reply,
  type Work,
} from "../../src/sdk/sdk.ts";
import { startPostgres, type TestPostgres } from "../examples/postgres.ts";

let postgres: TestPostgres;
let pool: pg.Pool;

before(async () => {
  postgres = await startPostgres();
  await postgres.sql(idempotencyMigration());
  await postgres.sql(
    "CREATE TABLE things (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL)",
  );
  pool = openPool();
});

after(async () => {
  await pool?.end();
  await postgres?.[Symbol.asyncDispose]();
});

/** Whatever happened in a test, no session is lost to the pool, and none stands in a transaction. */
afterEach(async () => {
  await until("all sessions are given back", () => pool.idleCount === pool.totalCount);
  const open = await postgres.sql("SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'");
  assert.equal(open.length, 0);
});

function openPool(): pg.Pool {
  const opened = new pg.Pool({ connectionString: postgres.url, max: 4, connectionTimeoutMillis: 20_000 });
  opened.on("error", () => {});
  opened.on("connect", (session) => session.on("error", () => {}));
  return opened;
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, `never: ${what}`);
    await sleep(20);
  }
}

/** As one process of the service has it: two of these share no memory but PostgreSQL's. */
function aProcess(options: Partial<IdempotencyOptions<pg.PoolClient>> = {}) {
  // Long: on a busy machine nothing but what a test is about may come too late.
  const patient = { statementWithinMs: 20_000, commitWithinMs: 20_000 };
  const idempotency = createIdempotency({ connect: () => pool.connect(), ...patient, ...options });
  return {
    idempotency,
    ask: (key: string, name: string, work: Work<pg.PoolClient> = inserting(name)): Promise<Reply> =>
      idempotency.perform({ method: "POST", path: "/things", key, body: name, scope: "" }, work),
  };
}

function inserting(name: string, then: (session: pg.PoolClient) => unknown = () => undefined) {
  return async (session: pg.PoolClient): Promise<Answer> => {
    const { rows } = await session.query("INSERT INTO things (name) VALUES ($1) RETURNING id", [name]);
    await then(session);
    return { status: 201, body: { id: rows[0].id } };
  };
}

async function rowsOf(name: string): Promise<number> {
  const [row] = await postgres.sql("SELECT count(*)::int AS rows FROM things WHERE name = $1", [name]);
  return Number(row?.rows);
}

const fieldOf = (reply: Reply, name: string) => reply.headers.find(([one]) => one === name)?.[1] ?? null;
const codeOf = (reply: Reply) => (JSON.parse(reply.body.toString()) as { code?: string }).code;

async function startCrashing(dies: "before" | "after" | "never") {
  const file = new URL("./parts/crashing.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [file, dies], {
    env: { ...process.env, DATABASE_URL: postgres.url },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const [port] = (await once(createInterface(child.stdout), "line")) as [string];
  return {
    exited,
    end: async () => {
      child.kill("SIGKILL");
      await exited;
    },
    post: (key: string, name: string) =>
      fetch(`http://127.0.0.1:${port}/things`, {
        method: "POST",
        headers: { "idempotency-key": key },
        body: name,
        signal: AbortSignal.timeout(30_000),
      }),
  };
}

test("a service killed between commit and answer: the repeat elsewhere gets the answer that was never sent", async () => {
  const [key, name] = [randomUUID(), randomUUID()];
  const first = await startCrashing("after");
  await assert.rejects(first.post(key, name));
  assert.deepEqual((await first.exited)[1], "SIGKILL");
  assert.equal(await rowsOf(name), 1);

  const second = await startCrashing("never");
  try {
    const answers = [await second.post(key, name), await second.post(key, name)];
    for (const answer of answers) {
      assert.equal(answer.status, 201);
      assert.equal(answer.headers.get("idempotency-replayed"), "true");
    }
    const [told, again] = await Promise.all(answers.map((answer) => answer.text()));
    assert.equal(told, again);
    const [row] = await postgres.sql("SELECT id FROM things WHERE name = $1", [name]);
    assert.equal(JSON.parse(told as string).id, row?.id);
    assert.equal(await rowsOf(name), 1);
  } finally {
    await second.end();
  }
});

test("a service killed before its commit: nothing is done, and the repeat does it", async () => {
  const [key, name] = [randomUUID(), randomUUID()];
  const first = await startCrashing("before");
  await assert.rejects(first.post(key, name));
  await first.exited;
  assert.equal(await rowsOf(name), 0);
  const reply = await aProcess().ask(key, name);
  assert.deepEqual([reply.status, fieldOf(reply, "idempotency-replayed")], [201, null]);
  assert.equal(await rowsOf(name), 1);
});

test("repeats at several processes have one effect and one answer", async () => {
  const [key, name] = [randomUUID(), randomUUID()];
  const processes = Array.from({ length: 8 }, () => aProcess({ waitMs: 20_000 }));
  const replies = await Promise.all(
    Array.from({ length: 25 }, () => processes.map((one) => one.ask(key, name))).flat(),
  );
  const told = new Set(replies.map(({ status, body }) => `${status} ${body}`));
  assert.equal(told.size, 1, [...told].join("\n"));
  assert.equal(replies[0]?.status, 201);
  assert.equal(replies.filter((reply) => fieldOf(reply, "idempotency-replayed") === null).length, 1);
  assert.equal(await rowsOf(name), 1);
});

test("a failure that several repeats share is nobody's replay", async () => {
  const one = aProcess({ connect: () => Promise.reject(new Error("no session")) });
  const key = randomUUID();
  for (const reply of await Promise.all([1, 2, 3].map(() => one.ask(key, "x")))) {
    assert.deepEqual([reply.status, fieldOf(reply, "idempotency-replayed")], [503, null]);
    assert.equal(fieldOf(reply, "x-holdfast-retry"), "nothing-done");
  }
});

test("while the first is under way a repeat gets 409 and when to come back, here and elsewhere; later its answer", async () => {
  const [key, name] = [randomUUID(), randomUUID()];
  const go = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const [here, elsewhere] = [aProcess({ waitMs: 50 }), aProcess({ waitMs: 50 })];
  const first = here.ask(
    key,
    name,
    inserting(name, async () => {
      begun.resolve();
      await go.promise;
    }),
  );
  await begun.promise;
  for (const one of [here, elsewhere]) {
    const refused = await one.ask(key, name);
    assert.deepEqual([refused.status, fieldOf(refused, "retry-after")], [409, "1"]);
    assert.equal(codeOf(refused), "HOLDFAST_IDEMPOTENCY_IN_FLIGHT");
    assert.equal(fieldOf(refused, "content-type"), "application/problem+json");
  }
  // I3: two waited, and only the one at work has a session.
  assert.equal(pool.totalCount - pool.idleCount, 1);
  go.resolve();
  const told = await first;
  for (const one of [here, elsewhere]) assert.deepEqual((await one.ask(key, name)).body, told.body);
  assert.equal(await rowsOf(name), 1);
});

test("another request under a key that is in flight waits for what becomes of it", async () => {
  for (const isKept of [true, false]) {
    const [key, name, other] = [randomUUID(), randomUUID(), randomUUID()];
    const go = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const one = aProcess();
    const first = one.ask(
      key,
      name,
      inserting(name, async () => {
        begun.resolve();
        await go.promise;
        if (!isKept) throw new Error("out of luck");
      }),
    );
    await begun.promise;
    const second = one.ask(key, other);
    go.resolve();
    if (isKept) await first;
    else await assert.rejects(first, /out of luck/);
    assert.equal((await second).status, isKept ? 422 : 201);
    assert.deepEqual([await rowsOf(name), await rowsOf(other)], isKept ? [1, 0] : [0, 1]);
  }
});

test("a commit that waits for its standbys is unknown, is not told as in flight, and is confirmed when they are there", async () => {
  const [key, name] = [randomUUID(), randomUUID()];
  await postgres.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  await postgres.sql("SELECT pg_reload_conf()");
  try {
    await until("commits wait", async () => {
      const [row] = await postgres.sql("SHOW synchronous_standby_names");
      return row?.synchronous_standby_names === "nobody";
    });
    const [here, elsewhere] = [
      aProcess({ commitWithinMs: 200, waitMs: 100 }),
      aProcess({ commitWithinMs: 200, waitMs: 100 }),
    ];
    for (const one of [here, here, elsewhere]) {
      const reply = await one.ask(key, name);
      assert.deepEqual([reply.status, fieldOf(reply, "x-holdfast-retry")], [503, "writer-changing"]);
    }
  } finally {
    await postgres.sql("ALTER SYSTEM RESET synchronous_standby_names");
    await postgres.sql("SELECT pg_reload_conf()");
  }
  await until("the commit is through", async () => (await rowsOf(name)) === 1);
  const reply = await aProcess().ask(key, name);
  assert.deepEqual([reply.status, fieldOf(reply, "idempotency-replayed")], [201, "true"]);
  assert.equal(await rowsOf(name), 1);
});

test("a remembered answer is confirmed only by a commit of its own, which waits for standbys too", async () => {
  const [key, name] = [randomUUID(), randomUUID()];
  assert.equal((await aProcess().ask(key, name)).status, 201);
  await postgres.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  await postgres.sql("SELECT pg_reload_conf()");
  try {
    await until("commits wait", async () => {
      const [row] = await postgres.sql("SHOW synchronous_standby_names");
      return row?.synchronous_standby_names === "nobody";
    });
    const reply = await aProcess({ commitWithinMs: 200 }).ask(key, name);
    assert.deepEqual([reply.status, fieldOf(reply, "x-holdfast-retry")], [503, "writer-changing"]);
    // A wait that somebody cancels is a success to PostgreSQL, and a doubt to us.
    const doubted = aProcess({ commitWithinMs: 20_000 }).ask(key, name);
    await until("it waits", async () => {
      const cancelled = await postgres.sql(
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
      );
      return 0 < cancelled.length;
    });
    let ended = false;
    doubted.finally(() => (ended = true)).catch(() => undefined);
    await until("it ended", async () => {
      await postgres.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
      return ended;
    });
    assert.deepEqual(
      [(await doubted).status, fieldOf(await doubted, "x-holdfast-retry")],
      [503, "writer-changing"],
    );
  } finally {
    await postgres.sql("ALTER SYSTEM RESET synchronous_standby_names");
    await postgres.sql("SELECT pg_reload_conf()");
  }
  await until("commits are free", async () => (await aProcess().ask(key, name)).status === 201);
});

test("a session that dies in mid-work has done nothing, and says so", async () => {
  const [key, name] = [randomUUID(), randomUUID()];
  const dying = inserting(name, async (session) => {
    const { rows } = await session.query("SELECT pg_backend_pid() AS pid");
    await postgres.sql("SELECT pg_terminate_backend($1)", [rows[0].pid]);
    await session.query("SELECT 1");
  });
  const reply = await aProcess().ask(key, name, dying);
  assert.deepEqual([reply.status, fieldOf(reply, "x-holdfast-retry")], [503, "nothing-done"]);
  assert.equal((await aProcess().ask(key, name)).status, 201);
  assert.equal(await rowsOf(name), 1);
});

test("a PostgreSQL that is gone has done nothing; after it is back the key is still good", async () => {
  const [key, name, known] = [randomUUID(), randomUUID(), randomUUID()];
  const told = await aProcess().ask(known, known);
  await postgres.kill();
  const reply = await aProcess().ask(key, name);
  assert.deepEqual([reply.status, fieldOf(reply, "x-holdfast-retry")], [503, "nothing-done"]);
  assert.equal(fieldOf(reply, "retry-after"), "1");
  await postgres.start();
  await until("it serves again", async () => (await aProcess().ask(key, name)).status === 201);
  assert.deepEqual((await aProcess().ask(known, known)).body, told.body);
  assert.deepEqual([await rowsOf(name), await rowsOf(known)], [1, 1]);
});

test("a member that does not take writes is not worked on", async () => {
  const name = randomUUID();
  const readOnly = inserting(name, (session) => session.query("SELECT 1"));
  const reply = await aProcess().ask(randomUUID(), name, async (session) => {
    await session.query("SET TRANSACTION READ ONLY");
    return await readOnly(session);
  });
  assert.deepEqual([reply.status, fieldOf(reply, "x-holdfast-retry")], [503, "nothing-done"]);
});

test("work that takes too long is given up and rolled back, though it never ends", async () => {
  const [key, name] = [randomUUID(), randomUUID()];
  const reply = await aProcess({ workWithinMs: 100 }).ask(
    key,
    name,
    inserting(name, () => new Promise(() => undefined)),
  );
  assert.deepEqual([reply.status, codeOf(reply)], [503, "HOLDFAST_WORK_TOO_LONG"]);
  assert.equal((await aProcess().ask(key, name)).status, 201);
  assert.equal(await rowsOf(name), 1);
});

test("a service that is stopped in mid-work does not keep its key locked", async () => {
  const [key, name] = [randomUUID(), randomUUID()];
  // As a stopped process looks to PostgreSQL: a transaction that says nothing more, for 2 s beyond the work's own deadline.
  const ended = Promise.withResolvers<void>();
  const client = new pg.Client({ connectionString: postgres.url });
  client.on("error", () => ended.resolve());
  await client.connect();
  const session = Object.assign(client, { release: () => undefined }) as unknown as pg.PoolClient;
  const mute = createIdempotency({ connect: async () => session, workWithinMs: 10 });
  const call = { method: "POST", path: "/things", key, body: name, scope: "" };
  await mute.perform(
    call,
    inserting(name, () => new Promise(() => undefined)),
  );
  assert.equal((await aProcess({ waitMs: 0 }).ask(key, name)).status, 409);
  assert.equal((await aProcess({ waitMs: 20_000 }).ask(key, name)).status, 201);
  await ended.promise;
  assert.equal(await rowsOf(name), 1);
});

test("work that ends its transaction is a mistake that is told, not an answer", async () => {
  for (const text of ["COMMIT", "ROLLBACK"]) {
    const ending = inserting(randomUUID(), (session) => session.query(text));
    await assert.rejects(aProcess().ask(randomUUID(), "x", ending), /leave COMMIT and ROLLBACK to the SDK/);
  }
});

test("work that swallows an error of PostgreSQL is not committed", async () => {
  const name = randomUUID();
  const swallowing = inserting(name, (session) => session.query("SELECT 1/0").catch(() => undefined));
  await assert.rejects(aProcess().ask(randomUUID(), name, swallowing), /current transaction is aborted/);
  const unguarded = aProcess().idempotency.perform(
    { method: "POST", path: "/", key: null, body: "", scope: "", required: false },
    swallowing,
  );
  await assert.rejects(unguarded, /had failed before its COMMIT/);
  assert.equal(await rowsOf(name), 0);
});

test("the victim of a deadlock has done nothing, and may come again", async () => {
  const reply = await aProcess().ask(randomUUID(), "x", async (session) => {
    await session.query("DO $$ BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END $$");
    return { status: 200 };
  });
  assert.deepEqual([reply.status, codeOf(reply)], [503, "HOLDFAST_TRANSACTION_CONFLICT"]);
  assert.deepEqual([fieldOf(reply, "retry-after"), fieldOf(reply, "x-holdfast-retry")], ["1", null]);
});

test("a missing table says what to run", async () => {
  const asked = aProcess({ table: "nowhere_keys" }).ask(randomUUID(), "x");
  await assert.rejects(asked, /nowhere_keys is missing: run the SQL of idempotencyMigration/);
});

test("a role that owns no more than its tables can use keys", async (t) => {
  await postgres.sql("CREATE ROLE modest LOGIN");
  await postgres.sql("GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys, things TO modest");
  const modest = new pg.Pool({ connectionString: postgres.url.replace("holdfast@", "modest@"), max: 2 });
  t.after(() => modest.end());
  const [key, name] = [randomUUID(), randomUUID()];
  const one = aProcess({ connect: () => modest.connect() });
  assert.equal((await one.ask(key, name)).status, 201);
  assert.equal(fieldOf(await one.ask(key, name), "idempotency-replayed"), "true");
  assert.equal(await one.idempotency.sweep(), 0);
});

test("a key past its time is as new, and forgotten in bounded steps", async () => {
  const [key, name] = [randomUUID(), randomUUID()];
  const one = aProcess({ keepMs: 60_000 });
  await one.ask(key, name);
  await postgres.sql("UPDATE idempotency_keys SET expires_at = now() - interval '1 s' WHERE key = $1", [key]);
  const reply = await one.ask(key, name);
  assert.deepEqual([reply.status, fieldOf(reply, "idempotency-replayed")], [201, null]);
  assert.equal(await rowsOf(name), 2);
  assert.equal(fieldOf(await one.ask(key, name), "idempotency-replayed"), "true");

  await postgres.sql("UPDATE idempotency_keys SET expires_at = now() + interval '1 h'");
  await postgres.sql(
    `INSERT INTO idempotency_keys SELECT decode(md5(n::text), 'hex'), '', n::text, '', 200, '[]', '', now(), now() - interval '1 s'
       FROM generate_series(1, 2500) n`,
  );
  const [before] = await postgres.sql("SELECT count(*)::int AS rows FROM idempotency_keys");
  assert.equal(await one.idempotency.sweep(), 2500);
  const [after] = await postgres.sql("SELECT count(*)::int AS rows FROM idempotency_keys");
  assert.equal(Number(before?.rows) - Number(after?.rows), 2500);
});

test("settings out of range are refused at the start", () => {
  const connect = () => pool.connect();
  for (const wrong of [{ keepMs: 1 }, { keepMs: Infinity }, { waitMs: -1 }, { workWithinMs: Number.NaN }])
    assert.throws(() => createIdempotency({ connect, ...wrong }), RangeError);
  for (const table of ["a; DROP TABLE b", 'a"b', "A", "a.b.c", ""])
    assert.throws(() => createIdempotency({ connect, table }), RangeError);
});
