/** An edge that takes a level by itself: a region is lost, the rest cannot carry the load, and later they can again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Level, Levels } from "../../src/core/model/degradation.ts";
import type { ServiceRoute } from "../../src/core/model/routing.ts";
import { ServiceLevel } from "../../src/edge/levels.ts";
import { Metrics } from "../../src/edge/metrics.ts";
import { ServicePlans } from "../../src/edge/service-plan.ts";
import { edgeConfig, folder, startHere, until } from "./parts/edges.ts";
import { startOrigin } from "./parts/origins.ts";
import { rules, service, signed, table, target } from "./parts/tables.ts";

const step: Level = { name: "lean", mode: "rw", flags: { heavy: false }, classes: {}, saves: 0.5 };
const levels: Levels = { automatic: 1, flags: { heavy: true }, page: null, steps: [step] };

test("an edge takes a level when the regions left cannot carry the load, tells it, and stays within what is allowed", async () => {
  using state = folder();
  const told: string[] = [];
  await using west = await startOrigin((request, response) => {
    told.push(`${request.headers["x-holdfast-level"]} ${request.headers["x-holdfast-flags"]}`);
    response.end("west");
  });
  await using edge = await startHere(edgeConfig(state.path));
  const gone = await startOrigin((_request, response) => response.end());
  await gone[Symbol.asyncDispose]();
  const route = service([target("central", gone.port), target("west", west.port)], {
    rules,
    levels,
    level: 0,
    // Two regions carry it with ease, west alone does not carry twenty requests a second.
    capacity: [
      { region: "west", rps: 10, edges: 1 },
      { region: "central", rps: 100_000, edges: 1 },
    ],
  });
  await edge.apply(
    signed(table(1, { regions: { west: "standby", central: "active" }, services: { shop: route } })),
  );
  const ending = new AbortController();
  const load = (async () => {
    while (!ending.signal.aborted) {
      await fetch(`${edge.http}/`).then((answer) => answer.text());
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  try {
    await until(
      async () => (await fetch(`${edge.http}/`)).headers.get("x-holdfast-level") === "1",
      "it takes level 1",
      20_000,
    );
    assert.match(await edge.metrics(), /holdfast_edge_level_automatic\{service="shop"\} 1\n/);
    assert.match(await edge.metrics(), /holdfast_edge_level_changes_total\{service="shop",to="up"\} 1\n/);
    assert.equal(told[0], "0 heavy=?1");
    assert.equal(told.at(-1), "1 heavy=?0");
    // Allowed no more, it is back at once; and the level of a person stands beside it.
    const none = { ...route, levels: { ...levels, automatic: 0 } };
    await edge.apply(signed(table(2, { services: { shop: none } })));
    assert.equal((await fetch(`${edge.http}/`)).headers.get("x-holdfast-level"), "0");
    await edge.apply(signed(table(3, { services: { shop: { ...none, level: 1 } } })));
    assert.equal((await fetch(`${edge.http}/`)).headers.get("x-holdfast-level"), "1");
  } finally {
    ending.abort();
    await load;
  }
});

/** A service of this edge, looked at once a second by the test instead of by the clock. */
function shopAt(route: ServiceRoute) {
  const plans = new ServicePlans("west", new Metrics(), 30_000);
  let generation = 0;
  const follow = (next: ServiceRoute) => plans.follow(table(++generation, { services: { shop: next } }));
  follow(route);
  const plan = plans.find("shop", "/");
  assert.ok(plan);
  const level = new ServiceLevel(plan);
  let second = 0;
  return {
    level,
    follow,
    /** The level after so many seconds with so many requests each. */
    after(seconds: number, requests: number, beside = 0): number {
      for (let look = 0; look < seconds; look++) {
        for (let request = 0; request < requests; request++) level.came();
        second++;
        level.look(second * 1000, 1000, beside);
      }
      return level.stand.level;
    },
    [Symbol.dispose]: () => plans.close(),
  };
}

const carried = { levels, level: 0, capacity: [{ region: "west", rps: 100, edges: 1 }] };

test("it goes back when the load has been gone for a while, and what a person ordered stays", () => {
  using shop = shopAt(service([target("west", 1)], carried));
  assert.equal(shop.after(10, 90), 0);
  assert.equal(shop.after(10, 150), 1);
  assert.equal(shop.after(25, 20), 1);
  assert.equal(shop.after(15, 20), 0);
  shop.follow(service([target("west", 1)], { ...carried, level: 1 }));
  assert.equal(shop.after(100, 20), 1);
  assert.equal(shop.level.automatic, 0);
});

test("what other processes of the edge are offered counts too", () => {
  using shop = shopAt(service([target("west", 1)], carried));
  assert.equal(shop.after(10, 60), 0);
  assert.equal(shop.after(10, 60, 60), 1);
});

test("a service that is given levels is not taken to task for what came before", () => {
  using shop = shopAt(service([target("west", 1)]));
  for (let request = 0; request < 100_000; request++) shop.level.came();
  shop.follow(service([target("west", 1)], carried));
  assert.equal(shop.after(10, 50), 0);
});
