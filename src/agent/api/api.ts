/** The agent's HTTP API: health, figures, status, requests, incidents, peers and events. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Server } from "node:http";
import { createAdaptorServer } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { streamSSE } from "hono/streaming";
import type { z } from "zod";
import { HoldfastError } from "../../core/model/error-code.ts";
import type { RequestRecord } from "../../core/model/record.ts";
import type { Problem, RequestBody } from "../../core/model/status.ts";
import type { Address } from "../../core/model/topology.ts";
import type { ApiHandlers } from "./handlers.ts";
import { problem, problemResponse } from "./problem.ts";
import { openApi, type RouteName, routes } from "./routes.ts";
import {
  explain,
  levelBodySchema,
  peerQuestionSchema,
  requestBodySchema,
  sealNoticeSchema,
} from "./schema.ts";

export interface ApiOptions {
  readonly handlers: ApiHandlers;
  /** Bearer token of every route but health, figures and the description. */
  readonly token: string;
  readonly logger: (text: string, details: Readonly<Record<string, unknown>>) => void;
  /** Answers what no route does: the console. null: 404. */
  readonly otherwise?: (request: Request) => Response | null | Promise<Response | null>;
}

export interface Api {
  /** Resolves with where it listens (port 0: a free one); rejects with HOLDFAST_ADDRESS_UNUSABLE. */
  listen(address: Address): Promise<Address>;
  /** Within a second, also with listeners to events. */
  close(): Promise<void>;
  /** For tests: a request without a socket. */
  readonly fetch: (request: Request) => Response | Promise<Response>;
}

/** A question of a peer has some 150 bytes, a request of a person at most 1.5 KB. */
const bodyBytesMax = 16 * 1024;
/** Each holds a socket and a queue. */
const listenersMax = 64;
/** A proxy in between ends what is silent for longer, often after 30 s. */
const keepAliveMs = 10_000;
/** Connections of other agents stay open between what they tell (`agent.ts` says how often they are used). */
const keptMs = 75_000;
const submitTimeoutMs = 5_000;
/** What is under way may end by itself. */
const closeGraceMs = 500;

