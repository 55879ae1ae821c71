/**
 * Each operation as SQL, with who acknowledged it (`holdfast.epoch`) read in the same transaction.
 *
 * Registers and lists: one statement at PostgreSQL's default, read committed. It is atomic, a row's lock puts writers in
 * order, and what is seen was replicated before (a commit becomes visible after its wait for standbys). Transfers and
 * balances: repeatable read, which is snapshot isolation; a transfer is several statements, so that faults meet open
 * transactions.
 */
import { accounts, openingBalance } from "./choice.ts";
import type { AcknowledgedBy, Ask, Told } from "./operation.ts";

export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

export type Row = Readonly<Record<string, unknown>>;

export const schema = `
  CREATE TABLE IF NOT EXISTS history_registers (key text PRIMARY KEY, value bigint NOT NULL);
  CREATE TABLE IF NOT EXISTS history_lists (key text PRIMARY KEY, elements bigint[] NOT NULL);
  CREATE TABLE IF NOT EXISTS history_accounts (
    key text, account integer, balance bigint NOT NULL, PRIMARY KEY (key, account))`;

const leader = "leader AS (SELECT epoch, member FROM holdfast.epoch)";

/** One statement, one transaction. Transfers have their own. */
export function statementOf(ask: Exclude<Ask, { kind: "transfer" }>): Statement {
  switch (ask.kind) {
    case "read":
      return {
        text: `WITH ${leader} SELECT epoch, member, (SELECT value FROM history_registers WHERE key = $1) AS value FROM leader`,
        values: [ask.key],
      };
    case "write":
      return {
        text: `WITH ${leader}, written AS (
            INSERT INTO history_registers VALUES ($1, $2)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value RETURNING 1)
          SELECT epoch, member FROM leader, written`,
        values: [ask.key, ask.value],
      };
    case "swap":
      return {
        text: `WITH ${leader}, written AS (
            UPDATE history_registers SET value = $3 WHERE key = $1 AND value = $2 RETURNING 1)
          SELECT epoch, member, EXISTS (SELECT FROM written) AS done FROM leader`,
        values: [ask.key, ask.from, ask.to],
      };
    case "append":
      return {
        text: `WITH ${leader}, written AS (
            INSERT INTO history_lists VALUES ($1, ARRAY[$2::bigint])
            ON CONFLICT (key) DO UPDATE SET elements = history_lists.elements || excluded.elements RETURNING 1)
          SELECT epoch, member FROM leader, written`,
        values: [ask.key, ask.value],
      };
    case "list":
      return {
        text: `WITH ${leader} SELECT epoch, member, (SELECT elements FROM history_lists WHERE key = $1) AS elements FROM leader`,
        values: [ask.key],
      };
    case "balances":
      return {
        text: `WITH ${leader} SELECT epoch, member,
            (SELECT array_agg(balance ORDER BY account) FROM history_accounts WHERE key = $1) AS balances FROM leader`,
        values: [ask.key],
      };
    default:
      return ask satisfies never;
  }
}

export function toldFrom(ask: Ask, row: Row): Told {
  switch (ask.kind) {
    case "read":
      return { value: row.value === null ? null : Number(row.value) };
    case "swap":
      return { done: row.done === true };
    case "list":
      return { values: numbersFrom(row.elements) };
    case "balances":
      return { balances: numbersFrom(row.balances) };
    default:
      return {};
  }
}

export function acknowledgedBy(row: Row): AcknowledgedBy {
  return { member: String(row.member), epoch: Number(row.epoch) };
}

/** The bank is opened by whoever comes first. Every client does so before its first operation on it. */
export function openBank(key: string): Statement {
  return {
    text: `INSERT INTO history_accounts SELECT $1, account, $2 FROM generate_series(0, $3 - 1) account
      ON CONFLICT DO NOTHING`,
    values: [key, openingBalance, accounts],
  };
}

export const leaderNow: Statement = { text: "SELECT epoch, member FROM holdfast.epoch", values: [] };
export const beginSnapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ";

export function take(ask: Extract<Ask, { kind: "transfer" }>): Statement {
  return {
    text: "UPDATE history_accounts SET balance = balance - $3 WHERE key = $1 AND account = $2 AND $3 <= balance RETURNING 1",
    values: [ask.key, ask.from, ask.amount],
  };
}

export function give(ask: Extract<Ask, { kind: "transfer" }>): Statement {
  return {
    text: "UPDATE history_accounts SET balance = balance + $3 WHERE key = $1 AND account = $2 RETURNING 1",
    values: [ask.key, ask.to, ask.amount],
  };
}

function numbersFrom(value: unknown): readonly number[] {
  return Array.isArray(value) ? value.map(Number) : [];
}
