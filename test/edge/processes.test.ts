/** One edge of several processes: one to everybody outside, whichever of them ends. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { fileURLToPath } from "node:url";
import type { EdgeConfig } from "../../src/edge/config.ts";
import { freePort } from "../adapters/haproxy/place.ts";
import { makeCertificate } from "./parts/certificates.ts";
import { type EdgeProcess, edgeConfig, folder, startProcess, until } from "./parts/edges.ts";
import { startOrigin } from "./parts/origins.ts";
import type { RawClient } from "./parts/raw-client.ts";
import { rules, service, signed, table, target } from "./parts/tables.ts";
import { askForWebSocket, startEcho } from "./parts/websockets.ts";
import { startWireClient, startWireServer } from "./parts/wire-server.ts";

const main = fileURLToPath(new URL("../../src/edge/main.ts", import.meta.url));
const anyPort = { host: "127.0.0.1", port: 0 };

function start(state: string, more: Partial<EdgeConfig> = {}, errors: "inherit" | "pipe" = "inherit") {
  return startProcess(edgeConfig(state, { processes: 2, ...more }), errors);
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly generation: number;
  /** Which process it came through: ids that it makes begin alike. */
  readonly through: string;
}

/** On a connection of its own, so that the kernel chooses a process anew. */
function get(edge: EdgeProcess, path = "/", method = "GET"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(`${edge.http}${path}`, { method, agent: new Agent() }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("error", reject).on("end", () => {
        const { "x-holdfast-generation": generation, "x-request-id": id } = response.headers;
        const through = String(id).slice(0, 18);
        resolve({ status: response.statusCode ?? 0, text, generation: Number(generation), through });
      });
    });
    asked.on("error", reject).end();
  });
}

const pidsOf = async (edge: EdgeProcess) => (await edge.state()).processes as readonly number[];

/** A zombie has ended: who should take note of it may be gone too. */
function isAlive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** Answered by the edge, in all its processes. */
async function requestsIn(edge: EdgeProcess): Promise<number> {
  const lines = (await edge.metrics())
    .split("\n")
    .filter((line) => line.startsWith("holdfast_edge_requests_total{"));
  return lines.reduce((sum, line) => sum + Number(line.split(" ").pop()), 0);
}

/** Asks until the answers came through so many processes; returns how many were asked. */
async function askThrough(edge: EdgeProcess, processes: number): Promise<number> {
  const through = new Set<string>();
  let asked = 0;
  while (through.size < processes && asked < 500) {
    const answers = await Promise.all(Array.from({ length: 10 }, () => get(edge)));
    for (const answer of answers) through.add(answer.through);
    asked += answers.length;
  }
  assert.equal(through.size, processes, `processes that answered, of ${asked} connections`);
  return asked;
}

test("several processes serve at one address, and metrics and state are those of all", async () => {
  await using origin = await startOrigin((_request, response) => response.end("west"));
  await using state = await startedWith({ processes: 3 });
  const { edge } = state;
  assert.equal((await edge.apply(signed(table(1, { services: orders(origin.port) })))).kind, "applied");
  const asked = await askThrough(edge, 3);
  assert.equal(await requestsIn(edge), asked);
  assert.match(await edge.metrics(), /^holdfast_edge_processes 3$/m);
  assert.match(
    await edge.metrics(),
    new RegExp(`^holdfast_edge_request_seconds_count\\{.*\\} ${asked}$`, "m"),
  );
  assert.equal((await pidsOf(edge)).length, 3);
  assert.ok(!(await pidsOf(edge)).includes(edge.child.pid as number), "the first serves nobody");
  const { upstreams, table: mark } = await edge.state();
  assert.equal((upstreams as readonly unknown[]).length, 1);
  assert.equal((mark as { generation: number }).generation, 1);
});

test("an answer after a table was confirmed goes by it, in whichever process", async () => {
  await using origin = await startOrigin((_request, response) => response.end("west"));
  await using state = await startedWith({});
  for (let generation = 1; generation <= 20; generation++) {
    const offered = table(generation, { services: orders(origin.port) });
    assert.equal((await state.edge.apply(signed(offered))).kind, "applied");
    const answers = await Promise.all(Array.from({ length: 8 }, () => get(state.edge)));
    assert.deepEqual([...new Set(answers.map((answer) => answer.generation))], [generation]);
  }
  await askThrough(state.edge, 2);
});

