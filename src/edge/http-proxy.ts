/** What an edge does with each request: own endpoints, the service that is meant, and an exchange with it. */
import { randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import type { RegionState } from "../core/model/routing.ts";
import type { Address } from "../core/model/topology.ts";
import { isIdempotent, isSafe } from "../core/traffic/repeat.ts";
import { type AccessLog, AccessRecord } from "./access-log.ts";
import type { Certificates } from "./certificates.ts";
import type { TrustedNetworks } from "./client-peer.ts";
import { Exchange } from "./exchange.ts";
import type { ExchangeWorld } from "./exchange-world.ts";
import { HttpListener, type ListenerOptions } from "./http-listener.ts";
import type { Metrics } from "./metrics.ts";
import { type Problem, problemBody } from "./problem.ts";
import { methods, type RequestHead } from "./request-head.ts";
import type { RequestHandler, Responder } from "./responder.ts";
import type { ServicePlans } from "./service-plan.ts";
import { TraceStart } from "./trace-start.ts";

export interface ProxyOptions extends ListenerOptions {
  readonly traceparent: "pass" | "begin";
}

export class HttpProxy implements RequestHandler {
  readonly #listener: HttpListener;
  readonly #plans: ServicePlans;
  readonly #world: ExchangeWorld;
  readonly #traces: TraceStart | null;
  /** null: off. */
  log: AccessLog | null = null;
  readonly #idPrefix = randomUUID().slice(0, 18);
  #ids = 0;

  constructor(plans: ServicePlans, world: ExchangeWorld, options: ProxyOptions) {
    this.#plans = plans;
    this.#world = world;
    this.#traces = options.traceparent === "begin" ? new TraceStart() : null;
    this.#listener = new HttpListener(this, options);
  }

  get connections(): number {
    return this.#listener.connections;
  }

  listen(address: Address): Promise<Address> {
    return this.#listener.listen(address);
  }

  listenTls(address: Address, certificates: Certificates, metrics: Metrics): Promise<Address> {
    return this.#listener.listenTls(address, certificates, metrics);
  }

  get networks(): TrustedNetworks {
    return this.#listener.networks;
  }

  /** As the table says of the edge's own region. */
  follow(state: RegionState | undefined, drainMs: number): void {
    if (state === "draining" || state === "drained") this.#listener.drain(drainMs);
    else this.#listener.stay();
  }

  close(graceMs: number): Promise<void> {
    return this.#listener.close(graceMs);
  }

  serve(head: RequestHead, body: Buffer | Readable | null, responder: Responder): void {
    const { method, path, headers, webSocketKey } = head;
    if (path.startsWith("/.holdfast/")) {
      this.#serveOwn(path, responder);
      return;
    }
    const requestId = head.requestId ?? `${this.#idPrefix}-${(this.#ids++).toString(36)}`;
    const record = this.log === null ? null : this.#record(this.log, head, responder, requestId);
    const plan = this.#plans.find(head.host, path);
    if (!plan) {
      answer(responder, this.#plans.hasTable ? unknownService : noTable, requestId, record);
      return;
    }
    if (webSocketKey !== null) {
      if (!this.#world.webSockets.hasRoom) {
        answer(responder, tooManyWebSockets, requestId, record);
        return;
      }
      headers.push("connection", "upgrade", "upgrade", "websocket");
    }
    if (this.#traces !== null && head.trace === null) headers.push("traceparent", this.#traces.next());
    const { epoch, generation } = plan.table;
    headers.push("x-request-id", requestId, "x-holdfast-edge", this.#world.edge);
    headers.push("x-holdfast-epoch", String(epoch), "x-holdfast-generation", String(generation));
    const upstream = { method, path, headers, body, bodyLength: head.contentLength, webSocketKey };
    const safe = isSafe(method);
    const idempotent = isIdempotent(method, head.hasIdempotencyKey);
    const client = this.#listener.networks.clientOf(responder.peer, head.forwardedFor);
    const request = { upstream, host: head.host, requestId, safe, idempotent, client, record };
    new Exchange(this.#world, plan, request, responder).proceed();
  }

  refuse(status: number, because: string, responder: Responder): void {
    this.#world.counters.refused(status);
    const code = status === 405 ? "HOLDFAST_METHOD" : "HOLDFAST_BAD_REQUEST";
    const title = "The request is refused";
    const detail = `It is not passed on: ${because}.`;
    const allow = status === 405 ? ["allow", [...methods].join(", ")] : [];
    const record = this.log === null ? null : this.#record(this.log, null, responder, "");
    answer(responder, { status, code, title, detail, retryAfterS: 0 }, "", record, allow);
  }

  #record(log: AccessLog, head: RequestHead | null, { peer, protocol }: Responder, id: string): AccessRecord {
    return new AccessRecord(log, head, peer, protocol, id);
  }

  #serveOwn(path: string, responder: Responder): void {
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

const tooManyWebSockets: Problem = {
  status: 503,
  code: "HOLDFAST_SHED",
  title: "The service cannot answer now",
  detail: "This edge carries as many WebSockets as it may (webSocketsMax).",
  retryAfterS: 1,
};

function answer(
  responder: Responder,
  problem: Problem,
  requestId: string,
  record: AccessRecord | null,
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
  if (record !== null) {
    record.answered("none", problem.status);
    record.outcome = problem.code === "HOLDFAST_SHED" ? "shed" : "refused";
    record.code = problem.code;
    record.over(0, 0);
  }
  responder.whole(problem.status, [...headers, ...more], Buffer.from(body));
}
