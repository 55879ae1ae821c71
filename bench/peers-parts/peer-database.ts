/** The database that every peer is given alike, and questions to it. */
import { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { type PeerLab, type PeerRegion, ports } from "./peer-lab.ts";

const readyWithinMs = 180_000;

/**
 * The database of the service, and the table by which Holdfast tells who leads: here a view that says the same of a peer,
 * by the timeline that it writes and the address that it has.
 */
export async function prepareDatabase(lab: PeerLab, region: PeerRegion): Promise<void> {
  const members = lab.regions.map(({ address, member }) => `WHEN '${address}' THEN '${member}'`).join(" ");
  await ask(adminUrl(region.address, "postgres"), "CREATE ROLE app LOGIN");
  await ask(adminUrl(region.address, "postgres"), "CREATE DATABASE orders OWNER app");
  await ask(
    adminUrl(region.address, "orders"),
    `CREATE SCHEMA holdfast;
     CREATE VIEW holdfast.epoch AS SELECT
       ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int::bigint AS epoch,
       CASE host(inet_server_addr()) ${members} END AS member;
     GRANT USAGE ON SCHEMA holdfast TO app;
     GRANT SELECT ON holdfast.epoch TO app;`,
  );
}

/** Both standbys stream, and commits wait for them if they are to. A base backup streams as well, before it is a standby. */
export async function untilStreaming(
  region: PeerRegion,
  replication: "synchronous" | "asynchronous",
  signal: AbortSignal,
): Promise<void> {
  const waits = replication === "synchronous" ? "<> ''" : "= ''";
  await untilRow(
    adminUrl(region.address, "postgres"),
    `SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND application_name <> 'pg_basebackup'
     HAVING count(*) = 2
     AND current_setting('synchronous_standby_names') ${waits}
     ${replication === "synchronous" ? "AND count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) > 0" : ""}`,
    signal,
  );
}

/** Resolves with the row once the query yields one; rejects with the last reason when it does not. */
export async function untilRow(url: string, sql: string, signal: AbortSignal): Promise<pg.QueryResultRow> {
  const [row] = await untilAnswered(url, sql, signal, (rows) => rows.length > 0);
  return row ?? {};
}

/** Resolves once it was done: a proxy that has just begun may lead to a standby. */
export async function untilAnswered(
  url: string,
  sql: string,
  signal: AbortSignal,
  isGood: (rows: readonly pg.QueryResultRow[]) => boolean = () => true,
): Promise<readonly pg.QueryResultRow[]> {
  const until = performance.now() + readyWithinMs;
  let because = "";
  while (performance.now() < until) {
    try {
      const rows = await ask(url, sql);
      if (isGood(rows)) return rows;
      because = "it is not so yet";
    } catch (error) {
      because = error instanceof Error ? error.message : String(error);
    }
    await sleep(200, undefined, { signal });
  }
  throw new Error(`${url} did not answer "${sql}" within ${readyWithinMs / 1000} s: ${because}`);
}

export async function ask(url: string, sql: string): Promise<readonly pg.QueryResultRow[]> {
  const socket = new Socket();
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 2000,
    query_timeout: 10_000,
    stream: () => socket,
  });
  client.on("error", () => undefined);
  try {
    await client.connect();
    return (await client.query(sql)).rows;
  } finally {
    // At once: the farewell of a server that is gone never comes.
    socket.destroy();
  }
}

/** The whole lab trusts: it is a network that nobody else reaches. */
export function adminUrl(address: string, database: string): string {
  return `postgres://postgres@${address}:${ports.postgres}/${database}`;
}
