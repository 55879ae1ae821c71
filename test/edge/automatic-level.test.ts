/** An edge that takes a level by itself: a region is lost, the rest cannot carry the load, and later they can again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Level, Levels } from "../../src/core/model/degradation.ts";
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