export function createApi(options: ApiOptions): Api {
  const { handlers, logger } = options;
  const closing = new AbortController();
  const isToken = compareWith(options.token);
  let listeners = 0;
  const app = new Hono();

  const serve = (name: RouteName, answer: (c: Context) => Response | Promise<Response>) => {
    const route = routes[name];
    app.on(route.method.toUpperCase(), route.path, async (c) => {
      if (!route.guarded) return await answer(c);
      const given = /^Bearer ([!-~]+)$/i.exec(c.req.header("authorization") ?? "")?.[1];
      if (given !== undefined && isToken(given)) return await answer(c);
      const detail =
        given === undefined ? "there was no bearer token" : "the bearer token is not the agent's";
      return problemResponse(problem("HOLDFAST_REQUEST_UNAUTHENTICATED", `${c.req.path}: ${detail}`), {
        "www-authenticate": `Bearer realm="holdfast"`,
      });
    });
  };

  const tooLarge = `a body may have at most ${bodyBytesMax} bytes`;
  app.use(
    bodyLimit({
      maxSize: bodyBytesMax,
      onError: () => problemResponse(problem("HOLDFAST_REQUEST_TOO_LARGE", tooLarge)),
    }),
  );
  serve("live", (c) => c.json({ live: true }));
  serve("ready", (c) => {
    const { ready, because } = handlers.ready();
    if (ready) return c.json({ ready });
    return problemResponse(problem("HOLDFAST_REQUEST_UNAVAILABLE", because));
  });
  serve("metrics", (c) => c.body(handlers.metrics(), 200, { "content-type": "text/plain; version=0.0.4" }));
  serve("openapi", (c) => c.json(openApi()));
  serve("status", (c) => c.json(handlers.status()));
  serve("routers", async (c) => c.json(await handlers.routers()));
  serve("submit", async (c) => {
    const body = await read(c, requestBodySchema);
    if (body.kind === "problem") return problemResponse(body.problem);
    const key = c.req.header("idempotency-key");
    if (key !== undefined && !/^[!-~]{1,255}$/.test(key))
      return invalid("Idempotency-Key: 1 to 255 printable characters");
    const signal = AbortSignal.any([c.req.raw.signal, AbortSignal.timeout(submitTimeoutMs)]);
    const outcome = await handlers.submit(requestId(key), body.value, signal);
    if (outcome.kind === "refused") return problemResponse(outcome.problem);
    const { record, repeated } = outcome;
    if (repeated && !isSameRequest(record, body.value)) {
      return invalid(`Idempotency-Key: was used for another request (${record.kind}, ${record.id})`);
    }
    return c.json(record, repeated ? 200 : 202, { location: `/v1/requests/${record.id}` });
  });
  serve("request", async (c) => found(c, "request", await handlers.request(id(c))));
  serve("level", async (c) => {
    const body = await read(c, levelBodySchema);
    if (body.kind === "problem") return problemResponse(body.problem);
    const signal = AbortSignal.any([c.req.raw.signal, AbortSignal.timeout(submitTimeoutMs)]);
    const outcome = await handlers.degrade(id(c), body.value, signal);
    return outcome.kind === "refused" ? problemResponse(outcome.problem) : c.json(outcome.record);
  });
  serve("incidents", async (c) => c.json(await handlers.incidents()));
  serve("incident", async (c) => found(c, "incident", await handlers.incident(id(c))));
  serve("peer", async (c) => {
    const body = await read(c, peerQuestionSchema);
    return body.kind === "problem" ? problemResponse(body.problem) : c.json(await handlers.peer(body.value));
  });
  serve("seal", async (c) => {
    const body = await read(c, sealNoticeSchema);
    if (body.kind === "problem") return problemResponse(body.problem);
    handlers.seal(body.value);
    return c.body(null, 204);
  });
  serve("events", (c) => {
    if (listenersMax <= listeners) {
      const detail = `${listeners} already listen to the events of this agent`;
      return problemResponse(problem("HOLDFAST_REQUEST_UNAVAILABLE", detail), { "retry-after": "5" });
    }
    listeners += 1;
    return streamSSE(c, async (stream) => {
      const gone = new AbortController();
      stream.onAbort(() => gone.abort());
      const signal = AbortSignal.any([closing.signal, gone.signal]);
      const beat = setInterval(() => void stream.write(": still here\n\n").catch(() => {}), keepAliveMs);
      try {
        await stream.write(": welcome\n\n");
        for await (const event of handlers.events(signal, c.req.header("last-event-id") ?? null)) {
          if (signal.aborted) break;
          await stream.writeSSE({ id: event.id, event: event.kind, data: JSON.stringify(event.data) });
        }
      } finally {
        clearInterval(beat);
        listeners -= 1;
      }
    });
  });
  app.notFound(async (c) => {
    const other = await options.otherwise?.(c.req.raw);
    return (
      other ??
      problemResponse(problem("HOLDFAST_REQUEST_UNKNOWN", `${c.req.method} ${c.req.path} is no route`))
    );
  });
  app.onError((error, c) => {
    logger("an API handler failed", { method: c.req.method, path: c.req.path, error: error.stack });
    return problemResponse(
      problem("HOLDFAST_REQUEST_FAILED", `${c.req.method} ${c.req.path}: ${error.message}`),
    );
  });

  let server: Server | null = null;
  return {
    fetch: (request) => app.fetch(request),
    async listen(address) {
      const made = createAdaptorServer({ fetch: app.fetch }) as Server;
      // Heads come at once from friends; a slow sender may not keep a socket.
      made.headersTimeout = 5_000;
      made.requestTimeout = 10_000;
      made.keepAliveTimeout = keptMs;
      await bind(made, address);
      server = made;
      const { port } = made.address() as { port: number };
      return { host: address.host, port };
    },
    async close() {
      closing.abort();
      if (server === null) return;
      const closed = new Promise((done) => server?.close(done));
      server.closeIdleConnections();
      const timer = setTimeout(() => server?.closeAllConnections(), closeGraceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}

/** The same key is the same request, at whichever agent it arrives: the id is made of the key. */
function requestId(key: string | undefined): string {
  if (key === undefined) return randomBytes(8).toString("hex");
  return createHash("sha256").update(key).digest("hex").slice(0, 16);
}

function isSameRequest(record: RequestRecord, body: RequestBody): boolean {
  return (
    record.kind === body.kind &&
    record.dataStore === body.dataStore &&
    record.toRegion === body.toRegion &&
    record.ifEpoch === body.ifEpoch
  );
}

type Read<T> =
  | { readonly kind: "value"; readonly value: T }
  | { readonly kind: "problem"; readonly problem: Problem };

async function read<S extends z.ZodType>(c: Context, schema: S): Promise<Read<z.output<S>>> {
  let given: unknown;
  try {
    given = await c.req.json();
  } catch (error) {
    const detail = `the body is not JSON: ${(error as Error).message}`;
    return { kind: "problem", problem: problem("HOLDFAST_REQUEST_INVALID", detail) };
  }
  const result = schema.safeParse(given);
  if (result.success) return { kind: "value", value: result.data };
  return { kind: "problem", problem: problem("HOLDFAST_REQUEST_INVALID", explain(result.error)) };
}

function invalid(detail: string): Response {
  return problemResponse(problem("HOLDFAST_REQUEST_INVALID", detail));
}

function id(c: Context): string {
  return c.req.param("id") ?? "";
}

function found(c: Context, what: string, value: unknown): Response {
  if (value !== null && value !== undefined) return c.json(value as object);
  return problemResponse(problem("HOLDFAST_REQUEST_UNKNOWN", `there is no ${what} ${id(c)}`));
}

/** Takes as long for a near miss as for a far one. */
function compareWith(token: string): (given: string) => boolean {
  const sum = (text: string) => createHash("sha256").update(text).digest();
  const expected = sum(token);
  return (given) => timingSafeEqual(sum(given), expected);
}

function bind(server: Server, address: Address): Promise<void> {
  const { host, port } = address;
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "EADDRINUSE" ? "somebody else listens there" : error.message;
      reject(
        new HoldfastError("HOLDFAST_ADDRESS_UNUSABLE", `cannot listen on ${host}:${port}: ${why}`, error),
      );
    });
    server.listen(port, host, resolve);
  });
}
