/**
 * A timeline that a standby has heard of and has nothing of: its primary was gone before a byte of it came, or is not one
 * that it can follow. PostgreSQL itself would wait for it for good, or write it into the history of the next.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readControlFile } from "../../../src/adapters/postgres/control-file.ts";
import { unwrittenHistories } from "../../../src/adapters/postgres/own-history.ts";
import { until } from "../../../src/adapters/postgres/until.ts";
import { formatLsn } from "../../../src/core/model/lsn.ts";
import { eventually, ok, within } from "../../contract/database.ts";
import { installations, Lab } from "./lab.ts";

const [first] = await installations();
const binDir = (first as { binDir: string }).binDir;
const options = { timeout: 90_000 };

const walOf = (lab: Lab, name: string) => join(lab.member(name).dataDir, "pg_wal");
const historiesOf = (lab: Lab, name: string) =>
  readdirSync(walOf(lab, name)).filter((file) => file.endsWith(".history"));

/**
 * pg-a leads; pg-c is sealed first, pg-b after one write more, and pg-a has one that nobody else has. `dead` was promoted for
 * epoch 2 and told pg-c where, and is gone before pg-c has a byte of it. `end`: of pg-c.
 */
async function withHeardTimeline(lab: Lab, dead: "pg-a" | "pg-b") {
  const [a, b, c] = await lab.cluster(1);
  assert.ok(a && b && c);
  const writer = await lab.writer("pg-a");
  await writer.write("of all");
  const haveAll = async () => {
    const [at, ...others] = await Promise.all([a, b, c].map((one) => one.inspect(5000)));
    return others.every((one) => one.position === at?.position) || undefined;
  };
  await until(haveAll, 20, within(20_000));
  const end = ok(await c.seal({ basis: 1 }, within(3000))).position;
  await writer.write("of pg-a and pg-b");
  const sealed = ok(await b.seal({ basis: 1 }, within(3000))).position;
  assert.ok(end < sealed);
  const alone = writer.write("of pg-a").catch(() => undefined);
  await eventually(a, (seen) => sealed < seen.position);
  ok(await a.end(within(3000)));
  await alone;
  writer.close();
  ok(await a.startSealed({ basis: 1 }, within(10_000)));
  const one = dead === "pg-a" ? a : b;
  const { position, fork } = ok(
    await one.promote({ epoch: 2, acknowledgements: 0, standbys: [] }, within(5000)),
  );
  assert.ok(fork && end < fork.at);
  ok(await one.end(within(3000)));
  const told = { upstream: lab.upstream(dead, 2), promotedAt: position, fork };
  assert.equal((await c.follow(told, within(1000))).kind, "unknown");
  assert.deepEqual(historiesOf(lab, "pg-c"), ["00000002.history"]);
  return { a, b, c, end };
}

async function acknowledges(lab: Lab, name: string): Promise<ReadonlySet<string>> {
  const writer = await lab.writer(name);
  try {
    await writer.write("after");
    return await writer.keys();
  } finally {
    writer.close();
  }
}

void test("sealed, it forgets one that left later than its namesake, and follows that", options, async () => {
  await using lab = await Lab.make(binDir);
  const { b, c, end } = await withHeardTimeline(lab, "pg-a");
  assert.equal(ok(await c.seal({ basis: 2 }, within(10_000))).position, end);
  assert.deepEqual(historiesOf(lab, "pg-c"), []);
  const { position, timeline, fork } = ok(
    await b.promote({ epoch: 3, acknowledgements: 1, standbys: ["pg-c"] }, within(5000)),
  );
  assert.equal(timeline, 2);
  const told = { upstream: lab.upstream("pg-b", 3), promotedAt: position, ...(fork && { fork }) };
  ok(await c.follow(told, within(5000)));
  assert.deepEqual([...(await acknowledges(lab, "pg-b"))].sort(), ["after", "of all", "of pg-a and pg-b"]);
});

