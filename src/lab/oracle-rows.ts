/** Reads what the orders service left in the database, as one snapshot. */
import pg from "pg";
import type { StoredOrders } from "./oracle-evidence.ts";

/** Rows whose key or item begins with `<run>-`; of all runs when none is named. */
export async function readOrders(connectionString: string, run = ""): Promise<StoredOrders> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 5_000, query_timeout: 60_000 });
  client.on("error", () => {});
  await client.connect();
  try {
    await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    const prefix = run === "" ? "" : `${run}-`;
    const orders = await client.query(
      `SELECT id::text, key, item, epoch::float8 AS epoch, member FROM orders
       WHERE starts_with(item, $1) OR starts_with(key, $1)`,
      [prefix],
    );
    const keys = await client.query(
      `SELECT key, order_id::text AS "orderId" FROM order_keys WHERE starts_with(key, $1)`,
      [prefix],
    );
    await client.query("COMMIT");
    return { orders: orders.rows, keys: keys.rows };
  } finally {
    await client.end();
  }
}