test("a process that is killed is replaced, clients that come meanwhile and counts are kept", async () => {
  await using origin = await startOrigin((_request, response) => response.end("west"));
  using place = folder();
  await using edge = await start(place.path, {}, "pipe");
  let said = "";
  edge.child.stderr?.on("data", (chunk) => (said += chunk));
  await edge.apply(signed(table(4, { services: orders(origin.port) })));
  const before = await askThrough(edge, 2);
  // What is told once every two seconds: until then a killed process takes its last counts along.
  await until(async () => (await requestsIn(edge)) === before, "all is counted");
  const [killed = 0] = await pidsOf(edge);
  process.kill(killed, "SIGKILL");
  const meanwhile = await Promise.all(Array.from({ length: 40 }, () => get(edge)));
  assert.deepEqual(
    [...new Set(meanwhile.map(({ status, generation }) => `${status} ${generation}`))],
    ["200 4"],
  );
  await until(async () => (await pidsOf(edge)).length === 2, "another takes its place");
  assert.ok(!(await pidsOf(edge)).includes(killed));
  assert.match(
    said,
    new RegExp(`^HOLDFAST_EDGE_WORKER: process \\d of 2 \\(pid ${killed}\\) ended by SIGKILL; another`),
  );
  const after = await askThrough(edge, 2);
  assert.equal(await requestsIn(edge), before + meanwhile.length + after);
  assert.match(await edge.metrics(), /^holdfast_edge_process_restarts_total 1$/m);
});

test("tables come while processes are killed: none is lost, and none is older than was confirmed", async () => {
  await using origin = await startOrigin((_request, response) => response.end("west"));
  using place = folder();
  await using edge = await start(place.path, {}, "pipe");
  edge.child.stderr?.resume();
  let [confirmed, killed] = [0, 0];
  for (let generation = 1; killed < 3; generation++) {
    const offered = signed(table(generation, { services: orders(origin.port) }));
    const [pid = 0, another] = await pidsOf(edge);
    // With none left connections are refused, as when an edge of one process ends.
    if (another !== undefined) killed += Number(process.kill(pid, "SIGKILL"));
    const { kind } = await edge.apply(offered);
    assert.equal(kind, "applied");
    confirmed = generation;
    const answers = await Promise.all(Array.from({ length: 6 }, () => get(edge)));
    for (const answer of answers) assert.equal(answer.generation, confirmed);
  }
  await until(async () => (await pidsOf(edge)).length === 2, "all are back");
  await askThrough(edge, 2);
});

test("a process that stands still is named, ended and replaced; until then its table is not confirmed", async () => {
  await using origin = await startOrigin((_request, response) => response.end("west"));
  using place = folder();
  await using edge = await start(place.path, {}, "pipe");
  edge.child.stderr?.resume();
  await edge.apply(signed(table(1, { services: orders(origin.port) })));
  const [still = 0] = await pidsOf(edge);
  process.kill(still, "SIGSTOP");
  const next = signed(table(2, { services: orders(origin.port) }));
  const first = await edge.apply(next);
  assert.equal(first.kind, "unknown");
  assert.match(
    String(first.because),
    new RegExp(`^process \\d of 2 \\(pid ${still}\\) did not say within 1000 ms`),
  );
  assert.equal(
    ((await edge.state()).table as { generation: number }).generation,
    1,
    "somebody still goes by it",
  );
  assert.match(await edge.metrics(), /^holdfast_edge_table_generation 1$/m);
  await until(() => !isAlive(still), "it was ended", 5000);
  await until(async () => (await edge.apply(next)).kind === "unchanged", "confirmed");
  assert.equal(((await edge.state()).table as { generation: number }).generation, 2);
  await until(async () => (await pidsOf(edge)).length === 2, "another takes its place");
});

test("a process that stands still is replaced though no table comes", async () => {
  await using origin = await startOrigin((_request, response) => response.end("west"));
  using place = folder();
  await using edge = await start(place.path, {}, "pipe");
  let said = "";
  edge.child.stderr?.on("data", (chunk) => (said += chunk));
  await edge.apply(signed(table(1, { services: orders(origin.port) })));
  const [still = 0] = await pidsOf(edge);
  process.kill(still, "SIGSTOP");
  await until(() => !isAlive(still), "it was ended", 20_000);
  assert.match(
    said,
    new RegExp(`^HOLDFAST_EDGE_WORKER: process \\d of 2 \\(pid ${still}\\) said nothing for 10 s`),
  );
  await until(async () => !(await pidsOf(edge)).includes(still), "its end is known");
  await until(async () => (await pidsOf(edge)).length === 2, "another takes its place");
  await askThrough(edge, 2);
});

