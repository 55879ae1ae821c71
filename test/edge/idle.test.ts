/** Ten thousand clients who say nothing: those who ask are answered, and who goes is forgotten. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { edgeConfig, folder, startProcess, until } from "./parts/edges.ts";
import { startOrigin } from "./parts/origins.ts";
import { service, signed, table, target } from "./parts/tables.ts";

const count = 10_000;

test(`${count} idle connections keep nobody from being answered, and leave nothing behind`, async () => {
  using state = folder();
  await using origin = await startOrigin((_request, response) => response.end("ok"));
  const limits = { ...edgeConfig("").limits, headWithinMs: 60_000, idleForMs: 60_000 };
  await using edge = await startProcess(edgeConfig(state.path, { limits }));
  await edge.apply(signed(table(1, { services: { orders: service([target("west", origin.port)]) } })));
  const port = Number(new URL(edge.http).port);
  const connections = async () => Number(/holdfast_edge_connections (\d+)/.exec(await edge.metrics())?.[1]);
  const all: Socket[] = [];
  let closed = 0;
  try {
    for (let opened = 0; opened < count; opened += 200)
      await Promise.all(
        Array.from({ length: 200 }, async (_, n) => {
          const socket = connect({ host: "127.0.0.1", port, localAddress: `127.0.0.${2 + (n % 8)}` });
          all.push(socket);
          socket.on("error", () => undefined).on("close", () => closed++);
          await once(socket, "connect");
        }),
      );
    await until(async () => count <= (await connections()), "all are taken");
    for (let n = 0; n < 100; n++) assert.equal(await (await fetch(`${edge.http}/${n}`)).text(), "ok");
    assert.equal(closed, 0);
  } finally {
    for (const socket of all) socket.destroy();
  }
  await until(async () => (await connections()) <= 2, "all are forgotten", 20_000);
});
