/**
 * The admin listener of an edge: tables and orders in, state and metrics out. JSON over HTTP, a bearer token.
 *
 * `/livez`, `/readyz` and `/metrics` are open, since probes and Prometheus carry no token and learn no secret.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { z } from "zod";
import type { Address } from "../core/model/topology.ts";
import type { MemberGate } from "./gate.ts";
import { listen, stopServer } from "./listen.ts";
import type { HolderOutcome, TableHolder } from "./table-holder.ts";
import { textOf } from "./table-reading.ts";

/** 1,000 services with three targets each are 0.7 MB. */
const bodyMaxBytes = 8 * 1024 * 1024;

export interface AdminWorld {
  readonly holder: TableHolder;
  readonly gates: ReadonlyMap<string, MemberGate>;
  readonly token: string;
  state(): Promise<unknown>;
  /** Prometheus text. */
  metrics(): Promise<string>;
  /** Empty: it serves. */
  whyNotReady(): string;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** JSON has no infinity: null stands for the instant that never comes. */
const instant = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.POSITIVE_INFINITY);

const gateOrder = z.object({
  member: z.string(),
  epoch: z.number().int().nonnegative(),
  mode: z.enum(["open", "hold", "closed"]),
  holdAt: instant,
  cutAt: instant,
});

const drainRequest = z.object({ member: z.string(), waitMs: z.number().min(0).max(60_000) });

export class AdminServer {
  readonly #world: AdminWorld;
  readonly #server: Server;

  constructor(world: AdminWorld) {
    this.#world = world;
    this.#server = createServer({ requestTimeout: 30_000, keepAliveTimeout: 65_000 }, (request, response) => {
      void this.#serve(request, response);
    });
  }

  listen(address: Address): Promise<Address> {
    return listen(this.#server, address, "admin");
  }

  close(graceMs: number): Promise<void> {
    return stopServer(this.#server, graceMs);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const route = `${request.method} ${request.url}`;
    if (route === "GET /metrics") {
      const text = await this.#world.metrics();
      if (response.destroyed) return;
      response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
      response.end(text);
      return;
    }
    let answer: Answer;
    try {
      answer = await this.#answer(route, request);
    } catch (error) {
      answer = { status: 400, body: { error: (error as Error).message } };
    }
    if (response.destroyed) return;
    const text = JSON.stringify(answer.body);
    response.writeHead(answer.status, { "content-type": "application/json", "cache-control": "no-store" });
    response.end(text);
  }

  async #answer(route: string, request: IncomingMessage): Promise<Answer> {
    if (route === "GET /livez") return { status: 200, body: { live: true } };
    if (route === "GET /readyz") {
      const because = this.#world.whyNotReady();
      const ready = because === "";
      return { status: ready ? 200 : 503, body: { ready, because } };
    }
    if (!isAuthorized(request.headers.authorization, this.#world.token))
      return { status: 401, body: { error: "the admin token is missing or wrong" } };
    switch (route) {
      case "GET /v1/table":
        return { status: 200, body: this.#world.holder.signed };
      case "POST /v1/table":
        return holderAnswer(await this.#world.holder.apply(await readBytes(request)));
      case "GET /v1/state":
        return { status: 200, body: await this.#world.state() };
      case "POST /v1/gate":
        return this.#orderGate(await readText(request));
      case "POST /v1/gate/drain":
        return this.#drainGate(await readText(request));
      default:
        return this.#evacuate(route, request);
    }
  }

  #orderGate(text: string): Answer {
    const order = gateOrder.parse(JSON.parse(text));
    const gate = this.#world.gates.get(order.member);
    if (!gate) return { status: 404, body: { error: `no gate of member ${order.member} here` } };
    const because = gate.order(order);
    return { status: because === "" ? 200 : 409, body: { obeyed: because === "", because } };
  }

  async #drainGate(text: string): Promise<Answer> {
    const { member, waitMs } = drainRequest.parse(JSON.parse(text));
    const gate = this.#world.gates.get(member);
    if (!gate) return { status: 404, body: { error: `no gate of member ${member} here` } };
    return { status: 200, body: { open: await gate.drain(waitMs) } };
  }

  async #evacuate(route: string, request: IncomingMessage): Promise<Answer> {
    const match = /^(POST|PUT) \/v1\/evacuate\/([^/?]+)$/.exec(route);
    if (!match) return { status: 404, body: { error: `nothing answers to ${route}` } };
    const region = decodeURIComponent(match[2] as string);
    if (match[1] === "POST") return holderAnswer(await this.#world.holder.evacuate(region));
    return holderAnswer(await this.#world.holder.keepEvacuation(region, await readBytes(request)));
  }
}

function holderAnswer(outcome: HolderOutcome): Answer {
  const status = { applied: 200, unchanged: 200, refused: 409, unknown: 504 }[outcome.kind];
  return { status, body: outcome };
}

/** In constant time: digests have one length, whatever was sent. */
function isAuthorized(header: string | undefined, token: string): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(header ?? ""), hash(`Bearer ${token}`));
}

async function readText(request: IncomingMessage): Promise<string> {
  return textOf(await readBytes(request));
}

/** In memory that threads share: a big table is read in another, and copied no more. */
async function readBytes(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (bodyMaxBytes < length) throw new Error(`a body of more than ${bodyMaxBytes} bytes is not read`);
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(new SharedArrayBuffer(length));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
