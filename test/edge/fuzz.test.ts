/** Malformed requests by the thousand, from a seed: the edge lives, forgets them, and passes on nothing broken. `bench:fuzz` sends a million. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { edgeConfig, folder, startProcess, until } from "./parts/edges.ts";
import { fuzz } from "./parts/fuzz.ts";
import { startStrictService } from "./parts/strict-service.ts";
import { rules, service, signed, table, target } from "./parts/tables.ts";

test("after 5,000 malformed requests an edge answers as before, holds nothing, and its service heard nothing malformed", async () => {
  using state = folder();
  const strict = await startStrictService();
  await using edge = await startProcess(edgeConfig(state.path));
  const route = service([target("west", strict.port)], { rules: { ...rules, holdMaxMs: 200 } });
  await edge.apply(signed(table(1, { services: { orders: route } })));
  try {
    const { answers, requests } = await fuzz({
      port: Number(new URL(edge.http).port),
      seed: 20261121,
      requests: 5000,
      clients: 32,
      forMs: 60_000,
      everyRequests: 5000,
      onProgress: () => undefined,
    });
    assert.ok(5000 <= requests, `${requests} in a minute`);
    for (const status of ["200", "400", "501", "505"])
      assert.ok((answers[status] ?? 0) > 0, JSON.stringify(answers));
    assert.equal(answers["500"], undefined);
    assert.equal(edge.child.exitCode, null);
    await until(
      async () => /holdfast_edge_connections 0\n/.test(await edge.metrics()),
      "no connection is left",
    );
    const { held, upstreams } = (await edge.state()) as { held: number; upstreams: { inFlight: number }[] };
    assert.deepEqual([held, upstreams.map(({ inFlight }) => inFlight)], [0, [0]]);
    assert.equal(await (await fetch(edge.http)).text(), "ok");
    assert.deepEqual(strict.malformed, []);
  } finally {
    await strict.stop();
  }
});
