/** Upstreams that die, freeze and change under load: what is safe to repeat never fails (P5). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Pool } from "undici";
import { edgeConfig, folder, startHere, startProcess, until } from "./parts/edges.ts";
import { type OriginProcess, readAll, startOrigin, startOriginProcess } from "./parts/origins.ts";
import { rules, service, signed, table, target } from "./parts/tables.ts";

interface Load {
  readonly total: number;
  readonly failed: readonly string[];
  readonly regions: ReadonlySet<string>;
  readonly longestMs: number;
}

/** `clients` at once, one request after another, until `stop`; every one safe to repeat. */
function startLoad(base: string, clients: number): { readonly total: () => number; stop(): Promise<Load> } {
  const pool = new Pool(base, { connections: clients });
  const failed: string[] = [];
  const regions = new Set<string>();
  let total = 0;
  let longestMs = 0;
  let stopped = false;
  const one = async (n: number): Promise<void> => {
    while (!stopped) {
      const kind = total++ % 3;
      const began = performance.now();
      try {
        const answer = await pool.request({
          path: `/orders/${total}`,
          method: kind === 0 ? "GET" : kind === 1 ? "PUT" : "POST",
          ...(kind === 0 ? {} : { body: "x" }),
          ...(kind === 2 ? { headers: { "idempotency-key": `${n}-${total}` } } : {}),
        });
        const text = await answer.body.text();
        if (answer.statusCode !== 200) failed.push(`${answer.statusCode} ${text}`);
        regions.add(String(answer.headers["x-holdfast-region"]));
      } catch (error) {
        failed.push(String(error));
      }
      longestMs = Math.max(longestMs, performance.now() - began);
    }
  };
  const running = Promise.all(Array.from({ length: clients }, (_, n) => one(n)));
  return {
    total: () => total,
    stop: async () => {
      stopped = true;
      await running;
      await pool.close();
      return { total, failed, regions, longestMs };
    },
  };
}

async function runThrough(hurt: (west: OriginProcess) => void): Promise<Load> {
  using state = folder();
  await using west = await startOriginProcess("west");
  await using central = await startOriginProcess("central");
  await using edge = await startProcess(edgeConfig(state.path));
  const route = service([target("west", west.port), target("central", central.port)]);
  await edge.apply(signed(table(1, { services: { orders: route } })));
  const load = startLoad(edge.http, 16);
  await until(() => load.total() > 300, "the load flows");
  hurt(west);
  const atFault = load.total();
  await until(() => load.total() > atFault + 1000, "the load flows on", 10_000);
  return await load.stop();
}

test("an upstream killed under load fails no request that is safe to repeat", async () => {
  const load = await runThrough((west) => west.child.kill("SIGKILL"));
  assert.deepEqual(load.failed, []);
  assert.deepEqual([...load.regions].sort(), ["central", "west"]);
});

test("an upstream frozen under load fails no request that is safe to repeat", async () => {
  const load = await runThrough((west) => west.child.kill("SIGSTOP"));
  assert.deepEqual(load.failed, []);
  assert.deepEqual([...load.regions].sort(), ["central", "west"]);
  // One try is given up after 500 ms; with the breaker open nobody waits twice.
  assert.ok(load.longestMs < 2000, `the longest wait was ${load.longestMs} ms`);
});

test("with every upstream dead, requests wait for the first that returns", async () => {
  using state = folder();
  const west = await startOriginProcess("west");
  const { port } = west;
  await using edge = await startHere(edgeConfig(state.path));
  await edge.apply(signed(table(1, { services: { orders: service([target("west", port)]) } })));
  await west[Symbol.asyncDispose]();
  const answer = fetch(`${edge.http}/orders`);
  await until(async () => ((await edge.state()) as { held: number }).held === 1, "the request is held");
  await using _again = await startOriginProcess("west", port);
  const { status, headers } = await answer;
  assert.equal(status, 200);
  assert.ok(Number(headers.get("x-holdfast-held-ms")) > 0);
});

test("a hold ends: in time with 503 and Retry-After, in number at once", async () => {
  using state = folder();
  await using edge = await startHere(edgeConfig(state.path));
  const impatient = { ...rules, holdMaxMs: 200, holdMaxCount: 1 };
  const route = service([target("west", 1)], { rules: impatient });
  await edge.apply(signed(table(1, { services: { orders: route } })));
  const began = performance.now();
  const both = await Promise.all([fetch(edge.http), fetch(edge.http)]);
  for (const answer of both) {
    assert.equal(answer.status, 503);
    assert.equal(answer.headers.get("retry-after"), "1");
    assert.equal(answer.headers.get("content-type"), "application/problem+json");
    const { detail } = (await answer.json()) as { detail: string };
    assert.match(detail, /held (already|for 200 ms)/);
  }
  assert.ok(performance.now() - began < 1500);
});

test("a writer that is changing is waited for, and a write without a key is never sent twice", async () => {
  using state = folder();
  let isChanging = true;
  const seen: string[] = [];
  await using west = await startOrigin(async (request, response) => {
    seen.push(`${request.method} ${request.headers["idempotency-key"] ?? "-"} ${await readAll(request)}`);
    if (isChanging) response.writeHead(503, { "x-holdfast-retry": "writer-changing" }).end();
    else response.end("written");
  });
  await using edge = await startHere(edgeConfig(state.path));
  await edge.apply(signed(table(1, { services: { orders: service([target("west", west.port)]) } })));
  const unkeyed = await fetch(edge.http, { method: "POST", body: "a" });
  assert.equal(unkeyed.status, 503);
  assert.deepEqual(seen, ["POST - a"]);

  const keyed = fetch(edge.http, { method: "POST", body: "b", headers: { "idempotency-key": "k1" } });
  await until(() => seen.length >= 4, "it is repeated");
  isChanging = false;
  const answer = await keyed;
  assert.equal(await answer.text(), "written");
  assert.ok(Number(answer.headers.get("x-holdfast-held-ms")) > 0);
  assert.equal(new Set(seen.slice(1)).size, 1);
});

