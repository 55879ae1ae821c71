/** The memory of keys: one table in the service's own database, written in the same transaction as the work. */
import { createHash } from "node:crypto";
import type { Reply } from "./answer.ts";

/** Of one key: what it is called in the table, and what its request was. Hexadecimal. */
export interface Remembered {
  readonly id: string;
  readonly key: string;
  readonly scope: string;
  readonly fingerprint: string;
}

/** A name, or schema and name, that needs no quotation marks. */
const tableName = /^[a-z_][a-z0-9_]{0,50}(?:\.[a-z_][a-z0-9_]{0,50})?$/;

export function checkTable(table: string): string {
  if (tableName.test(table)) return table;
  throw new RangeError(
    `"${table}" is no plain name of a table, such as idempotency_keys or shop.idempotency_keys`,
  );
}

/** SQL that makes the table; harmless where it is. Run it as the owner of the service's tables, before the service starts. */
export function idempotencyMigration(table = "idempotency_keys"): string {
  const index = `${checkTable(table).split(".").at(-1)}_expires_at`;
  return `CREATE TABLE IF NOT EXISTS ${table} (
  id bytea PRIMARY KEY,
  scope text NOT NULL,
  key text NOT NULL,
  fingerprint bytea NOT NULL,
  status smallint NOT NULL,
  headers text NOT NULL,
  body bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS ${index} ON ${table} (expires_at);
`;
}

/** One key in one scope. Lengths first, so that no two pairs run together. */
export function idOf(scope: string, key: string): string {
  return createHash("sha256").update(`${scope.length}:${scope}${key}`).digest("hex");
}

/** Name of the transaction's lock: the first 64 bits of the id, as PostgreSQL's signed bigint. */
export function lockOf(id: string): bigint {
  return BigInt.asIntN(64, BigInt(`0x${id.slice(0, 16)}`));
}

/** What was asked for: repeats of a request are alike to the byte. */
export function fingerprintOf(method: string, path: string, body: unknown): string {
  const hash = createHash("sha256").update(`${method} ${path}\n`);
  if (body instanceof Uint8Array || typeof body === "string") hash.update(body);
  else if (body !== undefined && body !== null) hash.update(JSON.stringify(body));
  return hash.digest("hex");
}

/**
 * Begins, and finds out in one round trip whether the key is free: first the lock, then, with a snapshot of its own (hence
 * READ COMMITTED), the row. All that is put into the text is digits and hexadecimal.
 *
 * A service that is stopped in mid-transaction would keep the key locked: PostgreSQL ends its session after `idleMaxMs`.
 */
export function beginText(table: string, id: string | null, idleMaxMs: number): string {
  const begin = `BEGIN ISOLATION LEVEL READ COMMITTED;
SELECT set_config('idle_in_transaction_session_timeout', '${idleMaxMs}', true),
       set_config('holdfast.idempotency', '${id ?? ""}', true), pg_is_in_recovery() AS standby`;
  if (id === null) return begin;
  return `${begin};
SELECT pg_try_advisory_xact_lock(${lockOf(id)}) AS mine;
SELECT encode(fingerprint, 'hex') AS fingerprint, status, headers, encode(body, 'base64') AS body
  FROM ${table} WHERE id = '\\x${id}' AND now() < expires_at`;
}

/** No row: the work ended the transaction that it was given (the setting is gone with it). */
export function keepText(table: string): string {
  return `INSERT INTO ${table} AS kept (id, scope, key, fingerprint, status, headers, body, expires_at)
SELECT decode($1, 'hex'), $2, $3, decode($4, 'hex'), $5::int, $6, decode($7, 'base64'),
       now() + $8::float8 * interval '1 millisecond'
 WHERE current_setting('holdfast.idempotency', true) = $1
ON CONFLICT (id) DO UPDATE SET fingerprint = excluded.fingerprint, status = excluded.status,
       headers = excluded.headers, body = excluded.body, created_at = now(), expires_at = excluded.expires_at
 WHERE kept.expires_at <= now()
RETURNING 1`;
}

export function keepValues(remembered: Remembered, reply: Reply, keepMs: number): unknown[] {
  const { id, scope, key, fingerprint } = remembered;
  const headers = JSON.stringify(reply.headers);
  return [id, scope, key, fingerprint, reply.status, headers, reply.body.toString("base64"), keepMs];
}

/**
 * Confirms a remembered answer by a commit of its own, since only a commit waits for standbys: a mere SELECT could confirm
 * what this member still has but nobody else ever got. A message in the log costs no row, and no repeat waits for another.
 */
export const confirmText = "SELECT pg_logical_emit_message(true, 'holdfast.idempotency', ''); COMMIT";

/** Whether the one who holds the key has done its work and waits for standbys; asked before anyone is told "in flight". */
export function committingText(id: string): string {
  const lock = BigInt.asUintN(64, lockOf(id));
  return `SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid)
 WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND wait_event = 'SyncRep'
   AND classid::bigint = ${lock >> 32n} AND objid::bigint = ${lock & 0xffffffffn}`;
}

export function sweepText(table: string, rowsMax: number): string {
  return `WITH swept AS (
  DELETE FROM ${table} WHERE id IN (
    SELECT id FROM ${table} WHERE expires_at <= now() ORDER BY expires_at LIMIT ${rowsMax} FOR UPDATE SKIP LOCKED)
  RETURNING 1) SELECT count(*)::int AS rows FROM swept`;
}

// biome-ignore lint/suspicious/noExplicitAny: a row of ours, as `beginText` asks for it.
export function replyFrom(row: any): Reply {
  return {
    status: Number(row.status),
    headers: JSON.parse(row.headers),
    body: Buffer.from(row.body, "base64"),
  };
}
