/** The access log: what a line tells, and that nobody waits for it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, renameSync } from "node:fs";
import { open } from "node:fs/promises";
import { connect } from "node:http2";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { edgeConfig, folder, startHere, startProcess, until } from "./parts/edges.ts";
import { type Listener, startOrigin } from "./parts/origins.ts";
import { rules, service, signed, table, target } from "./parts/tables.ts";

type Line = Readonly<Record<string, unknown>>;

const logTo = (file: string, query = false) => ({ file, query, bufferMaxBytes: 4 * 1024 * 1024 });

function linesOf(file: string): readonly Line[] {
  if (!existsSync(file)) return [];
  const texts = readFileSync(file, "utf8").split("\n");
  return texts.slice(0, -1).map((line) => JSON.parse(line) as Line);
}

async function startWith(state: string, listener: Listener, more: Parameters<typeof edgeConfig>[1] = {}) {
  const origin = await startOrigin(listener);
  const file = join(state, "access.log");
  const edge = await startHere(edgeConfig(state, { accessLog: logTo(file), ...more }));
  await edge.apply(signed(table(7, { services: { orders: service([target("west", origin.port)]) } })));
  return {
    edge,
    origin,
    file,
    lines: async (count: number) => {
      await until(() => linesOf(file).length >= count, `${count} lines`);
      return linesOf(file);
    },
    [Symbol.asyncDispose]: async () => {
      await edge[Symbol.asyncDispose]();
      await origin[Symbol.asyncDispose]();
    },
  };
}

const trace = "0af7651916cd43dd8448eb211c80319c";

test("a line tells who asked for what, who answered, and how that went", async () => {
  using state = folder();
  await using it = await startWith(state.path, (_request, response) => response.end("answer"));
  const headers = { "x-request-id": "request-0001", traceparent: `00-${trace}-b7ad6b7169203331-01` };
  await (await fetch(`${it.edge.http}/orders/1?card=4711`, { method: "PUT", body: "x", headers })).text();
  const [line] = await it.lines(1);
  const { time, durationMs, upstreamMs, host, ...rest } = line as Line;
  assert.ok(Math.abs(Date.parse(String(time)) - Date.now()) < 60_000);
  assert.ok(Number(durationMs) > 0 && Number(upstreamMs) > 0);
  assert.ok(Number(upstreamMs) <= Number(durationMs));
  assert.equal(host, new URL(it.edge.http).host);
  assert.deepEqual(rest, {
    requestId: "request-0001",
    traceId: trace,
    client: "127.0.0.1",
    protocol: "HTTP/1.1",
    scheme: "http",
    method: "PUT",
    path: "/orders/1",
    status: 200,
    region: "west",
    service: "orders",
    generation: 7,
    epoch: 1,
    class: "other",
    priority: "standard",
    tries: 1,
    heldMs: 0,
    bytes: 6,
    outcome: "answered",
    code: null,
  });
});

test("each way in which a request can end has its outcome", async () => {
  using state = folder();
  const http2 = { ...edgeConfig("").http2, cleartext: true };
  let say: (() => void) | null = null;
  await using it = await startWith(
    state.path,
    (request, response) => {
      if (request.url === "/broken") {
        response.write("half");
        setTimeout(() => response.destroy(), 20);
      } else if (request.url === "/gone") say = () => response.end();
      else response.setHeader("cache-control", "max-age=60").end("ok");
    },
    { http2 },
  );
  const outcomes: unknown[] = [];
  const expect = async (outcome: string, status: number | null, code: string | null = null) => {
    const lines = await it.lines(outcomes.length + 1);
    const line = lines[outcomes.length] as Line;
    outcomes.push(line.outcome);
    assert.deepEqual([line.outcome, line.status, line.code], [outcome, status, code]);
    return line;
  };
  const { port } = new URL(it.edge.http);
  const raw = async (bytes: string) => {
    const socket = connectTcp({ host: "127.0.0.1", port: Number(port) });
    socket.on("error", () => undefined).write(bytes);
    await text(socket).catch(() => "");
  };

  const session = connect(it.edge.http);
  await text(session.request({ ":path": "/two" }));
  assert.equal((await expect("answered", 200)).protocol, "HTTP/2");
  session.close();

  await raw("GET /broken HTTP/1.1\r\nHost: a\r\n\r\n");
  assert.equal((await expect("broken", 200)).bytes, 4);

  const leaving = connectTcp({ host: "127.0.0.1", port: Number(port) });
  leaving.on("error", () => undefined).write("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n");
  await until(() => say !== null, "the service is asked");
  leaving.destroy();
  await expect("gone", null);

  await raw('GET /"quoted"\\ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  assert.equal((await expect("answered", 200)).path, '/"quoted"\\');

  await raw("nonsense\r\n\r\n");
  assert.equal((await expect("refused", 400, "HOLDFAST_BAD_REQUEST")).path, null);

  const apply = (generation: number, ...ports: readonly number[]) =>
    it.edge.apply(
      signed(
        table(generation, {
          services: {
            orders: service(
              ports.map((each, at) => target(["west", "central"][at] as string, each)),
              { rules: { ...rules, staleMaxMs: 60_000 } },
            ),
          },
        }),
      ),
    );
  await apply(8, it.origin.port);
  await (await fetch(`${it.edge.http}/kept`)).text();
  await expect("answered", 200);
  await apply(9, 1, it.origin.port);
  await (await fetch(`${it.edge.http}/again`)).text();
  const retried = await expect("retried", 200);
  assert.deepEqual([retried.tries, retried.region, retried.generation], [2, "central", 9]);
  await apply(10, 1);
  await (await fetch(`${it.edge.http}/kept`)).text();
  await expect("stale", 200);
  const held = fetch(`${it.edge.http}/held`);
  await until(async () => ((await it.edge.state()) as { held: number }).held === 1, "it is held");
  await apply(11, it.origin.port);
  await (await held).text();
  assert.ok(Number((await expect("held", 200)).heldMs) >= 0);
});

test("the query is written where that is asked for, and behind a trusted balancer the client it tells of", async () => {
  using state = folder();
  const file = join(state.path, "access.log");
  const more = { accessLog: logTo(file, true), trustedProxies: ["127.0.0.0/8", "10.0.0.0/8"] };
  await using it = await startWith(state.path, (_request, response) => response.end(), more);
  const headers = { "x-forwarded-for": "192.0.2.66, 198.51.100.7, 10.1.2.3" };
  await (await fetch(`${it.edge.http}/a?b=c`, { headers })).text();
  const [line] = await it.lines(1);
  assert.deepEqual([line?.path, line?.client], ["/a?b=c", "198.51.100.7"]);
});

test("after a rotation and SIGHUP lines go to the new file, and none is lost", async () => {
  using state = folder();
  await using origin = await startOrigin((_request, response) => response.end("ok"));
  const file = join(state.path, "access.log");
  await using edge = await startProcess(edgeConfig(state.path, { accessLog: logTo(file) }));
  await edge.apply(signed(table(1, { services: { orders: service([target("west", origin.port)]) } })));
  const ask = async (path: string) => (await fetch(`${edge.http}${path}`)).text();
  await ask("/before");
  await until(() => linesOf(file).length === 1, "it is written");
  renameSync(file, `${file}.1`);
  await ask("/between");
  await until(() => linesOf(`${file}.1`).length === 2, "the file that was moved is still the one");
  edge.child.kill("SIGHUP");
  await until(() => existsSync(file), "the new one is opened");
  await ask("/after");
  await until(() => linesOf(file).length === 1, "it is written to the new one");
  assert.deepEqual(
    [...linesOf(`${file}.1`), ...linesOf(file)].map(({ path }) => path),
    ["/before", "/between", "/after"],
  );
});

test("an edge that ends writes what it still has, to standard output too", async () => {
  using state = folder();
  await using origin = await startOrigin((_request, response) => response.end("ok"));
  await using edge = await startProcess(edgeConfig(state.path, { accessLog: logTo("-") }));
  await edge.apply(signed(table(1, { services: { orders: service([target("west", origin.port)]) } })));
  const lines: string[] = [];
  createInterface(edge.child.stdout as Readable).on("line", (line) => lines.push(line));
  await (await fetch(`${edge.http}/last`)).text();
  edge.child.kill("SIGTERM");
  await once(edge.child, "exit");
  assert.equal((JSON.parse(lines[0] as string) as Line).path, "/last");
});

test("a log that nobody reads costs lines, which are counted, and no request anything", async () => {
  using state = folder();
  await using origin = await startOrigin((_request, response) => response.end("ok"));
  const fifo = join(state.path, "fifo");
  execFileSync("mkfifo", [fifo]);
  // Held open, and never read: after 64 KB the kernel takes no more.
  const reader = await open(fifo, "r+");
  const accessLog = { file: fifo, query: false, bufferMaxBytes: 64 * 1024 };
  await using edge = await startHere(edgeConfig(state.path, { accessLog }));
  await edge.apply(signed(table(1, { services: { orders: service([target("west", origin.port)]) } })));
  const dropped = async () => Number(/access_log_dropped_total (\d+)/.exec(await edge.metrics())?.[1]);
  const long = "x".repeat(2000);
  let asked = 0;
  while ((await dropped()) === 0 && asked < 1000) {
    const answers = Array.from({ length: 20 }, () => fetch(`${edge.http}/${long}`).then((one) => one.text()));
    for (const answer of await Promise.all(answers)) assert.equal(answer, "ok");
    asked += 20;
  }
  assert.ok((await dropped()) > 0, `nothing was dropped of ${asked}`);
  await reader.close();
});
