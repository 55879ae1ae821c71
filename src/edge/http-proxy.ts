/** What an edge does with each request: own endpoints, the service that is meant, and an exchange with it. */
import { randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import type { RegionState } from "../core/model/routing.ts";
import type { Address } from "../core/model/topology.ts";
import { isIdempotent, isSafe } from "../core/traffic/repeat.ts";
import type { ClientConnection, ClientLimits } from "./client-connection.ts";
import { Exchange, type ExchangeWorld } from "./exchange.ts";
import { HttpListener, type RequestHandler } from "./http-listener.ts";
import { type Problem, problemBody } from "./problem.ts";
import { methods, type RequestHead } from "./request-head.ts";
import type { ServicePlans } from "./service-plan.ts";

export class HttpProxy implements RequestHandler {
  readonly #listener: HttpListener;
  readonly #plans: ServicePlans;
  readonly #world: ExchangeWorld;
  readonly #idPrefix = randomUUID().slice(0, 18);
  #ids = 0;

  constructor(plans: ServicePlans, world: ExchangeWorld, limits: ClientLimits) {
    this.#plans = plans;
    this.#world = world;
    this.#listener = new HttpListener(this, limits);
  }

  get connections(): number {
    return this.#listener.connections;
  }

  listen(address: Address): Promise<Address> {
    return this.#listener.listen(address);
  }

  /** As the table says of the edge's own region. */
  follow(state: RegionState | undefined, drainMs: number): void {
    if (state === "draining" || state === "drained") this.#listener.drain(drainMs);
    else this.#listener.stay();
  }

  close(graceMs: number): Promise<void> {
    return this.#listener.close(graceMs);
  }

  serve(head: RequestHead, body: Buffer | Readable | null, responder: ClientConnection): void {
    const { method, path, headers } = head;
    if (path.startsWith("/.holdfast/")) {
      this.#serveOwn(path, responder);
      return;
    }
    const requestId = head.requestId ?? `${this.#idPrefix}-${(this.#ids++).toString(36)}`;
    const plan = this.#plans.find(head.host, path);
    if (!plan) {
      answer(responder, this.#plans.hasTable ? unknownService : noTable, requestId);
      return;
    }
    const { epoch, generation } = plan.table;
    headers.push("x-request-id", requestId, "x-holdfast-edge", this.#world.edge);
    headers.push("x-holdfast-epoch", String(epoch), "x-holdfast-generation", String(generation));
    const upstream = { method, path, headers, body, bodyLength: head.contentLength };
    const safe = isSafe(method);
    const idempotent = isIdempotent(method, head.hasIdempotencyKey);
    const request = { upstream, host: head.host, requestId, safe, idempotent };
    new Exchange(this.#world, plan, request, responder).proceed();
  }

  refuse(status: number, because: string, responder: ClientConnection): void {
    this.#world.counters.refused(status);
    const code = status === 405 ? "HOLDFAST_METHOD" : "HOLDFAST_BAD_REQUEST";
    const title = "The request is refused";
    const detail = `It is not passed on: ${because}.`;
    const allow = status === 405 ? ["allow", [...methods].join(", ")] : [];
    answer(responder, { status, code, title, detail, retryAfterS: 0 }, "", allow);
  }

  #serveOwn(path: string, responder: ClientConnection): void {
    const isLive = path === "/.holdfast/livez" || (path === "/.holdfast/readyz" && this.#plans.hasTable);
    const isKnown = isLive || path === "/.holdfast/readyz";
    const body = isLive ? "ok\n" : isKnown ? "no routing table yet\n" : "not found\n";
    const headers = ["content-type", "text/plain", "content-length", String(body.length)];
    responder.whole(isLive ? 200 : isKnown ? 503 : 404, [...headers, "cache-control", "no-store"], body);
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

function answer(
  responder: ClientConnection,
  problem: Problem,
  requestId: string,
  more: readonly string[] = [],
): void {
  const body = problemBody(problem, requestId);
  const headers = [
    "content-type",
    "application/problem+json",
    "content-length",
    String(Buffer.byteLength(body)),
  ];
  if (problem.retryAfterS > 0) headers.push("retry-after", String(problem.retryAfterS));
  responder.whole(problem.status, [...headers, ...more], Buffer.from(body));
}
