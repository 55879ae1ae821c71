/** One small service four times: the same route under node:http, Express, Fastify and Hono, each with real sockets. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { serve } from "@hono/node-server";
import express from "express";
import fastify from "fastify";
import { Hono } from "hono";
import type pg from "pg";
import {
  type Answer,
  fastifyContext,
  honoContext,
  type Idempotency,
  idempotentExpress,
  idempotentFastify,
  idempotentHono,
  idempotentListener,
  nodeContext,
  requestContext,
  runInContext,
} from "../../../src/sdk/sdk.ts";

export interface TestService {
  readonly url: string;
  close(): Promise<void>;
}

/** What all of them do: given the body as text and whoever calls. */
export type Work = (session: pg.PoolClient, text: string) => Promise<Answer>;

export interface ServiceParts {
  readonly idempotency: Idempotency<pg.PoolClient>;
  readonly work: Work;
  readonly required?: boolean;
}

const scopeOfField = (value: string | string[] | null | undefined) => value?.toString() ?? "";

/** Names -> how to start. Each answers `POST /things` once a key, and `GET /context` with its request's context. */
export const frameworks = {
  async "node:http"({ idempotency, work, required }: ServiceParts) {
    const things = idempotentListener(idempotency, {
      scopeOf: (request) => scopeOfField(request.headers["x-account"]),
      required: required ?? true,
      work: (session, { body }) => work(session, String(body)),
    });
    return await listen(
      createServer((request, response) => {
        runInContext(request.headers, async () => {
          try {
            if (request.url?.startsWith("/things")) return await things(request, response);
            response.end(JSON.stringify(requestContext()));
          } catch (error) {
            response.writeHead(500).end(String(error));
          }
        }).catch(() => undefined);
      }),
    );
  },

  async "Express without a parser"(parts: ServiceParts) {
    return await listen(createServer(expressApp(parts, false)));
  },

  async "Express with a parser"(parts: ServiceParts) {
    return await listen(createServer(expressApp(parts, true)));
  },

  async Fastify({ idempotency, work, required }: ServiceParts) {
    const app = fastify();
    await app.register(fastifyContext);
    app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
    app.post(
      "/things",
      idempotentFastify(idempotency, {
        scopeOf: (request) => scopeOfField(request.headers["x-account"]),
        required: required ?? true,
        work: (session, { body }) => work(session, textOf(body)),
      }),
    );
    app.post("/context", async () => requestContext());
    app.get("/context", async () => requestContext());
    return { url: await app.listen({ host: "127.0.0.1", port: 0 }), close: async () => await app.close() };
  },

  async Hono({ idempotency, work, required }: ServiceParts) {
    const app = new Hono();
    app.use(honoContext);
    app.post(
      "/things",
      idempotentHono(idempotency, {
        scopeOf: (c) => scopeOfField(c.req.raw.headers.get("x-account")),
        required: required ?? true,
        work: (session, { body }) => work(session, String(body)),
      }),
    );
    app.all("/context", (c) => c.json(requestContext()));
    const server = serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }) as Server;
    return await listening(server);
  },
};

function expressApp({ idempotency, work, required }: ServiceParts, parses: boolean): express.Express {
  const app = express();
  app.use(nodeContext);
  if (parses) app.use(express.json(), express.raw({ type: "*/*" }));
  app.post(
    "/things",
    idempotentExpress(idempotency, {
      scopeOf: (request: express.Request) => scopeOfField(request.get("x-account")),
      required: required ?? true,
      work: (session, { body }) => work(session, textOf(body)),
    }),
  );
  app.all("/context", async (_request, response) => void response.json(requestContext()));
  app.use(
    (error: unknown, _request: express.Request, response: express.Response, _next: express.NextFunction) => {
      response.status(500).send(String(error));
    },
  );
  return app;
}

function textOf(body: unknown): string {
  return Buffer.isBuffer(body) || typeof body === "string" ? String(body) : JSON.stringify(body);
}

async function listen(server: Server): Promise<TestService> {
  server.listen(0, "127.0.0.1");
  return await listening(server);
}

async function listening(server: Server): Promise<TestService> {
  if (!server.listening) await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
