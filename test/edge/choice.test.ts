/** Which upstream a request goes to, and how upstreams are spared: over real sockets. */
import assert from "node:assert/strict";
import { Agent, request } from "node:http";
import { test } from "node:test";
import type { ServiceRoute, Target } from "../../src/core/model/routing.ts";
import type { TrafficRules } from "../../src/core/model/traffic.ts";
import { edgeConfig, folder, startHere, type TestEdge, until } from "./parts/edges.ts";
import { startOrigin, startOriginProcess } from "./parts/origins.ts";
import { rules, service, signed, table, target } from "./parts/tables.ts";

async function apply(
  edge: TestEdge,
  generation: number,
  targets: readonly Target[],
  traffic: TrafficRules,
  more: Partial<Parameters<typeof table>[1]> & { readonly rules?: Partial<ServiceRoute["rules"]> } = {},
): Promise<void> {
  const { rules: some, ...content } = more;
  const orders = service(targets, { traffic, rules: { ...rules, ...some } });
  const outcome = await edge.apply(signed(table(generation, { services: { orders }, ...content })));
  assert.equal(outcome.kind, "applied", outcome.because);
}

async function regionOf(base: string, init: RequestInit = {}): Promise<string> {
  const answer = await fetch(base, init);
  await answer.text();
  assert.equal(answer.status, 200);
  return String(answer.headers.get("x-holdfast-region"));
}

const named = (name: string) => startOrigin((_request, response) => response.end(name));
const isEjected = async (edge: TestEdge, region: string): Promise<boolean> => {
  const { upstreams } = (await edge.state()) as { upstreams: { region: string; ejected: boolean }[] };
  return upstreams.find((each) => each.region === region)?.ejected ?? false;
};

test("a session stays in its region from every edge, and only those of a region that died move, and come back", async () => {
  using here = folder();
  using there = folder();
  await using west = await named("west");
  let central = await startOriginProcess("central");
  const { port } = central;
  try {
    await using one = await startHere(edgeConfig(here.path));
    await using other = await startHere(edgeConfig(there.path, { name: "edge-central", region: "central" }));
    const targets = [target("west", west.port), target("central", port)];
    const affinity: TrafficRules = { affinity: { kind: "cookie", name: "sid" } };
    for (const edge of [one, other]) await apply(edge, 1, targets, affinity);
    const users = Array.from({ length: 30 }, (_, n) => `user-${n}`);
    const places = async (edge: TestEdge): Promise<readonly string[]> => {
      const found: string[] = [];
      for (const sid of users)
        found.push(await regionOf(edge.http, { headers: { cookie: `a=b; sid=${sid}` } }));
      return found;
    };
    const before = await places(one);
    assert.deepEqual([...new Set(before)].sort(), ["central", "west"]);
    assert.deepEqual(await places(other), before);
    await central[Symbol.asyncDispose]();
    assert.deepEqual([...new Set(await places(one))], ["west"]);
    central = await startOriginProcess("central", port);
    await until(async () => !(await isEjected(one, "central")), "central is back");
    assert.deepEqual(await places(one), before);
    assert.equal(await regionOf(one.http), "west", "without a session as ever: own region first");
  } finally {
    await central[Symbol.asyncDispose]();
  }
});

test("by latency the faster of two regions that share gets more, and the slower one its part", async () => {
  using state = folder();
  await using west = await startOrigin((_request, response) => setTimeout(() => response.end(), 30));
  await using central = await named("central");
  await using edge = await startHere(edgeConfig(state.path));
  const balance = { regions: "shared", pick: "latency", overprovisioning: 1.4, panicBelow: 0.5 } as const;
  await apply(edge, 1, [target("west", west.port), target("central", central.port)], { balance });
  const got = { west: 0, central: 0 };
  // By weight alone it would be 100 each; by latency 50 and 150. 90 is 6 standard deviations away.
  for (let n = 0; n < 200; n++) got[(await regionOf(edge.http)) as "west" | "central"]++;
  assert.ok(0 < got.west && got.west < 90, `west answered ${got.west} of 200`);
});

test("a region that returned is given its share little by little", async () => {
  using state = folder();
  await using west = await named("west");
  await using central = await named("central");
  await using edge = await startHere(edgeConfig(state.path));
  const balance = { regions: "shared", pick: "weight", overprovisioning: 1.4, panicBelow: 0.5 } as const;
  const traffic: TrafficRules = { balance, slowStartMs: 600_000 };
  const targets = [target("west", west.port), target("central", central.port)];
  const drained = { regions: { west: "drained", central: "active", east: "standby" } } as const;
  await apply(edge, 1, targets, traffic, drained);
  await apply(edge, 2, targets, traffic);
  let atWest = 0;
  // A tenth beside a whole: 18 of 200 on average, where it would be 100. 60 is 10 standard deviations away.
  for (let n = 0; n < 200; n++) if ((await regionOf(edge.http)) === "west") atWest++;
  assert.ok(0 < atWest && atWest < 60, `west answered ${atWest} of 200`);
});

