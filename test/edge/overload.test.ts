/** More than a service can take: what matters most is kept alive, what matters least is refused at once. */
import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { test } from "node:test";
import { Pool } from "undici";
import type { ClassifiedRoute } from "../../src/core/traffic/classes.ts";
import { edgeConfig, folder, startHere, until } from "./parts/edges.ts";
import { startOrigin } from "./parts/origins.ts";
import { service, signed, table, target } from "./parts/tables.ts";

const classes: ClassifiedRoute["classes"] = [
  { name: "checkout", priority: "critical", pathPrefix: "/checkout" },
  { name: "crawl", priority: "sheddable", pathPrefix: "/crawl" },
];

test("a full service refuses what is sheddable, holds what is standard, and takes what is critical", async () => {
  using state = folder();
  const waiting: ServerResponse[] = [];
  await using west = await startOrigin((_request, response) => waiting.push(response));
  await using edge = await startHere(edgeConfig(state.path));
  const rules = { ...service([]).rules, tryTimeoutMs: 10_000 };
  const route: ClassifiedRoute = { ...service([target("west", west.port)], { rules }), classes };
  await edge.apply(signed(table(1, { services: { orders: route } })));
  const pool = new Pool(edge.http, { connections: 200 });
  const ask = async (path: string) => {
    const answer = await pool.request({ method: "GET", path });
    return { status: answer.statusCode, text: await answer.body.text() };
  };
  try {
    // The first limit is 64: 57 of it are for standard requests, 44 for sheddable ones.
    const asked = Array.from({ length: 70 }, () => ask("/standard"));
    await until(() => waiting.length === 57, "standard requests fill their share");
    const shed = await ask("/crawl/1");
    assert.equal(shed.status, 503);
    assert.match(shed.text, /HOLDFAST_SHED/);
    const critical = Array.from({ length: 7 }, () => ask("/checkout"));
    await until(() => waiting.length === 64, "critical requests are let in");
    await until(async () => ((await edge.state()) as { held: number }).held === 13, "the others are held");
    for (let answered = 0; answered < 77; answered++) {
      await until(() => waiting.length > 0, "the next comes in");
      waiting.shift()?.end("ok");
    }
    const all = await Promise.all([...asked, ...critical]);
    assert.deepEqual([...new Set(all.map(({ status }) => status))], [200]);
    assert.equal(
      (
        await Promise.all([
          ask("/crawl/2"),
          until(() => waiting.length > 0, "it comes in").then(() => waiting.shift()?.end()),
        ])
      )[0].status,
      200,
    );
  } finally {
    await pool.destroy();
  }
});

test("when a region is full, requests spill to the next", async () => {
  using state = folder();
  const waiting: ServerResponse[] = [];
  await using west = await startOrigin((_request, response) => waiting.push(response));
  await using central = await startOrigin((_request, response) => response.end("central"));
  await using edge = await startHere(edgeConfig(state.path));
  const rules = { ...service([]).rules, tryTimeoutMs: 10_000 };
  const route = service([target("west", west.port), target("central", central.port)], { rules });
  await edge.apply(signed(table(1, { services: { orders: route } })));
  const pool = new Pool(edge.http, { connections: 100 });
  try {
    const asked = Array.from({ length: 57 }, () => pool.request({ method: "GET", path: "/" }));
    await until(() => waiting.length === 57, "west is full");
    const spilt = await pool.request({ method: "GET", path: "/" });
    assert.equal(await spilt.body.text(), "central");
    for (const response of waiting) response.end("west");
    for (const answer of await Promise.all(asked)) assert.equal(await answer.body.text(), "west");
  } finally {
    await pool.destroy();
  }
});

test("what a full region cannot take is not tried at one that is known to be gone", async () => {
  using state = folder();
  const waiting: ServerResponse[] = [];
  const west = await startOrigin((_request, response) => response.end("west"));
  await using central = await startOrigin((request, response) =>
    request.url === "/healthz" ? response.end() : waiting.push(response),
  );
  await using edge = await startHere(edgeConfig(state.path));
  const rules = { ...service([]).rules, tryTimeoutMs: 10_000 };
  const targets = [target("west", west.port), target("central", central.port)];
  const route: ClassifiedRoute = { ...service(targets, { rules }), classes };
  await edge.apply(signed(table(1, { services: { orders: route } })));
  const pool = new Pool(edge.http, { connections: 100 });
  try {
    await west[Symbol.asyncDispose]();
    const asked = Array.from({ length: 57 }, () => pool.request({ method: "GET", path: "/" }));
    await until(() => waiting.length === 57, "central is full");
    const isEjected = async () =>
      ((await edge.state()) as { upstreams: { region: string; ejected: boolean }[] }).upstreams.some(
        ({ region, ejected }) => region === "west" && ejected,
      );
    await until(isEjected, "west is ejected");
    const shed = await pool.request({ method: "GET", path: "/crawl/1" });
    assert.match(await shed.body.text(), /HOLDFAST_SHED/);
    assert.equal(shed.headers["x-holdfast-tries"], "0");
    for (const response of waiting) response.end("central");
    for (const answer of await Promise.all(asked)) assert.equal(await answer.body.text(), "central");
  } finally {
    await pool.destroy();
  }
});
