/** The gate beside a member: what reaches a client, and above all what must not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EdgeGate } from "../../src/adapters/edge/edge-gate.ts";
import { monotonicNow } from "../../src/edge/monotonic.ts";
import type { GateOrder } from "../../src/ports/router.ts";
import { edgeConfig, folder, startHere, startProcess, type TestEdge, until } from "./parts/edges.ts";
import { adminToken, service, signed, table, target } from "./parts/tables.ts";
import {
  done,
  query,
  ready,
  sslRequest,
  startup,
  startWireClient,
  startWireServer,
} from "./parts/wire-server.ts";

const NEVER = Number.POSITIVE_INFINITY;

function gateConfig(stateDir: string, port: number) {
  const listen = { host: "127.0.0.1", port: 0 };
  const gate = { member: "pg-west", dataStore: "orders-db", listen, target: { host: "127.0.0.1", port } };
  return edgeConfig(stateDir, { gates: [gate] });
}

function gateOf(edge: TestEdge): EdgeGate & AsyncDisposable {
  const url = new URL(edge.admin);
  const gate = new EdgeGate({ admin: { host: url.hostname, port: Number(url.port) }, token: adminToken });
  return Object.assign(gate, { [Symbol.asyncDispose]: () => gate.close() });
}

function order(mode: GateOrder["mode"], epoch: number, holdAt = NEVER, cutAt = NEVER): GateOrder {
  return { member: "pg-west", epoch, mode, holdAt, cutAt };
}

const portOf = (edge: TestEdge): number => edge.gates["pg-west"]!.port;

test("a gate that nobody has opened lets nobody in", async () => {
  using state = folder();
  await using postgres = await startWireServer();
  await using edge = await startHere(gateConfig(state.path, postgres.port));
  using client = startWireClient(portOf(edge));
  await until(() => client.isClosed, "the client is cut off");
  assert.equal(client.received(), "");
  assert.equal(postgres.sockets.size, 0);
});

test("an open gate refuses TLS, so that it can read, and passes everything else on", async () => {
  using state = folder();
  await using postgres = await startWireServer();
  await using edge = await startHere(gateConfig(state.path, postgres.port));
  await using gate = gateOf(edge);
  assert.equal(await gate.order(order("open", 3)), true);
  using client = startWireClient(portOf(edge), sslRequest);
  await until(() => client.received() === "N", "TLS is refused");
  client.socket.write(startup());
  await until(() => client.received().endsWith("I"), "the session is ready");
  client.socket.write(query("select 1"));
  await until(() => postgres.queries.length === 1, "the query arrived");
  postgres.queries[0]!.socket.write(Buffer.concat([done("SELECT 1"), ready("I")]));
  await until(() => client.received().includes("SELECT 1"), "the answer arrived");
});

test("stopped past its deadline and woken, a gate passes not one byte of an acknowledgement", async () => {
  using state = folder();
  await using postgres = await startWireServer();
  await using edge = await startProcess(gateConfig(state.path, postgres.port));
  await using gate = gateOf(edge);
  const now = monotonicNow();
  assert.equal(await gate.order(order("open", 1, now + 800, now + 1000)), true);
  using client = startWireClient(portOf(edge));
  await until(() => client.received().endsWith("I"), "the session is ready");
  const before = client.received();
  client.socket.write(query("commit"));
  await until(() => postgres.queries.length === 1, "the commit arrived");

  edge.child.kill("SIGSTOP");
  postgres.queries[0]!.socket.write(Buffer.concat([done("COMMIT"), ready("I")]));
  await until(() => monotonicNow() > now + 1100, "the deadline has passed");
  edge.child.kill("SIGCONT");

  await until(() => client.isClosed, "the client is cut off");
  assert.equal(client.received(), before);
  using late = startWireClient(portOf(edge));
  await until(() => late.isClosed, "nobody else is let in");
  assert.equal(late.received(), "");
});

test("stopped past holdAt but not cutAt, it keeps the acknowledgement, and passes it once it may again", async () => {
  using state = folder();
  await using postgres = await startWireServer();
  await using edge = await startProcess(gateConfig(state.path, postgres.port));
  await using gate = gateOf(edge);
  const now = monotonicNow();
  await gate.order(order("open", 1, now + 500, now + 20_000));
  using client = startWireClient(portOf(edge));
  await until(() => client.received().endsWith("I"), "the session is ready");
  const before = client.received();
  client.socket.write(query("commit"));
  await until(() => postgres.queries.length === 1, "the commit arrived");
  edge.child.kill("SIGSTOP");
  postgres.queries[0]!.socket.write(Buffer.concat([done("COMMIT"), ready("I")]));
  await until(() => monotonicNow() > now + 600, "holdAt has passed");
  edge.child.kill("SIGCONT");
  const answered = await edge.state();
  assert.equal((answered.gates as { verdict: string }[])[0]?.verdict, "hold");
  assert.equal(client.received(), before);

  await gate.order(order("open", 1));
  await until(() => client.received().includes("COMMIT"), "what was kept is passed");
  assert.equal(client.isClosed, false);
});

test("an order below the highest epoch seen is refused, a higher one ends the sessions of the lower", async () => {
  using state = folder();
  await using postgres = await startWireServer();
  await using edge = await startHere(gateConfig(state.path, postgres.port));
  await using gate = gateOf(edge);
  await gate.order(order("open", 4));
  using client = startWireClient(portOf(edge));
  await until(() => client.received().endsWith("I"), "the session is ready");
  assert.equal(await gate.order(order("open", 3)), false);
  assert.equal(client.isClosed, false);
  assert.equal(await gate.order(order("open", 5)), true);
  await until(() => client.isClosed, "the session of epoch 4 ended");
});

test("a routing table with a higher epoch closes the gate of the lower", async () => {
  using state = folder();
  await using postgres = await startWireServer();
  await using edge = await startHere(gateConfig(state.path, postgres.port));
  await using gate = gateOf(edge);
  await gate.order(order("open", 4));
  using client = startWireClient(portOf(edge));
  await until(() => client.received().endsWith("I"), "the session is ready");
  const stores = { "orders-db": { epoch: 5, writer: null, changing: false } };
  const services = { orders: service([target("west", 1)]) };
  assert.equal((await edge.apply(signed(table(1, { epoch: 5, services, stores })))).kind, "applied");
  await until(() => client.isClosed, "the session of epoch 4 ended");
  assert.equal(await gate.order(order("open", 4)), false);
});

test("a drain lets a transaction finish, holds what is idle, and counts what is left", async () => {
  using state = folder();
  await using postgres = await startWireServer();
  await using edge = await startHere(gateConfig(state.path, postgres.port));
  await using gate = gateOf(edge);
  await gate.order(order("open", 1));
  using busy = startWireClient(portOf(edge));
  using idle = startWireClient(portOf(edge));
  await until(() => busy.received().endsWith("I") && idle.received().endsWith("I"), "both are ready");
  busy.socket.write(query("begin"));
  await until(() => postgres.queries.length === 1, "begin arrived");
  const server = postgres.queries[0]!.socket;
  server.write(Buffer.concat([done("BEGIN"), ready("T")]));
  await until(() => busy.received().includes("BEGIN"), "the transaction is open");

  await gate.order(order("hold", 1));
  assert.equal(await gate.drain("pg-west", AbortSignal.timeout(50)), 1);
  idle.socket.write(query("insert"));
  busy.socket.write(query("commit"));
  await until(() => postgres.queries.length === 2, "the busy session goes on");
  assert.equal(postgres.queries[1]?.sql, "commit");
  // The holder renews its lease meanwhile, which repeats the order.
  await gate.order(order("hold", 1));
  const drained = gate.drain("pg-west", AbortSignal.timeout(5000));
  server.write(Buffer.concat([done("COMMIT"), ready("I")]));
  assert.equal(await drained, 0);
  await until(() => busy.received().includes("COMMIT"), "its commit is acknowledged");
  busy.socket.write(query("select 2"));
  assert.equal(await gate.drain("pg-west", AbortSignal.timeout(50)), 0);
  assert.equal(postgres.queries.length, 2);

  await gate.order(order("open", 1));
  await until(() => postgres.queries.length === 4, "what was kept is passed on");
  assert.deepEqual(
    postgres.queries
      .slice(2)
      .map(({ sql }) => sql)
      .sort(),
    ["insert", "select 2"],
  );
});

test("a drain does not outrank the clock", async () => {
  using state = folder();
  await using postgres = await startWireServer();
  await using edge = await startHere(gateConfig(state.path, postgres.port));
  await using gate = gateOf(edge);
  await gate.order(order("open", 1));
  using client = startWireClient(portOf(edge));
  await until(() => client.received().endsWith("I"), "the session is ready");
  client.socket.write(query("commit"));
  await until(() => postgres.queries.length === 1, "the commit arrived");
  await gate.order(order("hold", 1, monotonicNow(), NEVER));
  const before = client.received();
  const drained = gate.drain("pg-west", AbortSignal.timeout(150));
  postgres.queries[0]!.socket.write(Buffer.concat([done("COMMIT"), ready("I")]));
  assert.equal(await drained, 1);
  assert.equal(client.received(), before);
});

test("clients that a gate holds cost PostgreSQL no connection, until it is open", async () => {
  using state = folder();
  await using postgres = await startWireServer();
  await using edge = await startHere(gateConfig(state.path, postgres.port));
  await using gate = gateOf(edge);
  await gate.order(order("hold", 1));
  using asking = startWireClient(portOf(edge), sslRequest);
  using starting = startWireClient(portOf(edge));
  await until(
    async () => ((await edge.state()).gates as { sessions: number }[])[0]?.sessions === 2,
    "both wait",
  );
  assert.equal(postgres.sockets.size, 0);
  await gate.order(order("open", 1));
  await until(() => asking.received() === "N" && starting.received().endsWith("I"), "both go on");
});
