/**
 * A page of a member's copy that is not what was written: bytes in the middle of the oldest page of orders, on its disk.
 *
 * - D1. PostgreSQL must not write the page again, nor get a whole image of it with the WAL: so it is frozen first, and
 *       a checkpoint made on both sides.
 * - D2. PostgreSQL finds out only when it reads the page from disk: so it must have it in memory no more, and somebody reads.
 */
import { closeSync, fsyncSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { loadOrMakeSecrets } from "../../adapters/adapters.ts";
import { monotonicMs } from "../monotonic.ts";
import type { World } from "../world.ts";

const pageBytes = 8192;
/** A standby that is killed reads again after a second or two. */
const noticedWithinMs = 30_000;

/** Resolves when a reader was told of it. */
export async function damagePage(world: World, region: string, primaryRegion: string): Promise<string> {
  const { dataDir, name } = memberOf(world, region);
  const isPrimary = region === primaryRegion;
  const file = await withSession(world, primaryRegion, async (query) => {
    await query("vacuum (freeze) orders");
    await query("checkpoint");
    return (await query("select pg_relation_filepath('orders') as file"))[0]?.file ?? "";
  });
  if (!isPrimary) await checkpointOnStandby(world, region, primaryRegion);
  overwrite(join(dataDir, file));
  // What a standby has in memory goes with its processes; its agent starts it again.
  if (isPrimary) await withSession(world, region, (query) => query(crowdOut));
  else await world.endPostgres(region);
  await untilNoticed(world, region);
  return `page 0 of ${file} of ${name} is damaged, and was read`;
}

/** Caught up to the primary's checkpoint, a standby makes one of its own from it. */
async function checkpointOnStandby(world: World, region: string, primaryRegion: string): Promise<void> {
  const position = await withSession(
    world,
    primaryRegion,
    async (query) => (await query("select pg_current_wal_lsn()::text as lsn"))[0]?.lsn ?? "",
  );
  await withSession(world, region, async (query) => {
    const until = monotonicMs() + noticedWithinMs;
    const isThere = `select pg_last_wal_replay_lsn() >= '${position}' as there`;
    while ((await query<boolean>(isThere))[0]?.there !== true) {
      if (until < monotonicMs()) throw new Error(`${region} has not replayed ${position}`);
      await sleep(50);
    }
    await query("checkpoint");
  });
}

function overwrite(path: string): void {
  const file = openSync(path, "r+");
  try {
    const bytes = Buffer.alloc(8);
    if (readSync(file, bytes, 0, bytes.length, pageBytes / 2) < bytes.length)
      throw new Error(`${path} has no whole page yet`);
    for (const [index, byte] of bytes.entries()) bytes[index] = byte ^ 0xff;
    writeSync(file, bytes, 0, bytes.length, pageBytes / 2);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/**
 * Reads more than `shared_buffers` (32 MB) again and again: what nobody reads is not in memory then. In tables below a
 * quarter of that, since what is larger is read through a few pages of its own.
 */
const crowdOut = `do $$ begin
  for i in 1..6 loop
    execute format('create unlogged table holdfast_lab_%s as select lpad('''', 1000) from generate_series(1, 6500)', i);
  end loop;
  for i in 0..47 loop execute format('select count(*) from holdfast_lab_%s', i % 6 + 1); end loop;
  for i in 1..6 loop execute format('drop table holdfast_lab_%s', i); end loop;
end $$`;

async function untilNoticed(world: World, region: string): Promise<void> {
  const until = monotonicMs() + noticedWithinMs;
  let last = "every page was read";
  while (monotonicMs() < until) {
    try {
      await withSession(world, region, (query) => query("select count(item) from orders"));
    } catch (error) {
      // data_corrupted
      if ((error as { code?: string }).code === "XX001") return;
      last = (error as Error).message;
    }
    await sleep(100);
  }
  throw new Error(`nobody noticed the damaged page of ${region}: ${last}`);
}

type Query = <T = string>(text: string) => Promise<readonly Record<string, T>[]>;

/** As the agent beside the member, by the socket that only it may use. */
async function withSession<T>(world: World, region: string, act: (query: Query) => Promise<T>): Promise<T> {
  const { dataDir } = memberOf(world, region);
  const [, , , port, socketDir] = readFileSync(join(dataDir, "postmaster.pid"), "utf8").split("\n");
  const client = new pg.Client({
    host: socketDir ?? "",
    port: Number(port),
    user: "holdfast",
    password: loadOrMakeSecrets(world.layout.secretsDir).postgres.admin,
    database: "orders",
    connectionTimeoutMillis: 5000,
    query_timeout: 30_000,
  });
  client.on("error", () => {});
  await client.connect();
  try {
    return await act(async (text) => (await client.query(text)).rows);
  } finally {
    await client.end();
  }
}

function memberOf(world: World, region: string) {
  const { member } = world.region(region);
  if (!member) throw new Error(`${region} has no member whose pages could be damaged`);
  return member;
}
