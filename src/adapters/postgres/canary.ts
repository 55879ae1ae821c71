/** The row that says, within the application's own database, which epoch and member a write belongs to. */
import type { Epoch, MemberName } from "../../core/model/id.ts";
import type { Server } from "./server.ts";

/** Also the schema, where the database does not hold it yet. One row; the epoch only rises. */
export function canarySchema(appRole: string): string {
  return `create schema if not exists holdfast;
    create table if not exists holdfast.epoch (
      singleton boolean primary key default true check (singleton),
      epoch bigint not null,
      member text not null,
      at timestamptz not null default clock_timestamp()
    );
    revoke all on schema holdfast from public;
    grant usage on schema holdfast to ${appRole}, replicator;
    grant select on holdfast.epoch to ${appRole}, replicator;`;
}

/** Commits it locally: it waits for no standby. */
export async function writeCanary(server: Server, epoch: Epoch, member: MemberName): Promise<void> {
  const write = () =>
    server.query(
      `insert into holdfast.epoch (epoch, member) values ($1, $2)
       on conflict (singleton) do update set epoch = excluded.epoch, member = excluded.member, at = clock_timestamp()
       where holdfast.epoch.epoch < excluded.epoch or holdfast.epoch.member = excluded.member`,
      [epoch, member],
    );
  try {
    await write();
  } catch (error) {
    // 42P01: no such table, 3F000: no such schema.
    if (!["42P01", "3F000"].includes(String((error as { code?: unknown }).code))) throw error;
    await server.query(canarySchema(quoteIdentifier(server.place.conf.appRole)));
    await write();
  }
}

/** As far as the member has replayed; null: the database does not hold one yet. */
export async function readCanary(
  server: Server,
): Promise<{ readonly epoch: Epoch; readonly member: MemberName } | null> {
  try {
    const rows = await server.query<{ epoch: string; member: string }>(
      "select epoch, member from holdfast.epoch",
    );
    return rows[0] === undefined ? null : { epoch: Number(rows[0].epoch), member: rows[0].member };
  } catch (error) {
    if (["42P01", "3F000"].includes(String((error as { code?: unknown }).code))) return null;
    throw error;
  }
}

export function quoteIdentifier(name: string): string {
  return `"${name.replace(/"/g, '""')}"`;
}

export function quoteText(text: string): string {
  return `'${text.replace(/'/g, "''")}'`;
}
