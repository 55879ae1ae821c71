/** A real HAProxy under the contract of the port `router`. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { test } from "node:test";
import {
  HaproxyRouter,
  prepareFiles,
  type TableRules,
} from "../../../src/adapters/haproxy/haproxy-router.ts";
import { configText, type HaproxyLayout, socketPathOf } from "../../../src/adapters/haproxy/layout.ts";
import { RuntimeSocket } from "../../../src/adapters/haproxy/runtime-socket.ts";
import { accept } from "../../../src/core/traffic/accept.ts";
import { orderTargets } from "../../../src/core/traffic/choose.ts";
import { sha256, verifyTable } from "../../../src/edge/signature.ts";
import { type RouterPlace, type RouterPlaceRequest, routerContract } from "../../contract/router.ts";
import { folder, until } from "../../edge/parts/edges.ts";
import { startOrigin } from "../../edge/parts/origins.ts";
import { keys, rules, service, signed, table, target } from "../../edge/parts/tables.ts";

const tableRules: TableRules = {
  verify: (signedTable) => verifyTable(signedTable, keys),
  accept: (current, next) => accept(current, next, sha256),
  order: (of, targets) =>
    orderTargets({
      table: of,
      targets,
      allow: ["west", "central", "east"],
      ownRegion: "west",
      isEjected: () => false,
    }),
};

interface HaproxyPlace extends RouterPlace {
  readonly layout: HaproxyLayout;
  open(): Promise<HaproxyRouter>;
}

async function newPlace({ origins }: RouterPlaceRequest): Promise<HaproxyPlace> {
  const state = folder();
  const targets = Object.entries(origins).map(([region, port]) => target(region, port));
  const layout: HaproxyLayout = {
    region: "west",
    bind: { host: "127.0.0.1", port: await freePort() },
    folder: state.path,
    services: [{ name: "orders", targets, tryTimeoutMs: 3000 }],
  };
  await prepareFiles(layout, configText(layout));
  const start = async (): Promise<ChildProcess> => {
    const child = spawn("haproxy", ["-db", "-f", `${state.path}/haproxy.cfg`], { stdio: "ignore" });
    const socket = new RuntimeSocket(socketPathOf(layout));
    const answers = () => socket.ask("show info", AbortSignal.timeout(1000)).then(Boolean, () => false);
    try {
      await until(async () => child.exitCode !== null || (await answers()), "HAProxy answers on its socket");
      assert.equal(child.exitCode, null, "HAProxy does not start with its configuration");
    } catch (error) {
      await stop(child);
      state[Symbol.dispose]();
      throw error;
    }
    return child;
  };
  const stop = async (child: ChildProcess): Promise<void> => {
    if (child.exitCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  };
  let child = await start();
  return {
    layout,
    open: async () => new HaproxyRouter(layout, tableRules),
    base: () => `http://127.0.0.1:${layout.bind.port}`,
    restart: async () => {
      await stop(child);
      child = await start();
    },
    remove: async () => {
      await stop(child);
      state[Symbol.dispose]();
    },
  };
}

const isMissing = spawnSync("haproxy", ["-v"]).error !== undefined;
const skip = isMissing && "haproxy is not installed: run scripts/install-test-parts.sh";

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
    assert.deepEqual(await router.drift(soon()), []);
    const socket = new RuntimeSocket(socketPathOf(place.layout));
    await socket.order("set server service-orders/west-1 state maint", soon());
    assert.deepEqual(await router.drift(soon()), ["service-orders/west-1 is not ready"]);
    await router.current(soon());
    assert.deepEqual(await router.drift(soon()), []);
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

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