test("a check of the edge's own takes an upstream out before any request fails, and lets it back in", async () => {
  using state = folder();
  let isReady = true;
  let asked = 0;
  await using west = await startOrigin((incoming, response) => {
    if (incoming.url === "/ready") {
      asked++;
      response.statusCode = isReady ? 200 : 503;
    }
    response.end("west");
  });
  await using central = await named("central");
  await using edge = await startHere(edgeConfig(state.path));
  const checks = {
    path: "/ready",
    everyMs: 100,
    jitter: 0.2,
    timeoutMs: 200,
    healthyAfter: 2,
    unhealthyAfter: 2,
  };
  // Two services on one upstream: it is asked once for both.
  const both = [target("west", west.port), target("central", central.port)];
  const stock = service(both, { traffic: { checks } });
  const orders = service(both, { traffic: { checks: { ...checks, everyMs: 60_000 } } });
  await edge.apply(signed(table(1, { services: { orders, stock } })));
  await until(() => asked >= 3, "it is asked");
  assert.equal(await regionOf(`${edge.http}/orders`), "west");
  isReady = false;
  await until(() => isEjected(edge, "west"), "it is taken out");
  assert.equal(await regionOf(`${edge.http}/orders`), "central");
  isReady = true;
  await until(async () => !(await isEjected(edge, "west")), "it is let back in");
  assert.equal(await regionOf(`${edge.http}/orders`), "west");
});

test("errors of the service itself eject where that is asked for, and never more upstreams than the share", async () => {
  using state = folder();
  const failing = () =>
    startOrigin((incoming, response) => {
      response.statusCode = incoming.url === "/healthz" ? 503 : 500;
      response.end();
    });
  await using west = await failing();
  await using central = await failing();
  await using edge = await startHere(edgeConfig(state.path));
  const outliers = {
    failures: 3,
    count: "all-5xx",
    ejectionMs: 10_000,
    ejectionMaxMs: 10_000,
    shareMax: 0.5,
  } as const;
  await apply(edge, 1, [target("west", west.port), target("central", central.port)], { outliers });
  const regions: (string | null)[] = [];
  for (let n = 0; n < 12; n++) {
    const answer = await fetch(edge.http);
    assert.equal(answer.status, 500);
    regions.push(answer.headers.get("x-holdfast-region"));
  }
  // Both failed three times by then; only the first to do so is left out.
  assert.deepEqual(regions, [...Array(3).fill("west"), ...Array(9).fill("central")]);
});

test("a bulkhead bounds requests, connections and those that wait for one; what has no room goes elsewhere", async () => {
  using state = folder();
  let waiting = 0;
  await using west = await startOrigin(() => waiting++);
  await using central = await named("central");
  await using edge = await startHere(edgeConfig(state.path));
  const targets = [target("west", west.port), target("central", central.port)];
  // Longer than whoever asks: what waited in west would never be seen to go elsewhere.
  const patient = { rules: { tryTimeoutMs: 600_000 } };
  const elsewhere = () => regionOf(edge.http, { signal: AbortSignal.timeout(5000) });
  await apply(edge, 1, targets, { bulkhead: { connections: 9, pending: 9, requests: 2 } }, patient);
  const end = new AbortController();
  const hang = () => void fetch(edge.http, { signal: end.signal }).catch(() => undefined);
  hang();
  hang();
  await until(() => waiting === 2, "two are under way");
  assert.equal(await elsewhere(), "central");
  await apply(edge, 2, targets, { bulkhead: { connections: 3, pending: 0, requests: 99 } }, patient);
  hang();
  await until(() => waiting === 3, "three connections are taken");
  assert.equal(await elsewhere(), "central", "nobody waits for a fourth");
  end.abort();
});

test("a deadline covers every try and all waiting, and services are told what is left", async () => {
  using state = folder();
  const told: number[] = [];
  const hanging = () =>
    startOrigin((incoming) => {
      told.push(Number(incoming.headers["x-holdfast-deadline-ms"]));
    });
  await using west = await hanging();
  await using central = await hanging();
  await using edge = await startHere(edgeConfig(state.path));
  const targets = [target("west", west.port), target("central", central.port)];
  await apply(edge, 1, targets, { deadlineMs: 400 }, { rules: { tryTimeoutMs: 250, holdMaxMs: 60_000 } });
  const answer = await fetch(edge.http, { headers: { "x-holdfast-deadline-ms": "99999" } });
  assert.equal(answer.status, 504);
  assert.match(await answer.text(), /HOLDFAST_DEADLINE/);
  assert.equal(told.length, 2);
  assert.ok((told[0] as number) <= 400 && (told[1] as number) <= 150, `told ${told}`);
  // What may have been done is said so, deadline or not.
  const unsafe = await fetch(edge.http, { method: "POST", body: "x" });
  assert.match(await unsafe.text(), /HOLDFAST_OUTCOME_UNKNOWN/);
});