test("SIGTERM lets what is under way finish, and leaves nobody behind", async () => {
  // The first is under way; one of those that ask whether anybody is still taken may get through, too.
  const unfinished: (() => void)[] = [];
  let isLate = false;
  await using origin = await startOrigin((_request, response) => {
    if (isLate) response.end("late");
    else unfinished.push(() => response.end("late"));
    isLate = true;
  });
  await using state = await startedWith({});
  const { edge } = state;
  await edge.apply(signed(table(1, { services: orders(origin.port) })));
  const pids = await pidsOf(edge);
  const underWay = get(edge);
  await until(
    async () => ((await edge.state()).upstreams as { inFlight: number }[])[0]?.inFlight === 1,
    "under way",
  );
  const gone = once(edge.child, "exit");
  edge.child.kill("SIGTERM");
  await until(
    () =>
      get(edge).then(
        () => false,
        () => true,
      ),
    "nobody takes connections",
  );
  for (const finish of unfinished) finish();
  assert.equal((await underWay).text, "late");
  assert.deepEqual(await gone, [0, null]);
  assert.deepEqual(pids.filter(isAlive), []);
});

test("a signal to all of them at once, as service managers and terminals send it, ends them in order too", async () => {
  await using origin = await startOrigin((_request, response) => response.end("west"));
  await using state = await startedWith({});
  const { edge } = state;
  await edge.apply(signed(table(1, { services: orders(origin.port) })));
  const pids = await pidsOf(edge);
  const gone = once(edge.child, "exit");
  for (const pid of [...pids, edge.child.pid as number]) process.kill(pid, "SIGTERM");
  assert.deepEqual(await gone, [0, null]);
  assert.deepEqual(pids.filter(isAlive), []);
});

test("when the first is killed all end, and another edge takes their address at once", async () => {
  await using origin = await startOrigin((_request, response) => response.end("west"));
  using place = folder();
  const http = { host: "127.0.0.1", port: await freePort() };
  const edge = await start(place.path, { http });
  await edge.apply(signed(table(5, { services: orders(origin.port) })));
  const pids = await pidsOf(edge);
  await edge[Symbol.asyncDispose]();
  await until(() => !pids.some(isAlive), "all ended", 1000);
  await using next = await start(place.path, { http });
  assert.equal((await get(next)).generation, 5, "from disk, before anybody came");
});

test("an edge whose address is taken says so, and leaves nobody behind", async () => {
  using place = folder();
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as { port: number };
  const file = join(place.path, "edge.json");
  const config = edgeConfig(place.path, { processes: 2, http: { host: "127.0.0.1", port } });
  writeFileSync(file, JSON.stringify(config));
  const child = spawn(process.execPath, [main, "--config", file], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk) => (said += chunk));
  const [code] = (await once(child, "close")) as [number];
  taken.close();
  assert.equal(code, 1);
  assert.match(
    said,
    new RegExp(`^HOLDFAST_LISTEN: cannot listen on 127.0.0.1:${port} for http: another process`),
  );
});

test("all processes together never offer an upstream more than its bulkhead, nor keep more connections", async () => {
  let [now, most, mostConnections] = [0, 0, 0];
  const connections = new Set<Socket>();
  await using origin = await startOrigin(async ({ socket, url }, response) => {
    if (url === "/orders") {
      if (!connections.has(socket)) socket.once("close", () => connections.delete(socket));
      connections.add(socket);
      mostConnections = Math.max(mostConnections, connections.size);
    }
    most = Math.max(most, ++now);
    await pause(20);
    now--;
    response.end("west");
  });
  await using state = await startedWith({});
  const bulkhead = { connections: 5, pending: 100, requests: 5 };
  const route = { ...service([target("west", origin.port)]), traffic: { bulkhead } };
  await state.edge.apply(signed(table(1, { services: { orders: route } })));
  for (let round = 0; round < 10; round++)
    await Promise.all(Array.from({ length: 20 }, () => get(state.edge, "/orders")));
  assert.ok(2 < most && most <= 5, `${most} at once`);
  assert.ok(mostConnections <= 5, `${mostConnections} connections`);
});

