/** A service that dies (SIGKILL) right before or right after its COMMIT, before it can answer: `node crashing.ts before|after|never`. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import pg from "pg";
import { createIdempotency, idempotentListener } from "../../../src/sdk/sdk.ts";

const [dies = "never"] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 4 });

async function connect(): Promise<pg.PoolClient> {
  const session = await pool.connect();
  const query = session.query.bind(session) as (...parts: unknown[]) => Promise<unknown>;
  session.query = (async (...parts: unknown[]) => {
    if (parts[0] !== "COMMIT") return await query(...parts);
    if (dies === "before") process.kill(process.pid, "SIGKILL");
    const result = await query(...parts);
    if (dies === "after") process.kill(process.pid, "SIGKILL");
    return result;
  }) as typeof session.query;
  return session;
}

const things = idempotentListener(createIdempotency({ connect }), {
  scopeOf: () => "",
  async work(session, { body }) {
    const { rows } = await session.query("INSERT INTO things (name) VALUES ($1) RETURNING id", [
      String(body),
    ]);
    return { status: 201, body: { id: rows[0].id, by: process.pid } };
  },
});

const server = createServer((request, response) => {
  things(request, response).catch(() => response.writeHead(500).end());
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
console.log((server.address() as AddressInfo).port);