test("a safe request that takes longer than usual is tried elsewhere too, an unsafe one never", async () => {
  using state = folder();
  let isStuck = false;
  const stuck: string[] = [];
  await using west = await startOrigin((incoming, response) => {
    if (isStuck) stuck.push(String(incoming.method));
    else response.end("west");
  });
  const atCentral: string[] = [];
  await using central = await startOrigin((incoming, response) => {
    atCentral.push(String(incoming.method));
    response.end("central");
  });
  await using edge = await startHere(edgeConfig(state.path));
  const targets = [target("west", west.port), target("central", central.port)];
  const patient = { rules: { tryTimeoutMs: 60_000 } };
  await apply(edge, 1, targets, { hedge: { after: 0.95 } }, patient);
  for (let n = 0; n < 20; n++) await regionOf(edge.http);
  isStuck = true;
  // Long before the try would be given up.
  assert.equal(await regionOf(edge.http), "central");
  const end = new AbortController();
  void fetch(edge.http, { method: "PUT", body: "x", signal: end.signal }).catch(() => undefined);
  await until(() => stuck.includes("PUT"), "it is under way");
  await apply(edge, 2, targets, {}, patient);
  void fetch(edge.http, { signal: end.signal }).catch(() => undefined);
  await until(() => stuck.filter((method) => method === "GET").length === 2, "off, it waits");
  assert.ok(!atCentral.includes("PUT"));
  end.abort();
});

test("in a drained region clients are asked to leave with their next answer, and all is over at the hard end", async () => {
  using state = folder();
  let isHanging = false;
  await using west = await startOrigin((_request, response) => {
    if (!isHanging) response.end("west");
  });
  await using central = await named("central");
  await using edge = await startHere(edgeConfig(state.path, { drainMs: 300 }));
  const targets = [target("west", west.port), target("central", central.port)];
  const patient = { rules: { tryTimeoutMs: 60_000 } };
  await apply(edge, 1, targets, {}, patient);
  using agent = disposable(new Agent({ keepAlive: true, maxSockets: 1 }));
  assert.equal((await get(edge.http, agent.agent)).connection, "keep-alive");
  isHanging = true;
  const underWay = fetch(edge.http);
  await until(async () => /"inFlight":1/.test(JSON.stringify(await edge.state())), "one hangs in west");
  const drained = { regions: { west: "drained", central: "active", east: "standby" } } as const;
  await apply(edge, 2, targets, {}, { ...patient, ...drained });
  const last = await get(edge.http, agent.agent);
  assert.deepEqual([last.connection, last.region], ["close", "central"]);
  assert.equal((await get(edge.http, agent.agent)).connection, "keep-alive", "who comes anew may stay");
  // The hard end took its try away; it was safe to repeat.
  assert.equal((await underWay).headers.get("x-holdfast-region"), "central");
});

test("a client that is still waiting at the hard end of a drained region is cut off", async () => {
  using state = folder();
  let hanging = 0;
  await using west = await startOrigin(() => hanging++);
  await using edge = await startHere(edgeConfig(state.path, { drainMs: 100, graceMs: 100 }));
  const targets = [target("west", west.port)];
  const patient = { rules: { tryTimeoutMs: 60_000 } };
  const standby = { regions: { west: "active", central: "active", east: "standby" } } as const;
  await apply(edge, 1, targets, {}, { ...patient, ...standby });
  const cutOff = assert.rejects(fetch(edge.http));
  await until(() => hanging === 1, "it hangs");
  await apply(edge, 2, targets, {}, { ...patient, regions: { ...standby.regions, west: "draining" } });
  await cutOff;
});

function disposable(agent: Agent): Disposable & { readonly agent: Agent } {
  return { agent, [Symbol.dispose]: () => agent.destroy() };
}

function get(base: string, agent: Agent): Promise<{ readonly connection: string; readonly region: string }> {
  return new Promise((resolve, reject) => {
    const asked = request(base, { agent }, (response) => {
      const { connection = "keep-alive", "x-holdfast-region": region } = response.headers;
      response.resume().on("end", () => resolve({ connection, region: String(region) }));
    });
    asked.on("error", reject).end();
  });
}
