/** The HTTP listener of an edge: reads heads, refuses what must not be passed on, and starts exchanges. */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import type { Address } from "../core/model/topology.ts";
import { isIdempotent, isSafe } from "../core/traffic/repeat.ts";
import { Exchange, type ExchangeWorld } from "./exchange.ts";
import { readRequestHead } from "./headers.ts";
import { listen, stopServer } from "./listen.ts";
import { type Problem, problemBody } from "./problem.ts";
import { hasBody, readBody } from "./request-body.ts";
import type { ServicePlans } from "./service-plan.ts";

/** 16 KiB of head and a minute for it: slow clients are bounded, and cost a connection at most. */
const maxHeaderBytes = 16 * 1024;
const headersTimeoutMs = 20_000;
const requestTimeoutMs = 300_000;
/** Longer than clients' and balancers' usual 60 s, so that the client ends an idle connection and not we. */
const keepAliveTimeoutMs = 65_000;

/** Methods that this proxy passes: CONNECT would make it an open relay, TRACE echoes what only we and it should know. */
const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"]);

export class HttpProxy {
  readonly #server: Server;
  readonly #plans: ServicePlans;
  readonly #world: ExchangeWorld;
  readonly #isReady: () => boolean;
  readonly #idPrefix = randomUUID().slice(0, 18);
  #ids = 0;

  constructor(plans: ServicePlans, world: ExchangeWorld, isReady: () => boolean) {
    this.#plans = plans;
    this.#world = world;
    this.#isReady = isReady;
    this.#server = createServer(
      {
        maxHeaderSize: maxHeaderBytes,
        headersTimeout: headersTimeoutMs,
        requestTimeout: requestTimeoutMs,
        keepAliveTimeout: keepAliveTimeoutMs,
        noDelay: true,
      },
      (request, response) => this.#serve(request, response),
    );
  }

  listen(address: Address): Promise<Address> {
    return listen(this.#server, address, "http");
  }

  /** In-flight requests may finish until `graceMs` have passed. */
  close(graceMs: number): Promise<void> {
    return stopServer(this.#server, graceMs);
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url as string;
    const method = request.method as string;
    if (path.startsWith("/.holdfast/")) {
      this.#serveOwn(path, response);
      return;
    }
    if (!methods.has(method)) {
      refuse(response, badMethod(method), "", [["allow", [...methods].join(", ")]]);
      return;
    }
    // Origin form only (and `*` for OPTIONS): an absolute form would name a host beside the Host field.
    if (!/^\/[\x21-\x7e\x80-\xff]*$/.test(path)) {
      refuse(response, badRequest("the path is not in origin form"));
      return;
    }
    const head = readRequestHead(request.rawHeaders, {
      address: request.socket.remoteAddress ?? "unknown",
      proto: "http",
    });
    if (!head) {
      refuse(
        response,
        badRequest(
          "there must be exactly one Host field with a host in it, and no transfer coding but chunked",
        ),
      );
      return;
    }
    const requestId = head.requestId ?? `${this.#idPrefix}-${(this.#ids++).toString(36)}`;
    const plan = this.#plans.find(head.host, path);
    if (!plan) {
      refuse(response, this.#plans.hasTable ? unknownService : noTable, requestId);
      return;
    }
    head.headers.push("x-request-id", requestId);
    const safe = isSafe(method);
    const idempotent = isIdempotent(method, head.hasIdempotencyKey);
    const begin = (body: Buffer | Readable | null): void => {
      const upstream = { method, path, headers: head.headers, body, bodyLength: head.contentLength };
      new Exchange(this.#world, plan, { upstream, requestId, safe, idempotent }, response).proceed();
    };
    if (hasBody(request, head.contentLength)) readBody(request, head.contentLength, begin);
    else begin(null);
  }

  #serveOwn(path: string, response: ServerResponse): void {
    const ok = path === "/.holdfast/livez" || (path === "/.holdfast/readyz" && this.#isReady());
    const known = ok || path === "/.holdfast/readyz";
    response.writeHead(ok ? 200 : known ? 503 : 404, {
      "content-type": "text/plain",
      "cache-control": "no-store",
    });
    response.end(ok ? "ok\n" : known ? "no routing table yet\n" : "not found\n");
  }
}

const noTable: Problem = {
  status: 503,
  code: "HOLDFAST_NO_TABLE",
  title: "No routing table yet",
  detail: "This edge has never been given a routing table, and has none on disk.",
  retryAfterS: 1,
};

const unknownService: Problem = {
  status: 404,
  code: "HOLDFAST_UNKNOWN_SERVICE",
  title: "No such service",
  detail: "Neither the first label of the host nor the first segment of the path names a service.",
  retryAfterS: 0,
};

function badRequest(detail: string): Problem {
  return { status: 400, code: "HOLDFAST_BAD_REQUEST", title: "Bad request", detail, retryAfterS: 0 };
}

function badMethod(method: string): Problem {
  const detail = `${method} is not passed on.`;
  return { status: 405, code: "HOLDFAST_METHOD", title: "Method not allowed", detail, retryAfterS: 0 };
}

function refuse(
  response: ServerResponse,
  problem: Problem,
  requestId = "",
  more: readonly (readonly [string, string])[] = [],
): void {
  const body = problemBody(problem, requestId);
  response.writeHead(problem.status, {
    "content-type": "application/problem+json",
    "content-length": Buffer.byteLength(body),
    // Whoever sends what we refuse may mean something else by the bytes that follow.
    connection: "close",
    ...(problem.retryAfterS > 0 ? { "retry-after": String(problem.retryAfterS) } : {}),
    ...Object.fromEntries(more),
  });
  response.end(body);
}
