/** The load against edges that misbehave: real sockets, the real process. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { configFrom, type Load, type LoadRequest, startLoad } from "../../src/lab/load.ts";
import { Recorder, type RequestRecord, readHistory } from "../../src/lab/load-record.ts";
import { percentile } from "../../src/lab/load-stats.ts";
import { monotonicMs } from "../../src/lab/monotonic.ts";

const loadMain = new URL("../../src/lab/load-main.ts", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "holdfast-load-"));
after(() => rmSync(folder, { recursive: true, force: true }));

interface FakeEdge extends AsyncDisposable {
  readonly url: string;
  readonly server: Server;
  /** Idempotency-Key of each POST that came in; empty: none. */
  readonly keys: string[];
}

/** Answers as orders behind an edge would, unless `misbehave` deals with the request. */
async function startEdge(misbehave: (...args: Parameters<RequestListener>) => boolean): Promise<FakeEdge> {
  const keys: string[] = [];
  const server = createServer((request, response) => {
    const key = request.headers["idempotency-key"]?.toString() ?? "";
    if (request.method === "POST") keys.push(key);
    if (misbehave(request, response)) return;
    response.setHeader("x-holdfast-region", "west");
    if (request.method === "GET") {
      response.end("{}");
      return;
    }
    response.writeHead(201, { "x-acknowledged-by": "pg-west@3", "x-holdfast-held-ms": "12.5" });
    response.end(JSON.stringify({ id: `id-${key || keys.length}`, epoch: 3, member: "pg-west" }));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    server,
    keys,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}

let runs = 0;
function request(edges: readonly string[], rest: Partial<LoadRequest> = {}): LoadRequest {
  const run = `run-${runs++}`;
  return {
    run,
    places: [{ name: "west", edges }],
    recordFile: join(folder, `${run}.json`),
    attemptTimeoutMs: 2_000,
    deadlineMs: 6_000,
    ...rest,
  };
}

async function until(what: string, holds: () => boolean, timeoutMs = 60_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!holds()) {
    assert.ok(performance.now() < deadline, `never: ${what}`);
    await sleep(10);
  }
}

async function runUntil(load: Load, ended: number): Promise<readonly RequestRecord[]> {
  await until(`${ended} requests end`, () => {
    const totals = load.latest()?.totals;
    return totals !== undefined && totals.ok + totals.failed >= ended;
  });
  return (await load.stop()).requests;
}

test("each request is recorded: who answered, how long it was held, what was acknowledged", async () => {
  await using edge = await startEdge(() => false);
  await using load = startLoad(request([edge.url], { unsafeShare: 0.5 }));
  const startedAt = monotonicMs();
  const requests = await runUntil(load, 100);
  assert.deepEqual(new Set(requests.map(({ failure }) => failure)), new Set([""]));
  assert.deepEqual(
    new Set(requests.map(({ kind }) => kind)),
    new Set(["order", "unsafe-order", "read", "list"]),
  );
  for (const { kind, receipt, heldMs, tries, region, place, dueAt, lastTryAt, doneAt } of requests) {
    assert.deepEqual([tries, region, place], [1, "west", "west"]);
    assert.ok(dueAt <= lastTryAt && lastTryAt < doneAt, `${dueAt} ${lastTryAt} ${doneAt}`);
    assert.ok(startedAt - 5_000 < dueAt && doneAt < monotonicMs(), "on the clock that all processes share");
    if (kind === "read" || kind === "list") continue;
    assert.equal(heldMs, 12.5);
    assert.deepEqual([receipt?.byMember, receipt?.byEpoch, receipt?.replayed], ["pg-west", 3, false]);
  }
  assert.equal(edge.keys.filter(Boolean).length, requests.filter(({ kind }) => kind === "order").length);
});

test("the rate is kept while no answer comes, and the waits count from when a request was due", async () => {
  await using edge = await startEdge(() => true);
  await using load = startLoad(
    request([edge.url], { ordersPerSecond: 50, readsPerSecond: 50, attemptTimeoutMs: 200, deadlineMs: 600 }),
  );
  const requests = await runUntil(load, 60);
  const due = requests.map(({ dueAt }) => dueAt).sort((a, b) => a - b);
  const perSecond = ((due.length - 2) * 1000) / ((due.at(-1) ?? 0) - (due[0] ?? 0));
  assert.ok(95 < perSecond && perSecond < 105, `${perSecond} a second`);
  for (const { failure, doneAt, dueAt } of requests) {
    assert.equal(failure, "timeout");
    assert.ok(doneAt - dueAt >= 590, `gave up after ${doneAt - dueAt} ms`);
  }
});

test("what is safe to repeat goes to the next edge at once; an order without a key is tried once", async () => {
  await using dead = await startEdge((request) => {
    request.socket.destroy();
    return true;
  });
  await using edge = await startEdge(() => false);
  await using load = startLoad(request([dead.url, edge.url], { unsafeShare: 0.5, avoidMs: 0 }));
  const requests = await runUntil(load, 120);
  const [unsafe, safe] = [true, false].map((yes) =>
    requests.filter(({ kind }) => (kind === "unsafe-order") === yes),
  );
  assert.ok((unsafe?.length ?? 0) > 5 && (safe?.length ?? 0) > 20);
  for (const { failure, tries } of safe ?? []) assert.deepEqual([failure, tries], ["", 2]);
  for (const { failure, tries, receipt } of unsafe ?? [])
    assert.deepEqual([failure, tries, receipt], ["reset", 1, null]);
  assert.deepEqual(
    edge.keys.filter((key) => key === ""),
    [],
    "no order without a key reached the second edge",
  );
});

test("a refused connection sent nothing: the next edge gets an order without a key too", async () => {
  const closed = await startEdge(() => false);
  await closed[Symbol.asyncDispose]();
  await using edge = await startEdge(() => false);
  await using load = startLoad(request([closed.url, edge.url], { unsafeShare: 1, readsPerSecond: 0 }));
  const requests = await runUntil(load, 30);
  for (const { failure, edge: by } of requests) assert.deepEqual([failure, by], ["", edge.url]);
});

test("an edge that is silent costs one attempt, then it is asked last for a while", async () => {
  await using silent = await startEdge(() => true);
  await using edge = await startEdge(() => false);
  await using load = startLoad(
    request([silent.url, edge.url], { unsafeShare: 0, attemptTimeoutMs: 200, avoidMs: 5_000 }),
  );
  const requests = await runUntil(load, 200);
  const late = requests.filter(({ tries }) => tries === 2);
  assert.ok(late.length > 0 && late.every(({ doneAt, dueAt }) => doneAt - dueAt >= 195));
  assert.ok(requests.some(({ tries }) => tries === 1));
  assert.ok(requests.every(({ failure }) => failure === ""));
});

test("each silence is borne twice as long as the one before", async () => {
  await using silent = await startEdge(() => true);
  await using load = startLoad(
    request([silent.url], { unsafeShare: 0, attemptTimeoutMs: 100, deadlineMs: 1_500, avoidMs: 0 }),
  );
  const requests = await runUntil(load, 20);
  // 100, 200, 400 ms, and what is left of the deadline; ten without it.
  for (const { failure, tries } of requests) {
    assert.equal(failure, "timeout");
    assert.ok(4 <= tries && tries <= 5, `${tries}`);
  }
});

test("an answer that is no success is final and named; an acknowledgement without a receipt is none", async () => {
  await using edge = await startEdge((request, response) => {
    if (request.method === "GET") response.writeHead(503).end("<h1>busy</h1>");
    else response.writeHead(201, { "x-acknowledged-by": "pg-west@3" }).end('{"id":"half');
    return true;
  });
  await using load = startLoad(request([edge.url]));
  const requests = await runUntil(load, 60);
  for (const { kind, failure, receipt } of requests) {
    assert.equal(receipt, null);
    assert.equal(failure, kind === "order" || kind === "unsafe-order" ? "broken-answer" : "status-503");
  }
});

test("a replay that does not say who confirms it is not taken for an acknowledgement", async () => {
  await using edge = await startEdge((request, response) => {
    if (request.method === "GET") return false;
    response.writeHead(201, { "idempotency-replayed": "true" }).end('{"id":"x","epoch":1,"member":"a"}');
    return true;
  });
  await using load = startLoad(request([edge.url], { readsPerSecond: 0 }));
  for (const { failure } of await runUntil(load, 20)) assert.equal(failure, "broken-answer");
});

test("too much in flight is said, not hidden", async () => {
  await using edge = await startEdge(() => true);
  await using load = startLoad(
    request([edge.url], { inFlightMax: 10, attemptTimeoutMs: 200, deadlineMs: 500 }),
  );
  await until("overload", () => (load.latest()?.totals.failed ?? 0) > 0);
  const { problems, requests } = await load.stop();
  assert.match(problems.join(), /requests not sent: 10 were in flight/);
  assert.ok(requests.some(({ failure }) => failure === "overloaded"));
});

test("rates change while it runs", async () => {
  await using edge = await startEdge(() => false);
  await using load = startLoad(request([edge.url], { ordersPerSecond: 0, readsPerSecond: 0 }));
  await until("it runs", () => load.latest() !== null);
  assert.equal(load.latest()?.totals.sent, 0);
  load.setRates({ ordersPerSecond: 100, readsPerSecond: 0 });
  const requests = await runUntil(load, 20);
  assert.ok(requests.every(({ kind }) => kind !== "read" && kind !== "list"));
});

test("a load whose record cannot be written fails loudly", async () => {
  await using edge = await startEdge(() => false);
  const asked = request([edge.url]);
  await using load = startLoad(asked);
  await until("it runs", () => load.latest() !== null);
  process.kill(load.pid, "SIGKILL");
  await assert.rejects(load.stop(), /ended with SIGKILL and without a record/);
});

test("a command that is not there is told by stop", async () => {
  const asked = request(["http://127.0.0.1:1"]);
  await using load = startLoad(asked, { prefix: ["/no/such/command"] });
  await assert.rejects(load.stop(), /ENOENT/);
});

test("a load whose parent is gone ends by itself, and leaves its record", async () => {
  await using edge = await startEdge(() => false);
  const config = configFrom(request([edge.url]));
  const configFile = join(folder, "orphan.config.json");
  writeFileSync(configFile, JSON.stringify(config));
  const child = spawn(process.execPath, [loadMain, "--config", configFile], {
    stdio: ["pipe", "ignore", "inherit"],
  });
  const exited = once(child, "exit");
  await until("it sends", () => edge.keys.length > 0);
  child.stdin.end();
  assert.deepEqual(await exited, [0, null]);
  assert.ok(readHistory(config.recordFile).requests.length > 0);
});

test("a configuration that could prove nothing is refused", () => {
  const good = request(["http://127.0.0.1:1"]);
  assert.doesNotThrow(() => configFrom(good));
  for (const wrong of [
    { run: "a b" },
    { places: [] },
    { places: [{ name: "x", edges: [] }] },
    { unsafeShare: 2 },
    { deadlineMs: 1 },
  ])
    assert.throws(() => configFrom({ ...good, ...wrong }), RangeError);
});

test("a record comes back from its file as it went in", async () => {
  const recorder = new Recorder();
  const base = {
    dueAt: 1.001,
    lastTryAt: 2.5,
    doneAt: 3,
    edge: "http://e",
    region: "west",
    tries: 2,
    heldMs: 0.25,
  };
  const requests: RequestRecord[] = [
    { ...base, number: 0, kind: "list", place: "a", status: 200, failure: "", receipt: null },
    { ...base, number: 2, kind: "read", place: 'b"', status: 404, failure: "status-404", receipt: null },
    {
      ...base,
      number: 1,
      kind: "order",
      place: "a",
      status: 201,
      failure: "",
      receipt: { id: "é", member: "m", epoch: 1, byMember: "n", byEpoch: 2, replayed: true },
    },
  ];
  for (const each of requests) recorder.add(each);
  const file = join(folder, "round-trip.json");
  const frame = { schema: 1, run: "r", startedAt: 0, stoppedAt: 8, endedAt: 9, problems: ["p"] } as const;
  await recorder.write(file, frame);
  assert.deepEqual(readHistory(file), { ...frame, requests });
});

test("percentiles take the nearest rank", () => {
  assert.equal(percentile([], 0.5), 0);
  assert.equal(percentile([1, 2, 3, 4], 0.5), 2);
  assert.equal(percentile([1, 2, 3, 4], 0.99), 4);
  assert.equal(percentile([7], 0.01), 7);
});
