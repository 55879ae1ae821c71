/** Degradation levels at an edge: what each lets through, and what services and clients are told. */
import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { test } from "node:test";
import type { Level, Levels, TrafficClass } from "../../src/core/model/degradation.ts";
import type { ServiceRoute } from "../../src/core/model/routing.ts";
import { TableReader } from "../../src/edge/table-reader.ts";
import { edgeConfig, folder, startHere, until } from "./parts/edges.ts";
import { startOrigin } from "./parts/origins.ts";
import { rules, service, signed, table, target } from "./parts/tables.ts";

const classes: readonly TrafficClass[] = [
  { name: "checkout", priority: "critical", methods: ["POST"], paths: ["/checkout"] },
  { name: "crawlers", priority: "sheddable", header: { name: "x-crawler", value: null } },
  { name: "search", priority: "standard", paths: ["/search*"] },
  { name: "reports", priority: "standard", paths: ["/reports*"], divertTo: ["central"] },
];

function level(name: string, more: Partial<Level>): Level {
  return { name, mode: "rw", flags: {}, classes: {}, saves: 0, ...more };
}

const levels: Levels = {
  automatic: 0,
  flags: { recommendations: true, lite: false },
  page: { status: 200, contentType: "text/html", body: "<h1>back soon</h1>" },
  steps: [
    level("lean", {
      flags: { recommendations: false, lite: false },
      classes: { crawlers: "refuse", search: "stale", reports: "divert" },
    }),
    level("essential", {
      mode: "ro",
      flags: { recommendations: false, lite: true },
      classes: { crawlers: "refuse", checkout: "queue" },
    }),
    level("closed", { mode: "static" }),
  ],
};

interface Heard {
  readonly region: string;
  readonly method: string;
  readonly url: string;
  readonly told: Readonly<Record<string, string | undefined>>;
}

async function startShop(more: Partial<ServiceRoute> = {}) {
  const state = folder();
  const heard: Heard[] = [];
  const answer = (region: string) => (request: IncomingMessage, response: ServerResponse) => {
    const told = Object.fromEntries(
      ["level", "flags", "region", "mode"].map((name) => [
        name,
        request.headers[`x-holdfast-${name}`]?.toString(),
      ]),
    );
    heard.push({ region, method: request.method ?? "", url: request.url ?? "", told });
    response.setHeader("cache-control", "public, max-age=0");
    response.end(`${region} ${heard.length}`);
  };
  const west = await startOrigin(answer("west"));
  const central = await startOrigin(answer("central"));
  const edge = await startHere(edgeConfig(state.path));
  const targets = [target("west", west.port), target("central", central.port)];
  let generation = 0;
  /** A table in which this level is ordered, as the core would compile it. */
  const order = async (at: number) => {
    const mode = levels.steps[at - 1]?.mode ?? "rw";
    const shopRules = { ...rules, holdMaxMs: 3000, staleMaxMs: 60_000 };
    const route = service(targets, { rules: shopRules, classes, levels, level: at, mode, ...more });
    const outcome = await edge.apply(signed(table(++generation, { services: { shop: route } })));
    assert.equal(outcome.kind, "applied", outcome.because);
  };
  await order(0);
  return {
    edge,
    heard,
    order,
    async ask(path: string, init: RequestInit = {}) {
      const response = await fetch(`${edge.http}${path}`, init);
      return { status: response.status, headers: response.headers, text: await response.text() };
    },
    async [Symbol.asyncDispose]() {
      await edge[Symbol.asyncDispose]();
      await Promise.all([west[Symbol.asyncDispose](), central[Symbol.asyncDispose]()]);
      state[Symbol.dispose]();
    },
  };
}

