/** Prober, peers and the command line's client against real servers, also ones that misbehave. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { AgentClient } from "../../../src/adapters/http/agent-client.ts";
import { PeersClient } from "../../../src/adapters/http/peers-client.ts";
import { HttpProber } from "../../../src/adapters/http/prober.ts";
import { findFreePorts } from "../../../src/adapters/system/free-port.ts";
import { createApi } from "../../../src/agent/api/api.ts";
import { fakeHandlers, statusView } from "../../agent/api/fake-handlers.ts";

const host = "127.0.0.1";

async function serve(t: TestContext, listener: RequestListener) {
  const server = createHttpServer(listener);
  let connections = 0;
  server.on("connection", () => {
    connections += 1;
  });
  await new Promise<void>((done) => server.listen(0, host, done));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { port, base: `http://${host}:${port}`, connections: () => connections };
}

/** Takes connections and never says a word. */
async function silent(t: TestContext): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    socket.on("error", () => {});
    sockets.add(socket);
  });
  await new Promise<void>((done) => server.listen(0, host, done));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** Does not even take connections: a process that stands still, behind a queue that is full. */
async function unreachable(t: TestContext): Promise<number> {
  const listen = `require("node:net").createServer().listen({ port: 0, host: "${host}", backlog: 1 }, function () {
    console.log(this.address().port);
    process.kill(process.pid, "SIGSTOP");
  })`;
  const child = spawn(process.execPath, ["-e", listen], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  const [word] = (await once(child.stdout, "data")) as [Buffer];
  const port = Number(word);
  const sockets: Socket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (let isFull = false; !isFull; ) {
    const socket = connect(port, host).on("error", () => {});
    sockets.push(socket);
    isFull = await Promise.race([once(socket, "connect").then(() => false), sleep(300, true)]);
  }
  return port;
}

test("a deadline is kept, too, where not even a connection is made", { timeout: 30_000 }, async (t) => {
  const port = await unreachable(t);
  const prober = new HttpProber();
  const peers = new PeersClient({ agents: { west: { host, port } }, token: "t" });
  const client = new AgentClient({ address: { host, port }, token: "t", timeoutMs: 150 });
  t.after(() => Promise.all([prober.close(), peers.close(), client.close()]));
  const question = { from: "east", dataStore: "orders-db", epoch: 1, revision: 1 };
  const ways: Record<string, () => Promise<unknown>> = {
    probe: () => prober.http(`http://${host}:${port}/`, 150),
    peer: () => peers.ask("west", question, AbortSignal.timeout(150)).catch(() => null),
    command: () => client.status().catch(() => null),
  };
  for (const [name, ask] of Object.entries(ways)) {
    const began = performance.now();
    await ask();
    const tookMs = performance.now() - began;
    assert.ok(149 <= tookMs && tookMs < 1000, `${name}: ${tookMs} ms`);
  }
});

test("a probe is good exactly when the whole answer comes in time with 200 to 299, each on a new connection", async (t) => {
  const prober = new HttpProber();
  t.after(() => prober.close());
  const { base, connections } = await serve(t, (request, response) => {
    const status = Number(request.url?.slice(1));
    response.writeHead(status);
    if (status === 206)
      response.write("half"); // and never the rest
    else if (status === 205) response.socket?.destroy();
    else response.end("body");
  });
  for (const status of [200, 201, 299]) assert.equal((await prober.http(`${base}/${status}`, 2000)).ok, true);
  assert.equal(connections(), 3);
  const check = async (url: string, timeoutMs: number, problem: RegExp) => {
    const sample = await prober.http(url, timeoutMs);
    assert.equal(sample.ok, false);
    assert.match(sample.problem, problem);
    return sample;
  };
  await check(`${base}/503`, 2000, /status 503, expected 200 to 299/);
  await check(`${base}/302`, 2000, /status 302/);
  await check(`${base}/205`, 2000, /closed|reset/);
  const half = await check(`${base}/206`, 150, /no answer within 150 ms/);
  assert.ok(149 <= half.tookMs && half.tookMs < 2000, `${half.tookMs}`);
  const mute = await check(`http://${host}:${await silent(t)}/`, 150, /no answer within 150 ms/);
  assert.ok(mute.tookMs < 2000, `${mute.tookMs}`);
  const [free] = await findFreePorts(1);
  await check(`http://${host}:${free}/`, 2000, /nobody listens there/);
});

test("a journey does its steps in order, stops at the first that fails, and has one deadline for all", async (t) => {
  const prober = new HttpProber();
  t.after(() => prober.close());
  const seen: string[] = [];
  const { base } = await serve(t, (request, response) => {
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      seen.push(`${request.method} ${request.url} ${request.headers["idempotency-key"] ?? ""} ${body}`);
      setTimeout(() => response.writeHead(request.url === "/orders" ? 201 : 200).end(), 60);
    });
  });
  const order = {
    method: "POST",
    path: "/orders",
    headers: { "idempotency-key": "k" },
    body: "{}",
    expectStatus: 201,
  };
  const look = { method: "GET", path: "/orders/1", headers: {}, body: null, expectStatus: 200 };
  assert.equal((await prober.journey(base, [order, look], 2000)).ok, true);
  assert.deepEqual(seen, ["POST /orders k {}", "GET /orders/1  "]);
  const wrong = await prober.journey(base, [{ ...order, expectStatus: 200 }, look], 2000);
  assert.match(wrong.problem, /^step 1 of 2: POST .*\/orders: status 201, expected 200$/);
  assert.equal(seen.length, 3);
  const slow = await prober.journey(base, [look, look, look], 150);
  assert.match(slow.problem, /^step 3 of 3: .*no answer within 150 ms/);
});

