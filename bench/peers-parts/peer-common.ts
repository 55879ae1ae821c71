/** What every peer is given alike: the database, the view that says who leads, a proxy and a service in each region. */
import { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { addProxy, type Checks } from "./haproxy.ts";
import { type PeerLab, type PeerRegion, ports } from "./peer-lab.ts";
import type { SystemRegion } from "./system.ts";

const serviceMain = fileURLToPath(new URL("../../examples/orders/main.ts", import.meta.url));
const readyWithinMs = 180_000;

export function systemRegions(lab: PeerLab): SystemRegion[] {
  return lab.regions.map(({ name, member, dataDir, address }) => ({
    name,
    member,
    dataDir,
    writerUrl: appUrl(address, ports.writer),
    directUrl: appUrl(address, ports.postgres),
    httpUrl: `http://${address}:${ports.http}`,
  }));
}

/** Proxies and services: up when every region's proxy leads to the writer. */
export async function startFronts(lab: PeerLab, checks: Checks, signal: AbortSignal): Promise<void> {
  for (const region of lab.regions) {
    addProxy(lab, region, checks).start();
    const command = { program: process.execPath, args: [serviceMain], readyText: "listening" };
    lab
      .add(region, "service", "service", command, {
        HOST: region.address,
        PORT: String(ports.service),
        REGION: region.name,
        DATABASE_URL: appUrl(region.address, ports.writer),
        DATABASE_URL_READ: appUrl(region.address, ports.postgres),
      })
      .start();
  }
  for (const { address } of lab.regions)
    await untilRow(appUrl(address, ports.writer), "SELECT 1 WHERE NOT pg_is_in_recovery()", signal);
}

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

/** Both standbys stream, and commits wait for them if they are to. */
export async function untilStreaming(
  region: PeerRegion,
  replication: "synchronous" | "asynchronous",
  signal: AbortSignal,
): Promise<void> {
  const waits = replication === "synchronous" ? "<> ''" : "= ''";
  await untilRow(
    adminUrl(region.address, "postgres"),
    `SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' HAVING count(*) = 2
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

function appUrl(address: string, port: number): string {
  return `postgres://app@${address}:${port}/orders`;
}
