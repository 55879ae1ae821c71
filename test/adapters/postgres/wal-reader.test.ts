/** Our reader of WAL tells the same commits as pg_waldump, and ends where the WAL does. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { crc32c } from "../../../src/adapters/postgres/crc32c.ts";
import { listCommits } from "../../../src/adapters/postgres/divergence.ts";
import { parseHistory } from "../../../src/adapters/postgres/history.ts";
import { walAlong } from "../../../src/adapters/postgres/own-history.ts";
import { segmentName } from "../../../src/adapters/postgres/wal-files.ts";
import { formatLsn, parseLsn } from "../../../src/core/model/lsn.ts";
import type { Database } from "../../../src/ports/database.ts";
import { eventually, ok, within } from "../../contract/database.ts";
import { installations, Lab } from "./lab.ts";

void test("the checksum of the check string is the standard's", () => {
  // RFC 3720 appendix B.4: 32 bytes of zeros; and the usual check value of "123456789".
  assert.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa);
  assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283);
  assert.equal(crc32c(Buffer.from("56789"), crc32c(Buffer.from("1234"))), 0xe3069283);
});

void test("names of segments are PostgreSQL's", () => {
  assert.equal(segmentName(2, parseLsn("0/3000000"), 16 * 1024 * 1024), "000000020000000000000003");
  assert.equal(segmentName(16, parseLsn("2/FF000010"), 16 * 1024 * 1024), "0000001000000002000000FF");
});

for (const { name, binDir } of await installations())
  void test(`${name}: every transaction after a position is listed with its xid, and no other`, {
    timeout: 60_000,
  }, async () => {
    await using lab = await Lab.make(binDir, ["pg-a"]);
    const database = await lab.open("pg-a", {
      settings: { max_prepared_transactions: "5", dynamic_shared_memory_type: "mmap" },
    });
    ok(await database.initialize({ epoch: 1 }, within(30_000)));
    ok(await database.promote({ epoch: 1, acknowledgements: 0, standbys: [] }, within(5000)));
    const client = await lab.client("pg-a");
    const from = await flushed(database);
    const xids: number[] = [];
    const within1 = async (...statements: string[]) => {
      await client.query("begin");
      xids.push(Number((await client.query("select pg_current_xact_id()::text as xid")).rows[0].xid));
      for (const statement of statements) await client.query(statement);
    };
    await within1("create table t (i int, filler text)");
    await client.query("commit");
    for (let i = 0; i < 20; i += 1) {
      // Long ones cross pages, and segments now and then.
      await within1(
        `insert into t select ${i}, repeat(md5(random()::text), 20) from generate_series(1, ${i * i})`,
      );
      await client.query(i % 7 === 3 ? "rollback" : "commit");
      if (i % 7 === 3) xids.pop();
    }
    await within1("savepoint one", "insert into t values (1)", "savepoint two", "insert into t values (2)");
    await client.query("commit");
    await within1("insert into t values (3)", "prepare transaction 'later'");
    const prepared = xids.pop() as number;
    await within1("create table u as select 1", "drop table u");
    await client.query("commit");
    await client.query("commit prepared 'later'");
    xids.push(prepared);
    await client.end();
    const to = await flushed(database);
    const walDir = join(lab.member("pg-a").dataDir, "pg_wal");
    const listed = listCommits(walAlong(walDir, parseHistory(1, "")), from, to);
    assert.deepEqual(
      listed.map((each) => each.xid),
      xids,
    );
    const waldump = join(binDir, "pg_waldump");
    if (existsSync(waldump)) assert.deepEqual(listed, dumpCommits(waldump, walDir, from, to));
    else assert.ok(binDir.includes("holdfast"), "only the npm package comes without pg_waldump");
    // Nothing that is not WAL is taken for it: beyond the end lie zeros, or a segment's life before.
    assert.deepEqual(
      listCommits(walAlong(walDir, parseHistory(1, "")), to, Number.POSITIVE_INFINITY).length,
      0,
    );
    assert.ok(readdirSync(walDir).length > 0);
  });

/** What pg_waldump says, in our words. */
function dumpCommits(waldump: string, walDir: string, from: number, to: number) {
  const args = ["-p", walDir, "-r", "Transaction", "-s", formatLsn(from), "-e", formatLsn(to), "-t", "1"];
  const text = execFileSync(waldump, args, { encoding: "utf8", env: { TZ: "UTC", LC_ALL: "C" } });
  return text.split("\n").flatMap((line) => {
    const match =
      /tx:\s+(\d+), lsn: ([0-9A-F/]+),.*desc: (COMMIT|COMMIT_PREPARED)\s+(?:(\d+): )?(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d\.\d+) UTC/.exec(
        line,
      );
    if (!match) return [];
    const committedAt = `${match[5]}T${match[6]}Z`;
    return [{ xid: Number(match[4] ?? match[1]), lsn: formatLsn(parseLsn(match[2] as string)), committedAt }];
  });
}

/** Where the WAL ends once all of it is on disk: a position is told only up to the end of a record that was seen. */
async function flushed(database: Database): Promise<number> {
  const seen = await eventually(
    database,
    ({ position, inserted }) => 0 < position && position === inserted,
    20_000,
  );
  return seen.position;
}
