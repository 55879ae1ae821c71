/** Starts one instance of the orders service: `PORT=8080 REGION=west DATABASE_URL=postgres://... node main.ts`. */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { openDatabase, withRest } from "./database.ts";
import { createTables } from "./orders.ts";
import { createService } from "./service.ts";

const {
  PORT = "8080",
  HOST = "127.0.0.1",
  REGION = "local",
  DATABASE_URL,
  DATABASE_URL_READ,
  QUERY_TIMEOUT_MS = "1500",
  CONNECT_TIMEOUT_MS = "1000",
  SESSIONS_MAX = "2",
} = process.env;
if (!DATABASE_URL) {
  console.error(
    "DATABASE_URL is not set: where is PostgreSQL? Such as postgres://orders@127.0.0.1:5432/orders",
  );
  process.exit(2);
}

const primary = openDatabase({
  url: DATABASE_URL,
  name: `orders@${REGION}`,
  queryTimeoutMs: Number(QUERY_TIMEOUT_MS),
  connectTimeoutMs: Number(CONNECT_TIMEOUT_MS),
  sessionsMax: Number(SESSIONS_MAX),
});
// The primary stands behind it, so there is no point in waiting long for a standby, nor in asking a dead one each time.
const nearby = DATABASE_URL_READ
  ? withRest(
      openDatabase({
        url: DATABASE_URL_READ,
        name: `orders-read@${REGION}`,
        queryTimeoutMs: 300,
        connectTimeoutMs: 300,
        sessionsMax: Number(SESSIONS_MAX),
      }),
      1_000,
    )
  : null;

const server = createService({ region: REGION, primary, nearby });
const stopping = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stopping.abort());

server.listen(Number(PORT), HOST);
await once(server, "listening");
const address = server.address();
const port = typeof address === "object" && address !== null ? address.port : PORT;
console.log(JSON.stringify({ level: "info", listening: `http://${HOST}:${port}`, region: REGION }));

await prepare();
if (!stopping.signal.aborted) await once(stopping.signal, "abort");
await stop();

/** Until the tables are there. The service answers meanwhile: 503, which is the truth. */
async function prepare(): Promise<void> {
  for (let waitMs = 25; !stopping.signal.aborted; waitMs = Math.min(2 * waitMs, 500)) {
    const problem = await createTables(primary).then(
      (answer) => (answer.kind === "rows" ? null : answer.because),
      (error: unknown) => String(error),
    );
    if (problem === null) return;
    console.log(JSON.stringify({ level: "warn", waiting: "database", because: problem }));
    await sleep(waitMs, undefined, { signal: stopping.signal }).catch(() => {});
  }
}

/** Answers what has begun, takes nothing new, and is gone within 5 s whatever happens. */
async function stop(): Promise<void> {
  setTimeout(() => process.exit(1), 5_000).unref();
  setTimeout(() => server.closeAllConnections(), 4_000).unref();
  await new Promise((resolve) => {
    server.close(resolve);
    server.closeIdleConnections();
  });
  await Promise.all([primary.close(), nearby?.close()]);
}