test("services and clients are told the level, the region and the features, also at level 0", async () => {
  await using shop = await startShop();
  const normal = await shop.ask("/");
  assert.equal(normal.headers.get("x-holdfast-level"), "0");
  assert.equal(normal.headers.get("x-holdfast-region"), "west");
  assert.deepEqual(shop.heard.at(-1)?.told, {
    level: "0",
    flags: "lite=?0, recommendations=?1",
    region: "west",
    mode: "rw",
  });
  await shop.order(2);
  const degraded = await shop.ask("/", {
    headers: { "x-holdfast-level": "0", "x-holdfast-flags": "lite=?0" },
  });
  assert.equal(degraded.headers.get("x-holdfast-level"), "2");
  assert.deepEqual(shop.heard.at(-1)?.told, {
    level: "2",
    flags: "lite=?1, recommendations=?0",
    region: "west",
    mode: "ro",
  });
});

test("a class that a level refuses gets 503 with a code, and the others are served", async () => {
  await using shop = await startShop();
  await shop.order(1);
  const refused = await shop.ask("/", { headers: { "x-crawler": "1" } });
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get("content-type"), "application/problem+json");
  assert.equal(refused.headers.get("retry-after"), "10");
  const problem = JSON.parse(refused.text) as { code: string; detail: string };
  assert.equal(problem.code, "HOLDFAST_DEGRADED");
  assert.match(problem.detail, /class crawlers are left out at level 1 \(lean\)/);
  assert.equal((await shop.ask("/")).status, 200);
  assert.equal(shop.heard.length, 1);
});

test("a class that is diverted is served only where it is sent", async () => {
  await using shop = await startShop();
  assert.equal((await shop.ask("/reports/1")).headers.get("x-holdfast-region"), "west");
  await shop.order(1);
  assert.equal((await shop.ask("/reports/1")).headers.get("x-holdfast-region"), "central");
  assert.equal(shop.heard.at(-1)?.told.region, "central");
  assert.equal((await shop.ask("/")).headers.get("x-holdfast-region"), "west");
});

test("a class that is answered from what is kept asks the service once", async () => {
  await using shop = await startShop();
  await shop.order(1);
  const first = await shop.ask("/search?q=1");
  const second = await shop.ask("/search?q=1");
  assert.equal(second.text, first.text);
  assert.match(second.headers.get("cache-status") ?? "", /hit.*level 1/);
  assert.equal(shop.heard.length, 1);
  assert.notEqual((await shop.ask("/search?q=2")).text, first.text);
  await shop.order(0);
  assert.notEqual((await shop.ask("/search?q=1")).text, first.text);
});

test("read-only refuses what changes something, but a class that queues waits for the level to end", async () => {
  await using shop = await startShop();
  await shop.order(2);
  const refused = await shop.ask("/other", { method: "POST" });
  assert.equal(refused.status, 503);
  assert.match(refused.text, /HOLDFAST_READ_ONLY/);
  assert.equal((await shop.ask("/")).status, 200);
  const waiting = shop.ask("/checkout", { method: "POST" });
  await until(async () => (await shop.edge.state()).held === 1, "it waits");
  await shop.order(0);
  const served = await waiting;
  assert.equal(served.status, 200);
  assert.deepEqual(shop.heard.at(-1)?.told.level, "0");
  assert.equal(shop.heard.filter(({ method }) => method === "POST").length, 1);
});

test("static serves what is kept, then the page, and refuses what changes something", async () => {
  await using shop = await startShop();
  const kept = await shop.ask("/kept");
  await shop.order(3);
  assert.equal((await shop.ask("/kept")).text, kept.text);
  const page = await shop.ask("/never-asked");
  assert.deepEqual([page.status, page.text], [200, "<h1>back soon</h1>"]);
  assert.equal(page.headers.get("content-type"), "text/html");
  assert.equal(page.headers.get("x-holdfast-level"), "3");
  assert.match((await shop.ask("/kept", { method: "DELETE" })).text, /HOLDFAST_STATIC/);
  assert.equal(shop.heard.length, 1);
});

