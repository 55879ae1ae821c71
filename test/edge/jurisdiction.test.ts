/** Whose request it is decides where it is served, over real sockets: nothing widens it, and nobody else's region helps out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestSovereignty, TrafficRules } from "../../src/core/model/traffic.ts";
import { edgeConfig, folder, startHere, type TestEdge, until } from "./parts/edges.ts";
import { type Origin, startOrigin } from "./parts/origins.ts";
import { rules, service, signed, table, target } from "./parts/tables.ts";

const limits: RequestSovereignty["limits"] = [
  { when: { kind: "header", name: "X-Tenant", value: "acme" }, regions: ["central"] },
  { when: { kind: "path", prefix: "/eu" }, regions: ["central"] },
];

interface World extends AsyncDisposable {
  readonly west: Origin;
  readonly central: Origin;
  readonly edge: TestEdge;
  /** Paths that came to west, which is the edge's own region and may not see what central alone may. */
  readonly atWest: string[];
  apply(
    generation: number,
    more?: Partial<Parameters<typeof table>[1]>,
    traffic?: TrafficRules,
  ): Promise<void>;
}

async function startWorld(others: RequestSovereignty["others"] = "allow"): Promise<World> {
  const stack = new AsyncDisposableStack();
  const state = folder();
  stack.defer(() => state[Symbol.dispose]());
  const atWest: string[] = [];
  const west = stack.use(
    await startOrigin((request, response) => {
      atWest.push(String(request.url));
      response.writeHead(200, { "cache-control": "max-age=0, stale-if-error=60", "content-length": 4 });
      response.end("west");
    }),
  );
  const central = stack.use(await startOrigin((_request, response) => response.end("central")));
  const edge = stack.use(await startHere(edgeConfig(state.path)));
  const targets = [target("west", west.port), target("central", central.port)];
  const apply: World["apply"] = async (generation, more = {}, traffic = {}) => {
    const orders = service(targets, {
      rules: { ...rules, holdMaxMs: 300, staleMaxMs: 60_000 },
      traffic: { sovereignty: { limits, others }, ...traffic },
    });
    const outcome = await edge.apply(signed(table(generation, { services: { orders }, ...more })));
    assert.equal(outcome.kind, "applied", outcome.because);
  };
  await apply(1);
  return { west, central, edge, atWest, apply, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

async function ask(base: string, path: string, headers: Record<string, string> = {}) {
  const answer = await fetch(`${base}${path}`, { headers });
  const text = await answer.text();
  return { status: answer.status, region: answer.headers.get("x-holdfast-region"), text };
}

const acme = { "x-tenant": "acme" };

test("a request goes where its tenant or its path may be served, whatever else it says", async () => {
  await using world = await startWorld();
  const { edge } = world;
  assert.equal((await ask(edge.http, "/1")).region, "west");
  assert.equal((await ask(edge.http, "/2", acme)).region, "central");
  assert.equal((await ask(edge.http, "/eu/3")).region, "central");
  assert.equal((await ask(edge.http, "/%65u/4")).region, "central");
  const more = {
    ...acme,
    "x-forwarded-for": "10.0.0.1",
    "x-holdfast-region": "west",
    forwarded: "for=10.0.0.1",
  };
  assert.equal((await ask(edge.http, "/5", more)).region, "central");
  assert.deepEqual(world.atWest, ["/1"]);
});

test("with its regions drained a request is refused by its own code, and the others are served", async () => {
  await using world = await startWorld();
  await world.apply(2, { regions: { west: "active", central: "drained", east: "standby" } });
  const refused = await ask(world.edge.http, "/a", acme);
  assert.equal(refused.status, 503);
  assert.match(
    refused.text,
    /HOLDFAST_JURISDICTION_GONE.*central only|central only.*HOLDFAST_JURISDICTION_GONE/,
  );
  assert.equal((await ask(world.edge.http, "/b")).region, "west");
  assert.deepEqual(world.atWest, ["/b"]);
  await world.apply(3);
  assert.equal((await ask(world.edge.http, "/c", acme)).region, "central");
});

test("with its region dead a request waits and fails there, also in a panic, and is not answered from what was kept elsewhere", async () => {
  await using world = await startWorld();
  const balance = { regions: "shared", pick: "latency", overprovisioning: 1.4, panicBelow: 1 } as const;
  await world.apply(2, {}, { balance, affinity: { kind: "header", name: "x-tenant" } });
  // West answers this path to others, and the edge keeps it for worse times.
  await until(async () => (await ask(world.edge.http, "/kept")).region === "west", "west answers", 5000);
  await world.central[Symbol.asyncDispose]();
  const seen = world.atWest.length;
  for (let n = 0; n < 5; n++) {
    const answer = await ask(world.edge.http, "/kept", acme);
    assert.equal(answer.status, 503);
    assert.match(answer.text, /HOLDFAST_HOLD_ENDED/);
  }
  assert.equal(world.atWest.length, seen);
});

test("what no limit speaks of is refused where one must, and so is what two limits exclude", async () => {
  await using world = await startWorld("refuse");
  const refused = await ask(world.edge.http, "/1");
  assert.equal(refused.status, 403);
  assert.match(refused.text, /HOLDFAST_JURISDICTION_NONE/);
  assert.equal((await ask(world.edge.http, "/2", acme)).region, "central");
  assert.deepEqual(world.atWest, []);
});

test("a table with a limit that cannot be read is refused as a whole", async () => {
  await using world = await startWorld();
  for (const when of [
    { kind: "network", cidr: "10.0.0.0/99" },
    { kind: "moon", phase: "full" },
  ]) {
    const traffic = {
      sovereignty: { limits: [{ when, regions: ["west"] }], others: "allow" },
    } as TrafficRules;
    const orders = service([target("west", world.west.port)], { traffic });
    const outcome = await world.edge.apply(signed(table(9, { services: { orders } })));
    assert.equal(outcome.kind, "refused");
    assert.match(outcome.because ?? "", /table\.services\.orders\.traffic\.sovereignty/);
  }
});