test("requests held in every process while a writer changes go on with the table that ends it", async () => {
  await using origin = await startOrigin((_request, response) => response.end("west"));
  await using state = await startedWith({});
  const { edge } = state;
  const services = { orders: service([target("west", origin.port)], { dataStores: ["orders-db"] }) };
  const stores = (epoch: number, changing: boolean) => ({
    "orders-db": {
      epoch,
      writer: changing
        ? null
        : { member: `pg-${epoch}`, region: "west", gate: { host: "127.0.0.1", port: origin.port } },
      changing,
    },
  });
  // Which process takes a connection is the kernel's choice: on a busy machine all of one round may go to one of them.
  const through = new Set<string>();
  for (let epoch = 1; through.size < 2 && epoch <= 20; epoch++) {
    await edge.apply(signed(table(2 * epoch - 1, { epoch, services, stores: stores(epoch, true) })));
    const held = Array.from({ length: 30 }, () => get(edge, "/", "POST"));
    await until(async () => (await edge.state()).held === 30, "all are held");
    const next = table(2 * epoch, { epoch: epoch + 1, services, stores: stores(epoch + 1, false) });
    assert.equal((await edge.apply(signed(next))).kind, "applied");
    const answers = await Promise.all(held);
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    for (const answer of answers) through.add(answer.through);
  }
  assert.equal(through.size, 2, "both held some");
});

test("sessions to an old writer end in every process", async () => {
  await using one = await startWireServer("one");
  await using two = await startWireServer("two");
  await using state = await startedWith({ tcp: { "orders-db": anyPort } });
  const { edge } = state;
  const services = { orders: service([target("west", 1)], { dataStores: ["orders-db"] }) };
  const to = (epoch: number, port: number) =>
    signed(
      table(epoch, {
        epoch,
        services,
        stores: {
          "orders-db": {
            epoch,
            writer: { member: `pg-${port}`, region: "west", gate: { host: "127.0.0.1", port } },
            changing: false,
          },
        },
      }),
    );
  await edge.apply(to(1, one.port));
  const port = edge.tcp["orders-db"]?.port as number;
  const clients = Array.from({ length: 12 }, () => startWireClient(port));
  await until(
    () => clients.every((client) => client.received().includes("one")),
    "all speak with the first writer",
  );
  assert.equal(((await edge.state()).stores as { sessions: number }[])[0]?.sessions, 12);
  await edge.apply(to(2, two.port));
  await until(() => clients.every(({ isClosed }) => isClosed), "all ended");
  assert.equal(one.sockets.size, 0);
});

test("WebSockets are carried by every process, counted together, and end in all with what ends them", async () => {
  await using echo = await startEcho();
  await using state = await startedWith({});
  const { edge } = state;
  const services = { orders: service([target("west", echo.port), target("central", echo.port)]) };
  await edge.apply(signed(table(1, { services })));
  const clients: RawClient[] = [];
  const through = () => new Set(clients.map(({ text }) => /x-request-id: (.{18})/i.exec(text)?.[1]));
  try {
    while (clients.length < 12 || (through().size < 2 && clients.length < 200)) {
      const client = askForWebSocket(edge.http);
      clients.push(client);
      await until(() => client.text.includes("hello"), "it is open");
    }
    assert.equal(through().size, 2);
    for (const { socket } of clients) socket.write("and back");
    await until(() => clients.every(({ text }) => text.endsWith("and back")), "each gets its bytes back");
    assert.match(await edge.metrics(), new RegExp(`^holdfast_edge_websockets ${clients.length}$`, "m"));

    const regions = { west: "fenced", central: "active", east: "standby" } as const;
    const left = { orders: service([target("central", echo.port)]) };
    assert.equal((await edge.apply(signed(table(2, { services: left, regions })))).kind, "applied");
    await until(() => clients.every(({ isClosed }) => isClosed) && echo.open.size === 0, "all ended");
    assert.match(await edge.metrics(), /^holdfast_edge_websockets 0$/m);
    const ended = new RegExp(`ended_total\\{because="region fenced"\\} ${clients.length}$`, "m");
    assert.match(await edge.metrics(), ended);
  } finally {
    for (const { socket } of clients) socket.destroy();
  }
});

test("the gate has one authority: orders and epochs reach it, and sessions through any process end with it", async () => {
  await using server = await startWireServer("one");
  const member = "pg-west-1";
  const gate = { member, dataStore: "orders-db", listen: { ...anyPort, port: await freePort() } };
  const postgres = { host: "127.0.0.1", port: server.port };
  await using state = await startedWith({
    tcp: { "orders-db": anyPort },
    gates: [{ ...gate, target: postgres }],
  });
  const { edge } = state;
  const at = (generation: number, epoch: number) =>
    signed(
      table(generation, {
        epoch,
        services: { orders: service([target("west", 1)], { dataStores: ["orders-db"] }) },
        stores: {
          "orders-db": { epoch, writer: { member, region: "west", gate: gate.listen }, changing: false },
        },
      }),
    );
  await edge.apply(at(1, 1));
  const open = { member, epoch: 1, mode: "open", holdAt: null, cutAt: null };
  assert.equal((await edge.post("/v1/gate", open)).status, 200);
  const clients = Array.from({ length: 8 }, () => startWireClient(edge.tcp["orders-db"]?.port as number));
  await until(() => clients.every((client) => client.received().includes("one")), "all are let in");
  assert.equal(((await edge.state()).gates as { sessions: number }[])[0]?.sessions, 8);
  // The same member, in a later epoch that the gate has no order for.
  await edge.apply(at(2, 2));
  await until(() => clients.every(({ isClosed }) => isClosed), "the epoch closed the gate");
  assert.equal((await edge.post("/v1/gate", open)).status, 409);
  assert.equal(server.sockets.size, 0);
});