test("a table with a level that is none is refused, and the one before serves on", async () => {
  await using shop = await startShop();
  const wrong = { ...levels, steps: [{ ...levels.steps[0], mode: "off" }] } as unknown as Levels;
  const route = service([target("west", 1)], { levels: wrong });
  const outcome = await shop.edge.apply(signed(table(9, { services: { shop: route } })));
  assert.equal(outcome.kind, "refused");
  assert.match(outcome.because ?? "", /levels.steps.0.mode/);
  assert.equal((await shop.ask("/")).status, 200);
});

test("an order for one service costs the reading of one, whatever levels the others have", async () => {
  const reader = new TableReader();
  const at = (generation: number, level: number) => {
    const route = (order: number) => service([target("west", 1)], { classes, levels, level: order });
    const services = Object.fromEntries(
      ["a", "b", "c", "d"].map((name) => [name, route(name === "c" ? level : 0)]),
    );
    return reader.read(JSON.stringify(signed(table(generation, { services }))));
  };
  const first = await at(1, 0);
  assert.ok(first.kind === "fits");
  assert.equal(first.changed.length, 4);
  reader.adopt(first);
  const second = await at(2, 1);
  assert.ok(second.kind === "fits");
  assert.deepEqual(second.changed, ["c"]);
  assert.equal(second.signed.table.services.a, first.signed.table.services.a);
});

test("requests that find no room wait no longer than their class's latency target", async () => {
  const waiting: ServerResponse[] = [];
  await using state = await startFull(waiting, [
    { name: "search", priority: "standard", paths: ["/search*"], latencyTargetMs: 200 },
  ]);
  const refused = await fetch(`${state.edge.http}/search`);
  assert.equal(refused.status, 503);
  assert.match(await refused.text(), /every target is full; held for 20\d ms/);
  assert.match(
    await state.edge.metrics(),
    /holdfast_edge_late_total\{service="shop",region="none",class="search"\} 1\n/,
  );
});

test("when the queue is full, what matters more takes the place of what matters less", async () => {
  const waiting: ServerResponse[] = [];
  await using state = await startFull(
    waiting,
    [{ name: "checkout", priority: "critical", paths: ["/checkout"] }],
    { holdMaxCount: 2 },
  );
  const fill = Array.from({ length: 7 }, () => fetch(`${state.edge.http}/checkout`));
  await until(() => waiting.length === 64, "critical requests fill the rest");
  const standard = Array.from({ length: 2 }, () => fetch(`${state.edge.http}/other`));
  await until(async () => (await state.edge.state()).held === 2, "the queue is full");
  assert.match(await (await fetch(`${state.edge.http}/other`)).text(), /HOLDFAST_HOLD_ENDED/);
  const critical = fetch(`${state.edge.http}/checkout`);
  const displaced = await Promise.race(standard);
  assert.match(await displaced.text(), /its place in the queue went to what matters more/);
  for (let answered = 0; answered < 66; answered++) {
    await until(() => waiting.length > 0, "the next comes in");
    waiting.shift()?.end("ok");
  }
  const all = await Promise.all([critical, ...fill, ...standard]);
  assert.deepEqual(
    all.map(({ status }) => status).filter((status) => status !== 200),
    [503],
  );
});

/** A service whose first limit of 64 is full as far as standard requests may fill it. */
async function startFull(
  waiting: ServerResponse[],
  classes: readonly TrafficClass[],
  more: Partial<typeof rules> = {},
) {
  const state = folder();
  const origin = await startOrigin((_request, response) => waiting.push(response));
  const edge = await startHere(edgeConfig(state.path));
  const route = service([target("west", origin.port)], {
    rules: { ...rules, tryTimeoutMs: 10_000, ...more },
    classes,
  });
  await edge.apply(signed(table(1, { services: { shop: route } })));
  const filling = Array.from({ length: 57 }, () => fetch(`${edge.http}/fill`).catch(() => null));
  await until(() => waiting.length === 57, "standard requests fill their share");
  return {
    edge,
    async [Symbol.asyncDispose]() {
      for (const response of waiting) response.end();
      await Promise.all(filling);
      await edge[Symbol.asyncDispose]();
      await origin[Symbol.asyncDispose]();
      state[Symbol.dispose]();
    },
  };
}