test("a peer's promise arrives, and whatever is not one to the letter is an error", async (t) => {
  const handlers = fakeHandlers();
  const api = createApi({ handlers, token: "t0", logger: () => {} });
  const { port } = await api.listen({ host, port: 0 });
  t.after(() => api.close());
  const { port: odd } = await serve(t, (_request, response) => void response.end(`{"kind":"Promised"}`));
  const mute = await silent(t);
  const agents = { "eu-west": { host, port }, odd: { host, port: odd }, mute: { host, port: mute } };
  const peers = new PeersClient({ agents, token: "t0" });
  const stranger = new PeersClient({ agents, token: "t1" });
  t.after(async () => {
    await peers.close();
    await stranger.close();
  });
  const question = { from: "eu-north", dataStore: "orders-db", epoch: 7, revision: 3 };
  const soon = () => AbortSignal.timeout(150);
  assert.deepEqual(await peers.ask("eu-west", question, AbortSignal.timeout(2000)), { kind: "promised" });
  assert.deepEqual(await peers.ask("eu-west", { ...question, epoch: 8 }, AbortSignal.timeout(2000)), {
    kind: "refused",
    because: "I see the store",
  });
  assert.deepEqual(handlers.questions[0], question);
  await assert.rejects(stranger.ask("eu-west", question, AbortSignal.timeout(2000)), {
    code: "HOLDFAST_PEER_ANSWER",
  });
  await assert.rejects(peers.ask("odd", question, AbortSignal.timeout(2000)), {
    code: "HOLDFAST_PEER_ANSWER",
  });
  await assert.rejects(peers.ask("nowhere", question, soon()), { code: "HOLDFAST_PEER_UNREACHABLE" });
  const began = performance.now();
  await assert.rejects(peers.ask("mute", question, soon()), {
    code: "HOLDFAST_PEER_UNREACHABLE",
    message: /agent of mute at .*no answer in time; nothing was promised/,
  });
  assert.ok(performance.now() - began < 2000);
});

test("what is told goes over a connection that is kept, and who is not there is not waited for", async (t) => {
  const handlers = fakeHandlers();
  const api = createApi({ handlers, token: "t0", logger: () => {} });
  const { port } = await api.listen({ host, port: 0 });
  t.after(() => api.close());
  const [free] = await findFreePorts(1);
  const agents = { "eu-west": { host, port }, "eu-north": { host, port: free as number } };
  const peers = new PeersClient({ agents, token: "t0" });
  t.after(() => peers.close());
  const signal = AbortSignal.timeout(2000);
  await peers.keepNear(signal);
  const seal = { basis: 9, position: 110 };
  const report = { ...sealedReport, seal };
  await peers.tell("eu-west", { member: "pg-b", boot: "b-1", beat: 3, report }, signal);
  assert.deepEqual(handlers.notices, [{ member: "pg-b", boot: "b-1", beat: 3, report }]);
  await assert.rejects(peers.tell("eu-north", { member: "pg-b", boot: "b-1", beat: 3, report }, signal));
  // One that is no notice is refused, and nobody acts on it.
  await peers.tell("eu-west", { member: "pg-b", boot: "b-1", beat: -1, report }, signal);
  assert.equal(handlers.notices.length, 1);
});

const sealedReport = {
  state: "standby",
  incarnation: "b#1",
  timeline: 1,
  position: 110,
  epoch: 3,
  floor: 3,
  streaming: false,
} as const;

test("a problem of the agent becomes an error that says what was tried, what is known, and what to do", async (t) => {
  const api = createApi({ handlers: fakeHandlers(), token: "t0", logger: () => {} });
  const { port } = await api.listen({ host, port: 0 });
  const client = new AgentClient({ address: { host, port }, token: "t0", timeoutMs: 2000 });
  const [free] = await findFreePorts(1);
  const nobody = new AgentClient({ address: { host, port: free as number }, token: "t0" });
  const mute = new AgentClient({ address: { host, port: await silent(t) }, token: "t0", timeoutMs: 150 });
  const stranger = new AgentClient({ address: { host, port }, token: "t1" });
  t.after(async () => {
    await Promise.all([client, nobody, mute, stranger].map((each) => each.close()));
    await api.close();
  });
  assert.deepEqual(await client.status(), statusView);
  const body = {
    kind: "switchover",
    dataStore: "orders-db",
    toRegion: "eu-central",
    ifEpoch: 0,
    by: "ada",
    why: "",
  } as const;
  const record = await client.submit(body, "key-1");
  assert.deepEqual(await client.submit(body, "key-1"), record);
  assert.deepEqual(await client.request(record.id), record);
  assert.equal((await client.incidents()).length, 1);
  assert.deepEqual(await client.incident("i1"), { id: "i1" });
  await assert.rejects(client.submit({ ...body, ifEpoch: 99 }, "key-2"), {
    code: "HOLDFAST_REQUEST_CONFLICT",
    message: /^POST http.*: the epoch is 7, not 99\. Look at the status/,
  });
  await assert.rejects(client.incident("../x"), { code: "HOLDFAST_REQUEST_UNKNOWN" });
  await assert.rejects(stranger.status(), {
    code: "HOLDFAST_REQUEST_UNAUTHENTICATED",
    message: /token file/,
  });
  await assert.rejects(nobody.status(), {
    code: "HOLDFAST_AGENT_UNREACHABLE",
    message: /nobody listens there/,
  });
  await assert.rejects(mute.submit(body, "key-3"), {
    code: "HOLDFAST_AGENT_UNREACHABLE",
    message: /no answer within 150 ms; it may have been taken: ask with the same idempotency key/,
  });
});
