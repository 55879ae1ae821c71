/** A real HAProxy under the contract of the port `router`. */
import assert from "node:assert/strict";
import { get } from "node:http";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { HaproxyRouter, type TableRules } from "../../../src/adapters/haproxy/haproxy-router.ts";
import { type HaproxyLayout, socketPathOf } from "../../../src/adapters/haproxy/layout.ts";
import { prepareFiles } from "../../../src/adapters/haproxy/prepare.ts";
import { RuntimeSocket } from "../../../src/adapters/haproxy/runtime-socket.ts";
import { accept } from "../../../src/core/traffic/accept.ts";
import { orderTargets } from "../../../src/core/traffic/choose.ts";
import { sha256, verifyTable } from "../../../src/edge/signature.ts";
import { type RouterPlace, type RouterPlaceRequest, routerContract } from "../../contract/router.ts";
import { folder, until } from "../../edge/parts/edges.ts";
import { startOrigin } from "../../edge/parts/origins.ts";
import { keys, rules, service, signed, table, target } from "../../edge/parts/tables.ts";
import { freePort, skip, startHaproxy } from "./place.ts";

const tableRules: TableRules = {
  verify: (signedTable) => verifyTable(signedTable, keys),
  accept: (current, next) => accept(current, next, sha256),
  order: (of, { targets, allow }) =>
    orderTargets({ table: of, targets, allow, ownRegion: "west", isEjected: () => false }),
};

interface HaproxyPlace extends RouterPlace {
  readonly layout: HaproxyLayout;
  open(): Promise<HaproxyRouter>;
}

async function newPlace({ origins }: RouterPlaceRequest): Promise<HaproxyPlace> {
  const state = folder();
  const targets = Object.entries(origins).map(([region, port]) => target(region, port));
  const layout: HaproxyLayout = {
    name: "haproxy-west",
    region: "west",
    bind: { host: "127.0.0.1", port: await freePort() },
    folder: state.path,
    services: [{ name: "orders", targets, tryTimeoutMs: 3000 }],
  };
  await prepareFiles(layout);
  let haproxy = await startHaproxy(layout).catch((error: unknown) => {
    state[Symbol.dispose]();
    throw error;
  });
  return {
    layout,
    open: async () => new HaproxyRouter(layout, tableRules),
    base: () => `http://127.0.0.1:${layout.bind.port}`,
    restart: async () => {
      await haproxy[Symbol.asyncDispose]();
      haproxy = await startHaproxy(layout);
    },
    remove: async () => {
      await haproxy[Symbol.asyncDispose]();
      state[Symbol.dispose]();
    },
  };
}

routerContract("haproxy", newPlace, skip);

test("what somebody changed by hand at HAProxy is found and mended", { skip }, async () => {
  await using west = await startOrigin((_request, response) => response.end("west"));
  await using central = await startOrigin((_request, response) => response.end("central"));
  const place = await newPlace({ origins: { west: west.port, central: central.port } });
  const soon = () => AbortSignal.timeout(3000);
  try {
    const router = await place.open();
    const route = service([target("west", west.port), target("central", central.port)]);
    await router.apply(signed(table(1, { services: { orders: route } })), soon());
    const drift = async () => (await router.look(soon())).drift;
    assert.deepEqual(await drift(), []);
    const socket = new RuntimeSocket(socketPathOf(place.layout));
    await socket.order("set server service-orders/west-1 state maint", soon());
    assert.deepEqual(await drift(), ["service-orders/west-1 is not ready"]);
    await router.current(soon());
    assert.deepEqual(await drift(), []);
  } finally {
    await place.remove();
  }
});

test("what is under way in a region that is drained may finish", { skip }, async () => {
  let finish: (() => void) | null = null;
  await using west = await startOrigin((_request, response) => {
    finish = () => response.end("finished");
  });
  await using central = await startOrigin((_request, response) => response.end("central"));
  const place = await newPlace({ origins: { west: west.port, central: central.port } });
  const soon = () => AbortSignal.timeout(3000);
  try {
    const router = await place.open();
    const patient = { ...rules, tryTimeoutMs: 5000 };
    const both = service([target("west", west.port), target("central", central.port)], { rules: patient });
    await router.apply(signed(table(1, { services: { orders: both } })), soon());
    const underWay = fetch(place.base(), { method: "POST", body: "x" });
    await until(() => finish !== null, "it is under way");
    const drained = { west: "drained", central: "active", east: "standby" } as const;
    await router.apply(signed(table(2, { services: { orders: both }, regions: drained })), soon());
    assert.equal(await (await fetch(place.base())).text(), "central");
    finish!();
    assert.equal(await (await underWay).text(), "finished");
  } finally {
    await place.remove();
  }
});

test("a table that names a place without a slot is refused", { skip }, async () => {
  const place = await newPlace({ origins: { west: 1 } });
  try {
    const router = await place.open();
    const route = service([target("west", 1), target("central", 2)]);
    const outcome = await router.apply(
      signed(table(1, { services: { orders: route } })),
      AbortSignal.timeout(3000),
    );
    assert.equal(outcome.kind, "refused");
  } finally {
    await place.remove();
  }
});

test("with HAProxy gone the outcome is unknown, and the next start goes by the table", { skip }, async () => {
  await using west = await startOrigin((_request, response) => response.end("west"));
  const place = await newPlace({ origins: { west: west.port } });
  const router = await place.open();
  const next = signed(table(1, { services: { orders: service([target("west", west.port)]) } }));
  try {
    await router.apply(next, AbortSignal.timeout(3000));
    await place.restart();
    assert.equal((await router.apply(next, AbortSignal.timeout(3000))).kind, "unchanged");
  } finally {
    await place.remove();
  }
  assert.equal((await router.apply(next, AbortSignal.timeout(300))).kind, "unknown");
});

test("a thousand services fit, each found by host and by path, and a table of them is applied", {
  skip,
}, async () => {
  await using west = await startOrigin((request, response) => response.end(`west ${request.url}`));
  using state = folder();
  // Only two of them lead anywhere: the checks of a thousand would be the load of this test.
  const targetsOf = (name: string) => [target("west", /-(0|999)$/.test(name) ? west.port : 1)];
  const names = Array.from({ length: 1000 }, (_, n) => `shop-${n}`);
  const bind = { host: "127.0.0.1", port: await freePort() };
  const services = names.map((name) => ({ name, targets: targetsOf(name), tryTimeoutMs: 3000 }));
  const layout: HaproxyLayout = { name: "haproxy-west", region: "west", bind, folder: state.path, services };
  await prepareFiles(layout);
  await using _haproxy = await startHaproxy(layout);
  const router = new HaproxyRouter(layout, tableRules);
  const routes = Object.fromEntries(names.map((name) => [name, service(targetsOf(name))]));
  const outcome = await router.apply(signed(table(1, { services: routes })), AbortSignal.timeout(30_000));
  assert.deepEqual(outcome, { kind: "applied", generation: 1 });
  assert.deepEqual((await router.look(AbortSignal.timeout(30_000))).drift, []);
  const ask = (host: string, path: string) =>
    new Promise<string>((resolve, reject) => {
      const options = { host: "127.0.0.1", port: bind.port, path, headers: { host } };
      get(options, (response) => void text(response).then(resolve, reject)).on("error", reject);
    });
  assert.equal(await ask("shop-999.example:80", "/x"), "west /x");
  assert.equal(await ask("127.0.0.1", "/shop-0/y"), "west /shop-0/y");
  assert.match(await ask("stranger.example", "/z"), /HOLDFAST_OFF/);
});
