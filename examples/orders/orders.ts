/** Orders in PostgreSQL: placed at most once a key, whichever member takes them, however often they are repeated. */
import { createHash, randomUUID } from "node:crypto";
import type { Answer, Database, Row } from "./database.ts";

export interface NewOrder {
  readonly item: string;
  readonly quantity: number;
}

/** What the client is told. `epoch` and `member`: who took the order, under which leadership. */
export interface Receipt {
  readonly id: string;
  readonly epoch: number;
  readonly member: string;
  readonly region: string;
}

export interface Order extends Receipt, NewOrder {
  readonly placedAt: string;
}

export type Unavailable = Extract<Answer, { readonly kind: "unavailable" }>;

export type Placed =
  | {
      readonly kind: "placed";
      readonly receipt: Receipt;
      /** The key was known: this is the first answer again. */
      readonly replayed: boolean;
      /** Who answered now, such as `pg-west@3`: for a replay another member, perhaps, than the receipt names. */
      readonly acknowledgedBy: string;
    }
  /** The key was used for another order. */
  | { readonly kind: "mismatch" }
  | Unavailable;

export type Found = { readonly kind: "found"; readonly orders: readonly Order[] } | Unavailable;

/** No unique key on `orders.key`: that each key is used once is proven by `order_keys`, and can be checked here. */
const schema = `
  CREATE TABLE IF NOT EXISTS orders (
    id uuid PRIMARY KEY,
    key text,
    item text NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    epoch bigint NOT NULL,
    member text NOT NULL,
    region text NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT clock_timestamp()
  );
  CREATE INDEX IF NOT EXISTS orders_placed_at ON orders (placed_at DESC);
  CREATE TABLE IF NOT EXISTS order_keys (
    key text PRIMARY KEY,
    fingerprint text NOT NULL,
    order_id uuid NOT NULL,
    epoch bigint NOT NULL,
    member text NOT NULL,
    region text NOT NULL,
    replays integer NOT NULL DEFAULT 0
  );`;

/** Creates the tables unless they are there: by one instance at a time, and only where we may. */
export async function createTables(database: Database): Promise<Answer> {
  const there = await database.ask({
    name: "tables-there",
    text: "SELECT to_regclass('orders') IS NOT NULL AND to_regclass('order_keys') IS NOT NULL AS yes",
    values: [],
  });
  if (there.kind === "unavailable" || there.rows[0]?.yes === true) return there;
  // One anonymous block is one transaction, so that the lock holds until the tables are committed.
  const text = `DO $do$ BEGIN PERFORM pg_advisory_xact_lock(hashtext('orders-schema')); ${schema} END $do$`;
  return await database.ask({ name: "create-tables", text, values: [] });
}

/** `holdfast.epoch` is written by Holdfast at each promotion: its highest row names who is primary here and now. */
const leadership = "SELECT epoch, member FROM holdfast.epoch ORDER BY epoch DESC LIMIT 1";

/**
 * The key and the order in one statement: one transaction, one round trip, all or nothing.
 *
 * A replay writes too (`replays + 1`), and must: only a commit waits for standbys. A mere SELECT could confirm an order
 * that its member still has, but nobody else ever got.
 */
const placeOnce = `
  WITH leader AS (${leadership}),
  remembered AS (
    INSERT INTO order_keys (key, fingerprint, order_id, epoch, member, region)
    SELECT $1, $2, $3::uuid, epoch, member, $4 FROM leader
    ON CONFLICT (key) DO UPDATE SET replays = order_keys.replays + 1
    RETURNING *
  ),
  placed AS (
    INSERT INTO orders (id, key, item, quantity, epoch, member, region)
    SELECT order_id, key, $5, $6, epoch, member, region FROM remembered WHERE order_id = $3::uuid
  )
  SELECT r.order_id AS id, r.epoch, r.member, r.region, r.fingerprint, r.order_id <> $3::uuid AS replayed,
         leader.member || '@' || leader.epoch AS acknowledged_by
  FROM remembered r, leader`;

/** Without a key nothing is remembered: whoever repeats this, orders twice. */
const placeUnguarded = `
  INSERT INTO orders (id, item, quantity, epoch, member, region)
  SELECT $1::uuid, $3, $4, epoch, member, $2 FROM (${leadership}) leader
  RETURNING id, epoch, member, region, member || '@' || epoch AS acknowledged_by`;

export async function placeOrder(
  database: Database,
  request: { readonly order: NewOrder; readonly key: string | null; readonly region: string },
): Promise<Placed> {
  const { order, key, region } = request;
  const id = randomUUID();
  const fingerprint = fingerprintOf(order);
  const answer = await database.ask(
    key === null
      ? {
          name: "place-unguarded",
          text: placeUnguarded,
          values: [id, region, order.item, order.quantity],
        }
      : {
          name: "place-once",
          text: placeOnce,
          values: [key, fingerprint, id, region, order.item, order.quantity],
        },
  );
  if (answer.kind === "unavailable") return answer;
  const row = answer.rows[0];
  if (row === undefined) return { kind: "unavailable", applied: "no", because: "no epoch has begun yet" };
  if (key !== null && row.fingerprint !== fingerprint) return { kind: "mismatch" };
  return {
    kind: "placed",
    receipt: receiptFrom(row),
    replayed: row.replayed === true,
    acknowledgedBy: String(row.acknowledged_by),
  };
}

const columns = "id, item, quantity, epoch, member, region, placed_at";

export async function findOrder(database: Database, id: string): Promise<Found> {
  return found(
    await database.ask({
      name: "find-order",
      text: `SELECT ${columns} FROM orders WHERE id = $1::uuid`,
      values: [id],
    }),
  );
}

/** Newest first. */
export async function listOrders(database: Database, limit: number): Promise<Found> {
  return found(
    await database.ask({
      name: "list-orders",
      text: `SELECT ${columns} FROM orders ORDER BY placed_at DESC LIMIT $1`,
      values: [limit],
    }),
  );
}

function found(answer: Answer): Found {
  if (answer.kind === "unavailable") return answer;
  return { kind: "found", orders: answer.rows.map(orderFrom) };
}

function orderFrom(row: Row): Order {
  return {
    ...receiptFrom(row),
    item: String(row.item),
    quantity: Number(row.quantity),
    placedAt: row.placed_at instanceof Date ? row.placed_at.toISOString() : String(row.placed_at),
  };
}

function receiptFrom(row: Row): Receipt {
  return {
    id: String(row.id),
    epoch: Number(row.epoch),
    member: String(row.member),
    region: String(row.region),
  };
}

function fingerprintOf(order: NewOrder): string {
  return createHash("sha256")
    .update(JSON.stringify([order.item, order.quantity]))
    .digest("hex");
}
