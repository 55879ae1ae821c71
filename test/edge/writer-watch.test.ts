/** Who watches for a writer that takes sessions again asks the one that the table names, and waits for no other. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import { WriterWatch } from "../../src/edge/writer-watch.ts";
import { table } from "./parts/tables.ts";

async function gateThat(does: (client: Socket) => void): Promise<Server> {
  const server = createServer((client) => {
    client.on("error", () => undefined);
    does(client);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

const portOf = (server: Server) => (server.address() as { port: number }).port;

test("a writer that never answers is left as soon as the table names another", {
  timeout: 60_000,
}, async (t) => {
  const mute = await gateThat(() => undefined);
  const open = await gateThat((client) => client.on("data", () => client.write("N")));
  t.after(() => {
    mute.close();
    open.close();
  });
  const named = (port: number) => {
    const writer = { member: `pg-${port}`, region: "west", gate: { host: "127.0.0.1", port } };
    return table(1, { services: {}, stores: { "orders-db": { epoch: 1, writer, changing: false } } });
  };
  let current = named(portOf(mute));
  let recover: () => void = () => undefined;
  const recovered = new Promise<void>((resolve) => {
    recover = resolve;
  });
  // Who waited for the old one would wait for the whole test.
  const watch = new WriterWatch(() => current, recover, 600_000);
  t.after(() => watch.close());
  const asked = once(mute, "connection");
  watch.reportFailing(["orders-db"]);
  const [socket] = (await asked) as [Socket];
  const left = once(socket.resume(), "close");
  watch.tableChanged();
  assert.equal(watch.isFailing(["orders-db"]), true);
  current = named(portOf(open));
  watch.tableChanged();
  await recovered;
  await left;
  assert.equal(watch.isFailing(["orders-db"]), false);
});
