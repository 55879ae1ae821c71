/** A standby that is far from the next primary, with real PostgreSQL and a way that takes 40 ms in each direction. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import type { Address } from "../../../src/core/model/topology.ts";
import type { Database } from "../../../src/ports/database.ts";
import { ok, within } from "../../contract/database.ts";
import { type Relay, startRelay } from "../etcd/blackhole.ts";
import { installations, Lab } from "./lab.ts";

const binDir = (await installations())[0]?.binDir as string;
const delayMs = 40;

interface Far {
  readonly a: Database;
  readonly b: Database;
  readonly c: Database;
  readonly upstream: { readonly member: string; readonly address: Address; readonly epoch: number };
  readonly log: () => string;
}

/** pg-a leads, pg-b and pg-c stream from it; pg-b is far from pg-c. */
async function prepare(lab: Lab, way: Relay): Promise<Far> {
  const address = { host: "127.0.0.1", port: way.port };
  const members = lab.store.members.map((each) => (each.name === "pg-b" ? { ...each, address } : each));
  const a = await lab.open("pg-a");
  const b = await lab.open("pg-b");
  const c = await lab.open("pg-c", { store: { ...lab.store, members } });
  ok(await a.initialize({ epoch: 1 }, within(30_000)));
  ok(await a.promote({ epoch: 1, acknowledgements: 0, standbys: [] }, within(5000)));
  const upstream = lab.upstream("pg-a", 1);
  for (const each of [b, c]) ok(await each.rejoin({ upstream, onProgress: () => undefined }, within(60_000)));
  ok(await a.setQuorum({ epoch: 1, acknowledgements: 1, standbys: ["pg-b", "pg-c"] }, within(5000)));
  while (way.connections === 0) await pause(10);
  // Connected, authenticated, and asked once.
  await pause(12 * delayMs);
  const log = join(lab.root, "pg-c", "data.holdfast", "postgresql.log");
  return {
    a,
    b,
    c,
    upstream: { member: "pg-b", address, epoch: 2 },
    log: () => readFileSync(log, "utf8"),
  };
}

for (const isBehind of [false, true])
  void test(`a far standby ${isBehind ? "that lacks the tail " : ""}streams from whom it expected without connecting anew`, {
    timeout: 90_000,
  }, async () => {
    await using lab = await Lab.make(binDir);
    await using way = await startRelay(lab.member("pg-b").address.port, delayMs);
    const { a, b, c, upstream, log } = await prepare(lab, way);
    const before = await lab.writer("pg-a");
    await before.write("both");
    if (isBehind) ok(await c.seal({ basis: 1 }, within(3000)));
    await before.write("the last of pg-a");
    before.close();
    ok(await a.end(within(3000)));
    const sealed = ok(await b.seal({ basis: 1 }, within(3000))).position;
    const own = ok(await c.seal({ basis: 1 }, within(3000))).position;
    assert.equal(own < sealed, isBehind);

    c.expect(upstream);
    const { position, fork } = ok(
      await b.promote({ epoch: 2, acknowledgements: 1, standbys: ["pg-c"] }, within(5000)),
    );
    await pause(4 * delayMs);
    // R1: it is in memory, and nowhere else.
    assert.equal((await c.inspect(1000)).position, own);
    assert.equal((await c.inspect(1000)).streaming, false);
    const [connections, said] = [way.connections, log().length];
    ok(await c.follow({ upstream, promotedAt: position, ...(fork && { fork }) }, within(5000)));
    assert.equal(way.connections, connections, log().slice(said));

    const client = await lab.writer("pg-b");
    await client.write("the first of pg-b");
    assert.ok((await client.keys()).has("the last of pg-a"));
    client.close();
    const after = await c.inspect(1000);
    assert.ok(after.streaming && after.position > position);
    assert.equal(after.epoch, 2);
  });

void test("who was not expected, or goes, is followed as by anybody", { timeout: 90_000 }, async () => {
  await using lab = await Lab.make(binDir);
  await using way = await startRelay(lab.member("pg-b").address.port, delayMs);
  const { a, b, c, upstream } = await prepare(lab, way);
  ok(await a.end(within(3000)));
  ok(await b.seal({ basis: 1 }, within(3000)));
  ok(await c.seal({ basis: 1 }, within(3000)));
  c.expect({ ...upstream, epoch: 3 });
  c.expect({ ...upstream, member: "pg-a" });
  const { position } = ok(
    await b.promote({ epoch: 2, acknowledgements: 1, standbys: ["pg-c"] }, within(5000)),
  );
  c.expect(upstream);
  await pause(4 * delayMs);
  way.cut();
  ok(await c.follow({ upstream, promotedAt: position }, within(5000)));
  const client = await lab.writer("pg-b");
  await client.write("first");
  // What carries it is lost, and the next is made.
  way.cut();
  await client.write("second");
  client.close();
});