for (const how of ["follow", "rejoin"] as const)
  void test(`running, it forgets one that left earlier than its namesake, by ${how}`, options, async () => {
    await using lab = await Lab.make(binDir);
    const { a, c } = await withHeardTimeline(lab, "pg-b");
    const { timeline } = ok(
      await a.promote({ epoch: 3, acknowledgements: 1, standbys: ["pg-c"] }, within(5000)),
    );
    assert.equal(timeline, 2);
    const upstream = lab.upstream("pg-a", 3);
    if (how === "follow") ok(await c.follow({ upstream, promotedAt: null }, within(10_000)));
    else
      assert.equal(
        ok(await c.rejoin({ upstream, onProgress: () => undefined }, within(10_000))).how,
        "followed",
      );
    const history = (name: string) => readFileSync(join(walOf(lab, name), "00000002.history"), "utf8");
    assert.equal(history("pg-c"), history("pg-a"));
    assert.equal((await acknowledges(lab, "pg-a")).size, 4);
  });

for (const how of ["sealed", "as it was, as in a planned change,"] as const)
  void test(
    `promoted ${how} it has never been on one, and whoever has more parts with it where it ended`,
    options,
    async () => {
      await using lab = await Lab.make(binDir);
      const { a, c, end } = await withHeardTimeline(lab, "pg-b");
      if (how === "sealed") ok(await c.seal({ basis: 2 }, within(10_000)));
      const { fork } = ok(await c.promote({ epoch: 3, acknowledgements: 0, standbys: [] }, within(10_000)));
      assert.deepEqual(fork, { timeline: 2, parent: 1, at: end });
      const upstream = lab.upstream("pg-c", 3);
      const { divergence } = ok(await a.rejoin({ upstream, onProgress: () => undefined }, within(60_000)));
      assert.equal(divergence?.forkedAt, end);
      assert.equal(divergence.transactions.length, 2);
    },
  );

void test("one that its own history is no part of is not its own", options, async () => {
  await using lab = await Lab.make(binDir);
  const [a, b, c] = await lab.cluster(1);
  assert.ok(a && b && c);
  const { position: early } = await c.inspect(5000);
  const writer = await lab.writer("pg-a");
  await writer.write("before");
  writer.close();
  ok(await a.end(within(3000)));
  const { position } = ok(await b.seal({ basis: 1 }, within(3000)));
  assert.ok(early < position);
  // As a receiver leaves it that was refused: the primary of epoch 3 had left timeline 1 before this copy's end.
  writeFileSync(
    join(walOf(lab, "pg-c"), "00000003.history"),
    `1\t${formatLsn(early)}\tno recovery target specified\n`,
  );
  assert.equal((await c.inspect(5000)).timeline, 1);
  ok(await b.promote({ epoch: 4, acknowledgements: 1, standbys: ["pg-c"] }, within(5000)));
  ok(await c.follow({ upstream: lab.upstream("pg-b", 4), promotedAt: null }, within(10_000)));
  assert.deepEqual([...(await acknowledges(lab, "pg-b"))].sort(), ["after", "before"]);
});

void test(
  "the history of the timeline that its last checkpoint was on stays, even without WAL of it",
  options,
  async () => {
    await using lab = await Lab.make(binDir);
    const [a, b] = await lab.cluster(1);
    assert.ok(a && b);
    ok(await a.end(within(3000)));
    ok(await b.seal({ basis: 1 }, within(3000)));
    const { fork } = ok(await b.promote({ epoch: 2, acknowledgements: 0, standbys: [] }, within(5000)));
    assert.ok(fork);
    const { dataDir } = lab.member("pg-b");
    // The checkpoint that ends a recovery comes after the promotion.
    await until(
      () => Promise.resolve(readControlFile(dataDir)?.timeline === 2 || undefined),
      20,
      within(20_000),
    );
    ok(await b.end(within(3000)));
    const wal = walOf(lab, "pg-b");
    for (const file of readdirSync(wal)) {
      if (/^00000002[0-9A-F]{16}$/.test(file)) rmSync(join(wal, file));
      if (file.endsWith(".partial")) renameSync(join(wal, file), join(wal, file.replace(".partial", "")));
    }
    writeFileSync(join(wal, "00000003.history"), `2\t${formatLsn(fork.at)}\tno recovery target specified\n`);
    assert.deepEqual(unwrittenHistories(dataDir, fork.at), [join(wal, "00000003.history")]);
  },
);
