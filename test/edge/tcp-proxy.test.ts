/** A data store's TCP listener and the gates behind it: always the current writer, and nobody else. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EdgeGate } from "../../src/adapters/edge/edge-gate.ts";
import type { StoreRoute } from "../../src/core/model/routing.ts";
import { edgeConfig, folder, startHere, type TestEdge, until } from "./parts/edges.ts";
import { startOrigin } from "./parts/origins.ts";
import { clientOf, startPostgres } from "./parts/postgres.ts";
import { adminToken, service, signed, table, target } from "./parts/tables.ts";
import { startWireClient, startWireServer } from "./parts/wire-server.ts";

const anyPort = { host: "127.0.0.1", port: 0 };
const services = { orders: service([target("west", 1)], { dataStores: ["orders-db"] }) };

function storeAt(epoch: number, port: number | null): StoreRoute {
  const gate = { host: "127.0.0.1", port: port ?? 0 };
  return {
    epoch,
    writer: port === null ? null : { member: `pg-${port}`, region: "west", gate },
    changing: false,
  };
}

async function point(edge: TestEdge, generation: number, store: StoreRoute): Promise<void> {
  const next = table(generation, { epoch: store.epoch, services, stores: { "orders-db": store } });
  assert.equal((await edge.apply(signed(next))).kind, "applied");
}

function tcpConfig(stateDir: string, tcpHoldMaxMs = 5000) {
  return edgeConfig(stateDir, { tcp: { "orders-db": anyPort }, tcpHoldMaxMs });
}

const tcpPort = (edge: TestEdge): number => edge.tcp["orders-db"]!.port;

test("sessions go to the writer of the table, and end at once when another takes over", async () => {
  using state = folder();
  await using one = await startWireServer("one");
  await using two = await startWireServer("two");
  await using edge = await startHere(tcpConfig(state.path));
  await point(edge, 1, storeAt(1, one.port));
  using before = startWireClient(tcpPort(edge));
  await until(() => before.received().includes("one"), "the first writer answers");
  await point(edge, 2, storeAt(1, one.port));
  assert.equal(before.isClosed, false);

  await point(edge, 3, storeAt(2, two.port));
  await until(() => before.isClosed, "the session to the old writer ended");
  using after = startWireClient(tcpPort(edge));
  await until(() => after.received().includes("two"), "the new writer answers");
  assert.equal(one.sockets.size, 0);
});

test("a session ends when its writer is given a new epoch", async () => {
  using state = folder();
  await using one = await startWireServer("one");
  await using edge = await startHere(tcpConfig(state.path));
  await point(edge, 1, storeAt(1, one.port));
  using client = startWireClient(tcpPort(edge));
  await until(() => client.received().includes("one"), "the writer answers");
  await point(edge, 2, storeAt(2, one.port));
  await until(() => client.isClosed, "the session of the old epoch ended");
});

test("a client that finds no writer waits, and its first words reach the one that comes", async () => {
  using state = folder();
  await using one = await startWireServer("one");
  await using edge = await startHere(tcpConfig(state.path));
  await point(edge, 1, storeAt(1, null));
  using client = startWireClient(tcpPort(edge));
  await until(
    async () => ((await edge.state()).stores as { sessions: number }[])[0]?.sessions === 1,
    "it waits",
  );
  await point(edge, 2, storeAt(2, one.port));
  await until(() => client.received().includes("one"), "the new writer answers");
});

test("a client that waits for a writer in vain is ended in time", async () => {
  using state = folder();
  await using edge = await startHere(tcpConfig(state.path, 150));
  await point(edge, 1, storeAt(1, 1));
  using client = startWireClient(tcpPort(edge));
  await until(() => client.isClosed, "it is ended", 1500);
});

test("what a writer said before it ended reaches a client that reads late, to the last byte", async () => {
  using state = folder();
  await using one = await startWireServer("one");
  await using edge = await startHere(tcpConfig(state.path));
  await point(edge, 1, storeAt(1, one.port));
  using client = startWireClient(tcpPort(edge));
  await until(() => client.received().includes("one"), "the writer answers");
  const before = client.received().length;
  client.socket.pause();
  const words = Buffer.alloc(8 * 1024 * 1024, "w");
  for (const socket of one.sockets) socket.end(words);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(client.isClosed, false);
  client.socket.resume();
  await until(() => client.isClosed, "the end comes after all of it");
  assert.equal(client.received().length - before, words.length);
});

test("through edge and gate, real PostgreSQL serves, drains without an error, and is cut", async () => {
  using state = folder();
  await using postgres = await startPostgres();
  const gateAddress = { member: "pg-west", dataStore: "orders-db", listen: anyPort };
  const config = tcpConfig(state.path);
  await using edge = await startHere({
    ...config,
    gates: [{ ...gateAddress, target: { host: "127.0.0.1", port: postgres.port } }],
  });
  const url = new URL(edge.admin);
  const gate = new EdgeGate({ admin: { host: url.hostname, port: Number(url.port) }, token: adminToken });
  const order = (mode: "open" | "hold" | "closed", epoch: number) =>
    gate.order({
      member: "pg-west",
      epoch,
      mode,
      holdAt: Number.POSITIVE_INFINITY,
      cutAt: Number.POSITIVE_INFINITY,
    });
  const client = clientOf(tcpPort(edge));
  try {
    // The client comes before the gate is open: its connection waits and is tried again.
    await point(edge, 1, storeAt(1, edge.gates["pg-west"]!.port));
    const connected = client.connect();
    await order("open", 1);
    await connected;
    await client.query("create table t (n int)");
    await client.query("begin");
    await client.query("insert into t select generate_series(1, $1::int)", [20_000]);
    await client.query({ name: "prepared", text: "select count(*) from t where n > $1", values: [0] });

    await order("hold", 1);
    assert.equal(await gate.drain("pg-west", AbortSignal.timeout(50)), 1);
    // A large answer, an error, and the extended protocol, all inside the transaction that may finish.
    assert.equal((await client.query("select n from t")).rows.length, 20_000);
    await client.query("savepoint s");
    await assert.rejects(client.query("select no_such_column from t where n = $1", [1]));
    await client.query("rollback to s");
    const drained = gate.drain("pg-west", AbortSignal.timeout(3000));
    await client.query("commit");
    assert.equal(await drained, 0);

    const held = client.query("select count(*)::int as n from t");
    assert.equal(await gate.drain("pg-west", AbortSignal.timeout(100)), 0);
    await order("open", 1);
    assert.equal((await held).rows[0].n, 20_000);
    const cut = client.query("select pg_sleep(10)");
    await until(
      async () => ((await edge.state()).gates as { busy: number }[])[0]?.busy === 1,
      "it is under way",
    );
    await order("closed", 2);
    await assert.rejects(cut);
  } finally {
    await client.end().catch(() => undefined);
    await gate.close();
  }
});

test("an unsafe write waits while the writer has been seen failing, and goes when its gate answers", async () => {
  using state = folder();
  await using postgres = await startWireServer("one");
  let isFailing = true;
  const seen: string[] = [];
  await using west = await startOrigin((request, response) => {
    seen.push(request.method as string);
    if (isFailing) response.writeHead(503, { "x-holdfast-retry": "writer-changing" }).end();
    else response.end("ok");
  });
  const gateConfig = { member: "pg-west", dataStore: null, listen: anyPort };
  await using edge = await startHere({
    ...tcpConfig(state.path),
    gates: [{ ...gateConfig, target: { host: "127.0.0.1", port: postgres.port } }],
  });
  const orders = service([target("west", west.port)], { dataStores: ["orders-db"] });
  const stores = { "orders-db": storeAt(1, edge.gates["pg-west"]!.port) };
  await edge.apply(signed(table(1, { services: { orders }, stores })));
  const put = fetch(edge.http, { method: "PUT", body: "safe to repeat" });
  await until(async () => ((await edge.state()).writersFailing as string[]).length === 1, "it is noticed");
  const post = fetch(edge.http, { method: "POST", body: "not safe to repeat" });
  await until(async () => ((await edge.state()) as { held: number }).held === 2, "both are held");
  assert.ok(!seen.includes("POST"));
  isFailing = false;
  await edge.post("/v1/gate", { member: "pg-west", epoch: 1, mode: "open", holdAt: null, cutAt: null });
  assert.equal(await (await post).text(), "ok");
  assert.equal(await (await put).text(), "ok");
  assert.equal(seen.filter((method) => method === "POST").length, 1);
});

test("real sessions in the middle of transactions are drained again and again, with no error and no row too many", async () => {
  using state = folder();
  await using postgres = await startPostgres();
  const gateConfig = { member: "pg-west", dataStore: null, listen: anyPort };
  await using edge = await startHere(
    edgeConfig(state.path, {
      gates: [{ ...gateConfig, target: { host: "127.0.0.1", port: postgres.port } }],
    }),
  );
  const url = new URL(edge.admin);
  const gate = new EdgeGate({ admin: { host: url.hostname, port: Number(url.port) }, token: adminToken });
  const order = (mode: "open" | "hold") =>
    gate.order({
      member: "pg-west",
      epoch: 1,
      mode,
      holdAt: Number.POSITIVE_INFINITY,
      cutAt: Number.POSITIVE_INFINITY,
    });
  const port = edge.gates["pg-west"]!.port;
  const observer = clientOf(postgres.port);
  let committed = 0;
  let isOver = false;
  const write = async (): Promise<void> => {
    const client = clientOf(port);
    await client.connect();
    while (!isOver) {
      await client.query("begin");
      await client.query("insert into t values ($1)", [1]);
      await client.query("commit");
      committed++;
    }
    await client.end();
  };
  try {
    await observer.connect();
    await observer.query("create table t (n int)");
    await order("open");
    const writers = Promise.all(Array.from({ length: 10 }, write));
    for (let round = 0; round < 3; round++) {
      const before = committed;
      await until(() => committed > before + 100, "the sessions write");
      await order("hold");
      assert.equal(await gate.drain("pg-west", AbortSignal.timeout(5000)), 0);
      // Acknowledged is what is there: nothing is under way behind a drained gate.
      const rows = async () => (await observer.query("select count(*)::int as n from t")).rows[0].n as number;
      const count = await rows();
      await until(() => committed === count, "every commit is acknowledged");
      assert.equal(await rows(), count);
      await order("open");
    }
    isOver = true;
    await writers;
    assert.equal((await observer.query("select count(*)::int as n from t")).rows[0].n, committed);
  } finally {
    isOver = true;
    await observer.end().catch(() => undefined);
    await gate.close();
  }
});