test("lines of the access log are whole and all there, also through a rotation", async () => {
  await using origin = await startOrigin((_request, response) => response.end("west"));
  using place = folder();
  const file = join(place.path, "access.log");
  const accessLog = { file, query: true, bufferMaxBytes: 4 * 1024 * 1024 };
  const edge = await start(place.path, { accessLog });
  await edge.apply(signed(table(1, { services: orders(origin.port) })));
  const long = "x".repeat(3000);
  const ask = async (from: number) => {
    for (let n = from; n < from + 100; n += 20)
      await Promise.all(Array.from({ length: 20 }, (_, at) => get(edge, `/orders?n=${n + at}&${long}`)));
  };
  await ask(0);
  renameSync(file, `${file}.1`);
  edge.child.kill("SIGHUP");
  await pause(50);
  await ask(100);
  const gone = once(edge.child, "exit");
  edge.child.kill("SIGTERM");
  assert.deepEqual(await gone, [0, null]);
  const lines = [`${file}.1`, file].flatMap((each) => readFileSync(each, "utf8").trimEnd().split("\n"));
  const seen = lines.map((line) => Number(/n=(\d+)&/.exec((JSON.parse(line) as { path: string }).path)?.[1]));
  assert.deepEqual(
    seen.sort((a, b) => a - b),
    Array.from({ length: 200 }, (_, n) => n),
  );
});

test("SIGHUP changes the certificate of every process", async () => {
  using place = folder();
  const { certFile, keyFile } = makeCertificate(place.path, "a", ["one.test"]);
  const tls = {
    listen: anyPort,
    certificates: [{ certFile, keyFile }],
    minVersion: "TLSv1.2" as const,
    reloadEveryMs: 60_000,
  };
  await using edge = await start(place.path, { tls });
  const shown = () =>
    new Promise<string>((resolve, reject) => {
      const { port } = new URL(edge.https);
      const socket = connectTls({ host: "127.0.0.1", port: Number(port), rejectUnauthorized: false }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
      socket.on("error", reject);
    });
  assert.deepEqual([...new Set(await Promise.all(Array.from({ length: 10 }, shown)))], ["one.test"]);
  makeCertificate(place.path, "a", ["two.test"]);
  edge.child.kill("SIGHUP");
  await until(
    async () => new Set(await Promise.all(Array.from({ length: 20 }, shown))).has("one.test") === false,
    "the new one everywhere",
  );
});

test("the load that a process does not see counts for its level", async () => {
  await using origin = await startOrigin((_request, response) => response.end("west"));
  await using state = await startedWith({});
  const { edge } = state;
  const step = { name: "lean", mode: "rw" as const, flags: {}, classes: {}, saves: 0.5 };
  const route = service([target("west", origin.port)], {
    levels: { automatic: 1, flags: {}, page: null, steps: [step] },
    capacity: [{ region: "west", rps: 60, edges: 1 }],
  });
  await edge.apply(signed(table(1, { services: { orders: route } })));
  // 100 a second altogether, some 50 for each: only the sum is beyond what the region can carry.
  const deadline = performance.now() + 8000;
  let level = 0;
  while (level === 0 && performance.now() < deadline) {
    await Promise.all([...Array.from({ length: 10 }, () => get(edge)), pause(100)]);
    level = ((await edge.state()).services as { automatic: number }[])[0]?.automatic ?? 0;
  }
  assert.equal(level, 1);
});

/** With a folder of its own. */
async function startedWith(more: Partial<EdgeConfig>) {
  const place = folder();
  const edge = await start(place.path, more);
  return {
    edge,
    [Symbol.asyncDispose]: async () => {
      await edge[Symbol.asyncDispose]();
      place[Symbol.dispose]();
    },
  };
}

function orders(port: number) {
  return { orders: service([target("west", port)], { rules: { ...rules, tryTimeoutMs: 5000 } }) };
}
