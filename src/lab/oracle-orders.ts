/** Each acknowledged order is there, once and unaltered, and nothing is there that nobody asked for (O1, O2). */
import type { InstantMs, SpanMs } from "../core/model/time.ts";
import type { LoadHistory, RequestRecord } from "./load-record.ts";
import type { OrderRow, StoredOrders, Violation } from "./oracle-evidence.ts";

export interface CheckedOrders {
  readonly orders: {
    readonly asked: number;
    readonly acknowledged: number;
    /** Acknowledged, and not there. */
    readonly lost: number;
    /** How long before the last acknowledgement of the member that had acknowledged it, of the oldest lost one; none: 0. */
    readonly lostAgeMs: SpanMs;
    /** Rows too many: the second and each further row of an order that was asked for once. */
    readonly doubled: number;
    /** Rows of this run that nobody asked for. */
    readonly fabricated: number;
    /** Not acknowledged: resolved from the database, as it must be, to one or the other. */
    readonly unacknowledged: { readonly applied: number; readonly absent: number };
  };
  /** What clients were told of those that are lost. */
  readonly lost: readonly RequestRecord[];
  readonly violations: readonly Violation[];
}

export function checkOrders(history: LoadHistory, stored: StoredOrders): CheckedOrders {
  const violations: Violation[] = [];
  const broken = (kind: Violation["kind"], because: string) => void violations.push({ kind, because });

  const prefix = `${history.run}-`;
  // Digits and nothing else after it: a run called `drill` is not asked about the orders of `drill-2`.
  const ours = (tag: string) => tag.startsWith(prefix) && /^\d+$/.test(tag.slice(prefix.length));
  const rows = stored.orders.filter((row) => ours(tagOf(row)) || ours(row.item));
  const rowsById = new Map(rows.map((row) => [row.id, row]));
  const rowsByTag = Map.groupBy(rows, tagOf);
  const asked = new Map(
    history.requests
      .filter(({ kind }) => kind === "order" || kind === "unsafe-order")
      .map((request) => [`${prefix}${request.number}`, request]),
  );

  let acknowledged = 0;
  const lost: RequestRecord[] = [];
  let applied = 0;
  let absent = 0;
  for (const [tag, request] of asked) {
    const { receipt } = request;
    if (receipt === null) {
      if (rowsByTag.has(tag)) applied += 1;
      else absent += 1;
      continue;
    }
    acknowledged += 1;
    const row = rowsById.get(receipt.id);
    if (row === undefined) {
      lost.push(request);
      broken(
        "lost",
        `${tag}: acknowledged as ${receipt.id} by ${receipt.byMember} in epoch ${receipt.byEpoch}`,
      );
      continue;
    }
    const difference = differenceBetween(tag, request, row);
    if (difference !== "") broken("altered", `${tag}: ${difference}`);
  }

  let doubled = 0;
  let fabricated = 0;
  for (const [tag, same] of rowsByTag) {
    const request = asked.get(tag);
    if (request === undefined || request.tries === 0) {
      fabricated += same.length;
      broken(
        "fabricated",
        `${tag}: in the database, ${request === undefined ? "never asked for" : "never sent"}`,
      );
      continue;
    }
    if (same.length === 1) continue;
    doubled += same.length - 1;
    broken("doubled", `${tag}: ${same.map((row) => `${row.id} by ${row.member}@${row.epoch}`).join(", ")}`);
  }
  checkKeys(ours, rows, stored, broken);

  return {
    orders: {
      asked: asked.size,
      acknowledged,
      lost: lost.length,
      lostAgeMs: lostAge(lost, history.requests),
      doubled,
      fabricated,
      unacknowledged: { applied, absent },
    },
    lost,
    violations,
  };
}

/** What an RPO is an upper bound of: `lostAgeMs`, where `all` clients count. */
export function lostAge(lost: readonly RequestRecord[], all: readonly RequestRecord[]): SpanMs {
  const termOf = ({ receipt }: RequestRecord) => `${receipt?.byMember}@${receipt?.byEpoch}`;
  const lastAt = new Map<string, InstantMs>();
  for (const one of all)
    if (one.receipt !== null)
      lastAt.set(termOf(one), Math.max(one.doneAt, lastAt.get(termOf(one)) ?? one.doneAt));
  return lost.reduce((age, one) => Math.max(age, (lastAt.get(termOf(one)) ?? one.doneAt) - one.doneAt), 0);
}

/** What tells orders of a run apart: the key, or for want of one the item, which the load makes the same. */
function tagOf(row: OrderRow): string {
  return row.key ?? row.item;
}

/** Empty: the row is what was asked for, and says of its origin what the client was told. */
function differenceBetween(tag: string, request: RequestRecord, row: OrderRow): string {
  const key = request.kind === "order" ? tag : null;
  if (row.item !== tag) return `item ${JSON.stringify(row.item)}`;
  if (row.key !== key) return `key ${JSON.stringify(row.key)}, sent with ${JSON.stringify(key)}`;
  const { receipt } = request;
  if (receipt !== null && (row.member !== receipt.member || row.epoch !== receipt.epoch))
    return `the row says ${row.member}@${row.epoch}, the client was told ${receipt.member}@${receipt.epoch}`;
  return "";
}

/** The key and the order are one transaction: neither is there without the other. */
function checkKeys(
  ours: (tag: string) => boolean,
  rows: readonly OrderRow[],
  stored: StoredOrders,
  broken: (kind: Violation["kind"], because: string) => void,
): void {
  const orderOf = new Map<string, string>();
  for (const { key, orderId } of stored.keys) {
    if (!ours(key)) continue;
    if (orderOf.has(key)) broken("torn", `${key}: twice among the keys`);
    orderOf.set(key, orderId);
  }
  const keyOf = new Map(rows.map(({ id, key }) => [id, key]));
  for (const [key, orderId] of orderOf)
    if (keyOf.get(orderId) !== key) broken("torn", `${key}: a key without its order ${orderId}`);
  for (const { id, key } of rows)
    if (key !== null && !orderOf.has(key)) broken("torn", `${key}: an order (${id}) without its key`);
}