test("a service that says it did nothing is asked again, even for a write without a key", async () => {
  using state = folder();
  let refusals = 3;
  await using west = await startOrigin((_request, response) => {
    if (refusals-- > 0) response.writeHead(503, { "x-holdfast-retry": "nothing-done" }).end();
    else response.end("written");
  });
  await using edge = await startHere(edgeConfig(state.path));
  await edge.apply(signed(table(1, { services: { orders: service([target("west", west.port)]) } })));
  const answer = await fetch(edge.http, { method: "POST", body: "a" });
  assert.equal(await answer.text(), "written");
  assert.equal(answer.headers.get("x-holdfast-tries"), "4");
});

test("while a planned change is announced, writes wait unsent and reads flow", async () => {
  using state = folder();
  const seen: string[] = [];
  await using west = await startOrigin((request, response) => {
    seen.push(request.method as string);
    response.end("ok");
  });
  await using edge = await startHere(edgeConfig(state.path));
  const services = { orders: service([target("west", west.port)], { dataStores: ["orders-db"] }) };
  const gate = { host: "127.0.0.1", port: 1 };
  const stores = (changing: boolean) => ({
    "orders-db": { epoch: 1, writer: { member: "pg-west", region: "west", gate }, changing },
  });
  await edge.apply(signed(table(1, { services, stores: stores(true) })));
  const write = fetch(edge.http, { method: "POST", body: "w" });
  await until(async () => ((await edge.state()) as { held: number }).held === 1, "the write is held");
  assert.equal(await (await fetch(edge.http)).text(), "ok");
  assert.deepEqual(seen, ["GET"]);
  await edge.apply(signed(table(2, { services, stores: stores(false) })));
  assert.equal(await (await write).text(), "ok");
  assert.deepEqual(seen, ["GET", "POST"]);
});

test("a write without a key whose answer never came is reported as unknown, not repeated", async () => {
  using state = folder();
  let seen = 0;
  await using west = await startOrigin((request) => {
    seen++;
    request.socket.destroy();
  });
  await using central = await startOrigin((_request, response) => response.end("central"));
  await using edge = await startHere(edgeConfig(state.path));
  const route = service([target("west", west.port), target("central", central.port)]);
  await edge.apply(signed(table(1, { services: { orders: route } })));
  const answer = await fetch(edge.http, { method: "POST", body: "once" });
  assert.equal(answer.status, 502);
  assert.equal(((await answer.json()) as { code: string }).code, "HOLDFAST_OUTCOME_UNKNOWN");
  assert.equal(seen, 1);
  // The same as a read is repeated in the next region.
  assert.equal(await (await fetch(edge.http)).text(), "central");
});

test("a small response that breaks in mid-body is repeated, and comes whole", async () => {
  using state = folder();
  await using west = await startOrigin((_request, response) => {
    response.writeHead(200, { "content-length": 1000 });
    response.write("half of it", () => response.destroy());
  });
  await using central = await startOrigin((_request, response) => response.end("whole"));
  await using edge = await startHere(edgeConfig(state.path));
  const route = service([target("west", west.port), target("central", central.port)]);
  await edge.apply(signed(table(1, { services: { orders: route } })));
  assert.equal(await (await fetch(edge.http)).text(), "whole");
});

test("a read-only service refuses writes with a code, and serves reads", async () => {
  using state = folder();
  await using west = await startOrigin((_request, response) => response.end("read"));
  await using edge = await startHere(edgeConfig(state.path));
  const route = service([target("west", west.port)], { mode: "ro" });
  await edge.apply(signed(table(1, { services: { orders: route } })));
  assert.equal(await (await fetch(edge.http)).text(), "read");
  const refused = await fetch(edge.http, { method: "DELETE" });
  assert.equal(refused.status, 503);
  assert.equal(((await refused.json()) as { code: string }).code, "HOLDFAST_READ_ONLY");
});

test("when a region is fenced, what is under way there is ended, and repeated elsewhere if that is safe", async () => {
  using state = folder();
  let asked = 0;
  await using west = await startOrigin(() => {
    asked++;
  });
  await using central = await startOrigin((_request, response) => response.end("central"));
  await using edge = await startHere(edgeConfig(state.path));
  const patient = { ...rules, tryTimeoutMs: 20_000 };
  const both = service([target("west", west.port), target("central", central.port)], { rules: patient });
  await edge.apply(signed(table(1, { services: { orders: both } })));
  const read = fetch(edge.http);
  const write = fetch(edge.http, { method: "POST", body: "no key" });
  await until(() => asked === 2, "both are under way in west");
  const elsewhere = service([target("central", central.port)], { rules: patient });
  const regions = { west: "fenced", central: "active", east: "standby" } as const;
  await edge.apply(signed(table(2, { services: { orders: elsewhere }, regions })));
  assert.equal(await (await read).text(), "central");
  assert.equal((await write).status, 502);
});
