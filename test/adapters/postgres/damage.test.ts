/** What is known of a copy whose pages fail their checksum, and until when. */
import assert from "node:assert/strict";
import { closeSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "../../../src/adapters/postgres/until.ts";
import type { Database } from "../../../src/ports/database.ts";
import { eventually, ok, within } from "../../contract/database.ts";
import { installations, Lab } from "./lab.ts";

/** Bytes in the middle of the first two pages, of the member's own copy: a backup counts none where a file has only one. */
function damage(lab: Lab, name: string, file: string): void {
  const path = openSync(join(lab.member(name).dataDir, file), "r+");
  const bytes = Buffer.alloc(8);
  for (const at of [4096, 12_288]) {
    assert.equal(readSync(path, bytes, 0, 8, at), 8);
    for (const [index, byte] of bytes.entries()) bytes[index] = byte ^ 0xff;
    writeSync(path, bytes, 0, 8, at);
  }
  closeSync(path);
}

/** A primary and its standby with a table of some pages, on disk on both sides, that PostgreSQL will not write to again. */
async function fill(lab: Lab, primary: Database, standby: Database): Promise<string> {
  const client = await lab.client("pg-a");
  await client.query(
    "create table written as select i, repeat('x', 100) as t from generate_series(1, 1000) i",
  );
  await client.query("vacuum (freeze) written");
  const file = (await client.query("select pg_relation_filepath('written') as file")).rows[0].file;
  await client.end();
  ok(await primary.prepareStop(within(10_000)));
  const { position } = await primary.inspect(1000);
  await eventually(standby, (seen) => position <= seen.position);
  ok(await standby.prepareStop(within(10_000)));
  return file;
}

async function read(lab: Lab, name: string): Promise<string> {
  const client = await lab.client(name);
  try {
    return (await client.query("select count(t) as n from written")).rows[0].n;
  } catch (error) {
    return (error as { code: string }).code;
  } finally {
    await client.end();
  }
}

for (const { name, binDir } of await installations()) {
  void test(`${name}: a standby's damage outlives PostgreSQL and agent, and ends with a copy that is made anew`, {
    timeout: 120_000,
  }, async () => {
    await using lab = await Lab.make(binDir, ["pg-a", "pg-b"]);
    const [primary, standby] = await lab.cluster(0);
    assert.ok(primary && standby);
    const upstream = lab.upstream("pg-a", 1);
    const again = { upstream, onProgress: () => undefined };
    const file = await fill(lab, primary, standby);
    assert.equal((await standby.inspect(1000)).damaged, undefined);

    damage(lab, "pg-b", file);
    ok(await standby.end(within(5000)));
    ok(await standby.rejoin(again, within(30_000)));
    assert.equal(await read(lab, "pg-b"), "XX001");
    const { damaged, incarnation } = await standby.inspect(1000);
    assert.ok(damaged && damaged.failures >= 1 && Math.abs(Date.now() - damaged.since) < 60_000);

    const remembered = `${lab.member("pg-b").dataDir}.holdfast/member.json`;
    await until(
      async () => (readFileSync(remembered, "utf8").includes('"damage"') ? true : undefined),
      5,
      within(5000),
    );

    // The next life of PostgreSQL counts from nothing, that of the agent knows nothing.
    ok(await standby.end(within(5000)));
    const { damaged: stopped } = await standby.inspect(1000);
    assert.deepEqual(stopped, damaged);
    await standby.close();
    const next = await lab.open("pg-b");
    assert.deepEqual((await next.inspect(1000)).damaged, damaged);
    ok(await next.rejoin(again, within(30_000)));
    assert.deepEqual((await next.inspect(1000)).damaged, damaged);

    const { how } = ok(await next.rejoin({ ...again, anew: true }, within(60_000)));
    assert.equal(how, "seeded");
    const whole = await next.inspect(1000);
    assert.equal(whole.damaged, undefined);
    assert.notEqual(whole.incarnation, incarnation);
    assert.equal(await read(lab, "pg-b"), "1000");
    assert.equal((await primary.inspect(1000)).damaged, undefined);
  });

  void test(`${name}: a base backup finds a damaged page of its upstream, and the copy that was to be replaced stays`, {
    timeout: 120_000,
  }, async () => {
    await using lab = await Lab.make(binDir, ["pg-a", "pg-b"]);
    const [primary, standby] = await lab.cluster(0);
    assert.ok(primary && standby);
    const file = await fill(lab, primary, standby);
    const { incarnation } = await standby.inspect(1000);
    damage(lab, "pg-a", file);
    const request = { upstream: lab.upstream("pg-a", 1), anew: true, onProgress: () => undefined };
    const told = await standby.rejoin(request, within(60_000));
    assert.equal(told.kind, "failed");
    assert.match(told.kind === "failed" ? told.because : "", /pages of the upstream are damaged: hand over/);
    assert.ok((await primary.inspect(1000)).damaged);
    const kept = await standby.inspect(1000);
    assert.deepEqual([kept.state, kept.streaming, kept.incarnation], ["standby", true, incarnation]);
    assert.equal(await read(lab, "pg-b"), "1000");
  });
}
