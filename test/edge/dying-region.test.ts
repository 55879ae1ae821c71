/** A region dies under load: what servers are offered stays below 1.2 times what people ask for, and below their limits. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Pool } from "undici";
import type { TrafficRules } from "../../src/core/model/traffic.ts";
import { edgeConfig, folder, startHere, until } from "./parts/edges.ts";
import { type Listener, startOrigin, startOriginProcess } from "./parts/origins.ts";
import { service, signed, table, target } from "./parts/tables.ts";

const limit = 20;
const bulkhead: TrafficRules = { bulkhead: { connections: limit, pending: 64, requests: limit } };

/** Counts what it is offered, all in all and at once, before it does anything else. */
function counted(listener: Listener): {
  readonly listener: Listener;
  readonly seen: { all: number; most: number };
} {
  const seen = { all: 0, most: 0 };
  let now = 0;
  return {
    seen,
    listener: (request, response) => {
      seen.all++;
      seen.most = Math.max(seen.most, ++now);
      response.on("close", () => now--);
      return listener(request, response);
    },
  };
}

/** `clients` at once, one GET after the other, `total` in all: statuses, and tries that answers tell of. */
async function load(
  base: string,
  clients: number,
  total: number,
  onAnswer: (count: number) => void = () => undefined,
) {
  const pool = new Pool(base, { connections: clients });
  const statuses = new Map<number, number>();
  let [begun, answered, tries] = [0, 0, 0];
  const one = async (): Promise<void> => {
    while (begun < total) {
      begun++;
      const { statusCode, headers, body } = await pool.request({ method: "GET", path: "/" });
      await body.dump();
      statuses.set(statusCode, (statuses.get(statusCode) ?? 0) + 1);
      tries += Number(headers["x-holdfast-tries"]);
      onAnswer(++answered);
    }
  };
  try {
    await Promise.all(Array.from({ length: clients }, one));
  } finally {
    await pool.destroy();
  }
  return { statuses, tries };
}

/** Three a second, remembered for ten: what may be sent again beside a fifth of the requests, see `RetryLedger`. */
const floor = 30;

/** Both regions serve, and after a quarter of 4000 requests `west` gets the signal. Then: what came of them. */
async function loseUnderLoad(signal: NodeJS.Signals, central: Listener) {
  using state = folder();
  await using west = await startOriginProcess("west");
  const { listener, seen } = counted(central);
  await using other = await startOrigin(listener);
  await using edge = await startHere(edgeConfig(state.path));
  const route = service([target("west", west.port), target("central", other.port)], { traffic: bulkhead });
  await edge.apply(signed(table(1, { services: { orders: route } })));
  const total = 4000;
  const { statuses, tries } = await load(edge.http, 64, total, (count) => {
    if (count === total / 4) west.child.kill(signal);
  });
  return { total, statuses, tries, central: seen };
}

test("a region that dies under load: nothing fails, retries stay below 1.2, the other is not offered more than its limit", async () => {
  const lost = await loseUnderLoad("SIGKILL", (_request, response) =>
    setTimeout(() => response.end("central"), 2),
  );
  assert.deepEqual([...lost.statuses], [[200, lost.total]]);
  assert.ok(lost.tries <= 1.2 * lost.total, `${lost.tries} tries for ${lost.total} requests`);
  assert.ok(lost.central.all > 1000, "the other took over");
  assert.ok(lost.central.most <= limit, `${lost.central.most} at once`);
});

test("a region that falls silent under load: nothing fails, retries stay below 1.2", async () => {
  const lost = await loseUnderLoad("SIGSTOP", (_request, response) => response.end("central"));
  assert.deepEqual([...lost.statuses], [[200, lost.total]]);
  assert.ok(lost.tries <= 1.2 * lost.total, `${lost.tries} tries for ${lost.total} requests`);
  assert.ok(lost.central.most <= limit, `${lost.central.most} at once`);
});

test("regions that refuse at once are not offered more than 1.2 times what is asked, though no breaker opens", async () => {
  using state = folder();
  // Two bad answers, then a good one: never three failures in a row.
  const grey = (): ReturnType<typeof counted> => {
    let n = 0;
    return counted((_request, response) => {
      response.statusCode = n++ % 3 === 0 ? 200 : 502;
      response.end();
    });
  };
  const [one, other] = [grey(), grey()];
  await using west = await startOrigin(one.listener);
  await using central = await startOrigin(other.listener);
  await using edge = await startHere(edgeConfig(state.path));
  const route = service([target("west", west.port), target("central", central.port)]);
  await edge.apply(signed(table(1, { services: { orders: route } })));
  const total = 3000;
  const { statuses } = await load(edge.http, 8, total);
  const offered = one.seen.all + other.seen.all;
  assert.ok(offered <= 1.2 * total + floor, `${offered} offered for ${total} requests`);
  assert.ok(offered > 1.1 * total, `${offered}: what may be repeated is`);
  assert.deepEqual([...statuses.keys()].sort(), [200, 502]);
});

test("a hedge counts as a repeat: with everything slow there are no more of them than the budget allows", async () => {
  using state = folder();
  let isSlow = false;
  const answer: Listener = (_request, response) => setTimeout(() => response.end("ok"), isSlow ? 40 : 0);
  const [one, other] = [counted(answer), counted(answer)];
  await using west = await startOrigin(one.listener);
  await using central = await startOrigin(other.listener);
  await using edge = await startHere(edgeConfig(state.path));
  const route = service([target("west", west.port), target("central", central.port)], {
    traffic: { hedge: { after: 0.9 } },
  });
  await edge.apply(signed(table(1, { services: { orders: route } })));
  const total = 2000;
  await load(edge.http, 16, total, (count) => {
    if (count === 500) isSlow = true;
  });
  await until(async () => /hedges_total [1-9]/.test(await edge.metrics()), "some were hedged");
  const offered = one.seen.all + other.seen.all;
  assert.ok(offered <= 1.2 * total + floor, `${offered} offered for ${total} requests`);
});
