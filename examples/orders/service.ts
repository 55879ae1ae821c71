/** HTTP in, orders out: POST /orders, GET /orders, GET /orders/:id, GET /healthz, GET /readyz. */
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Database } from "./database.ts";
import { findOrder, listOrders, type NewOrder, placeOrder, type Unavailable } from "./orders.ts";

export interface ServiceOptions {
  readonly region: string;
  /** Leads to the writer, wherever it is. */
  readonly primary: Database;
  /** A standby nearby, which may be behind; null: everything is read from the primary. */
  readonly nearby: Database | null;
}

interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: object;
}

export function createService(options: ServiceOptions): Server {
  const server = createServer((request, response) => {
    void answer(request, options)
      .catch((error: unknown): Reply => {
        console.error(JSON.stringify({ level: "error", url: request.url, error: String(error) }));
        return problem(500, "internal error");
      })
      .then((reply) => {
        const body = JSON.stringify(reply.body);
        response.writeHead(reply.status, {
          "content-type": "application/json",
          "content-length": Buffer.byteLength(body),
          "x-region": options.region,
          ...(server.listening ? {} : { connection: "close" }),
          ...reply.headers,
        });
        response.end(body);
      });
  });
  // Longer than any proxy keeps an idle connection to us, so that it is never we who close one as it is taken up.
  server.keepAliveTimeout = 65_000;
  server.requestTimeout = 10_000;
  return server;
}

async function answer(request: IncomingMessage, options: ServiceOptions): Promise<Reply> {
  const url = new URL(request.url ?? "/", "http://orders");
  const route = `${request.method} ${url.pathname}`;
  if (route === "GET /healthz") return { status: 200, body: { status: "up" } };
  if (route === "GET /readyz") return await list(options, 1, () => ({ status: "ready" }));
  if (route === "POST /orders") return await create(request, options);
  if (route === "GET /orders") {
    const limit = Number(url.searchParams.get("limit") ?? 20);
    if (!Number.isInteger(limit) || limit < 1 || limit > 100) return problem(400, "limit: 1 to 100");
    return await list(options, limit, (orders) => ({ orders }));
  }
  const id = /^GET \/orders\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.exec(route)?.[1];
  return id === undefined ? problem(404, "no such resource") : await read(options, id);
}

async function create(request: IncomingMessage, options: ServiceOptions): Promise<Reply> {
  const order = await readOrder(request);
  if (order === null)
    return problem(400, "expected { item: 1 to 200 printable characters, quantity: 1 to 1000 }");
  const key = request.headers["idempotency-key"]?.toString() ?? null;
  if (key !== null && !/^[\x21-\x7e]{1,255}$/.test(key))
    return problem(400, "Idempotency-Key: 1 to 255 visible ASCII characters");

  const placed = await placeOrder(options.primary, { order, key, region: options.region });
  switch (placed.kind) {
    case "placed":
      return {
        status: 201,
        headers: {
          location: `/orders/${placed.receipt.id}`,
          "x-acknowledged-by": placed.acknowledgedBy,
          ...(placed.replayed ? { "idempotency-replayed": "true" } : {}),
        },
        body: placed.receipt,
      };
    case "mismatch":
      return problem(422, "this Idempotency-Key was used for another order");
    case "unavailable":
      return writerChanging(placed);
    default:
      return placed satisfies never;
  }
}

/** Nearby first. What is not there yet may be at the primary: nobody is told 404 about an order that was confirmed. */
async function read(options: ServiceOptions, id: string): Promise<Reply> {
  for (const database of sourcesOf(options)) {
    const found = await findOrder(database, id);
    if (found.kind === "found" && found.orders[0] !== undefined)
      return { status: 200, headers: readFrom(options, database), body: found.orders[0] };
    if (database !== options.primary) continue;
    return found.kind === "found" ? problem(404, "no such order") : writerChanging(found);
  }
  return problem(500, "no database to read from");
}

async function list(
  options: ServiceOptions,
  limit: number,
  show: (orders: readonly object[]) => object,
): Promise<Reply> {
  for (const database of sourcesOf(options)) {
    const found = await listOrders(database, limit);
    if (found.kind === "found")
      return { status: 200, headers: readFrom(options, database), body: show(found.orders) };
    if (database === options.primary) return writerChanging(found);
  }
  return problem(500, "no database to read from");
}

function sourcesOf({ nearby, primary }: ServiceOptions): readonly Database[] {
  return nearby === null ? [primary] : [nearby, primary];
}

function readFrom(options: ServiceOptions, database: Database): Record<string, string> {
  return { "x-read-from": database === options.primary ? "primary" : "nearby" };
}

/**
 * Never a success that is not known to be one. The edge holds the request, and repeats it when the writer is there: with
 * `nothing-done` any request, with `writer-changing` (it may have been applied) only what is safe to repeat.
 */
function writerChanging(unavailable: Unavailable): Reply {
  return {
    status: 503,
    headers: {
      "x-holdfast-retry": unavailable.applied === "no" ? "nothing-done" : "writer-changing",
      "retry-after": "1",
    },
    body: { error: "the writer is changing", applied: unavailable.applied, because: unavailable.because },
  };
}

function problem(status: number, error: string): Reply {
  return { status, body: { error } };
}

const bodyMaxBytes = 16_384;

/** null: not an order. */
async function readOrder(request: IncomingMessage): Promise<NewOrder | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= bodyMaxBytes) chunks.push(chunk);
  }
  if (bytes > bodyMaxBytes) return null;
  let body: unknown;
  try {
    body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    return null;
  }
  if (typeof body !== "object" || body === null || !("item" in body) || !("quantity" in body)) return null;
  const { item, quantity } = body;
  if (typeof item !== "string" || !/^\P{Cc}{1,200}$/u.test(item)) return null;
  if (typeof quantity !== "number" || !Number.isInteger(quantity) || quantity < 1 || quantity > 1000)
    return null;
  return { item, quantity };
}
