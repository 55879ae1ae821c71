/** What the command line asks of an agent, with its problems told as errors that say what to do next. */
import { Agent } from "undici";
import type { LevelRecord } from "../../core/model/degradation.ts";
import { type ErrorCode, errorCodes, HoldfastError } from "../../core/model/error-code.ts";
import type { RoutersView } from "../../core/model/plane.ts";
import type { RequestRecord } from "../../core/model/record.ts";
import type { LevelBody, Problem, RequestBody, StatusView } from "../../core/model/status.ts";
import type { SpanMs } from "../../core/model/time.ts";
import type { Address } from "../../core/model/topology.ts";
import { sayWhy } from "./failure.ts";
import { connectWithinMs, request } from "./request.ts";

export interface AgentClientOptions {
  readonly address: Address;
  readonly token: string;
  /** For each call, connecting included. Default 5 s. */
  readonly timeoutMs?: SpanMs;
}

/** Rejects with HOLDFAST_AGENT_UNREACHABLE when there is no answer, else with the code of the agent's problem. */
export class AgentClient {
  readonly #base: string;
  readonly #token: string;
  readonly #timeoutMs: SpanMs;
  readonly #agent = new Agent({ connect: { timeout: connectWithinMs }, headersTimeout: 0, bodyTimeout: 0 });

  constructor(options: AgentClientOptions) {
    const { host, port } = options.address;
    this.#base = `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
    this.#token = options.token;
    this.#timeoutMs = options.timeoutMs ?? 5_000;
  }

  status(): Promise<StatusView> {
    return this.#call("GET", "/v1/status") as Promise<StatusView>;
  }

  /** The data planes of this agent's region, looked at now. */
  routers(): Promise<RoutersView> {
    return this.#call("GET", "/v1/routers") as Promise<RoutersView>;
  }

  /** With the same `idempotencyKey` it is done once, however often it is sent. */
  submit(body: RequestBody, idempotencyKey: string): Promise<RequestRecord> {
    return this.#call("POST", "/v1/requests", body, {
      "idempotency-key": idempotencyKey,
    }) as Promise<RequestRecord>;
  }

  request(id: string): Promise<RequestRecord> {
    return this.#call("GET", `/v1/requests/${encodeURIComponent(id)}`) as Promise<RequestRecord>;
  }

  /** The newest order stands, so that sending it again changes nothing but its number. */
  degrade(service: string, body: LevelBody): Promise<LevelRecord> {
    return this.#call("PUT", `/v1/levels/${encodeURIComponent(service)}`, body) as Promise<LevelRecord>;
  }

  incidents(): Promise<readonly unknown[]> {
    return this.#call("GET", "/v1/incidents") as Promise<readonly unknown[]>;
  }

  incident(id: string): Promise<unknown> {
    return this.#call("GET", `/v1/incidents/${encodeURIComponent(id)}`);
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #call(
    method: "GET" | "POST" | "PUT",
    path: string,
    body?: object,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<unknown> {
    const tried = `${method} ${this.#base}${path}`;
    let status: number;
    let text: string;
    try {
      const answer = await request(`${this.#base}${path}`, {
        method,
        headers: {
          ...headers,
          authorization: `Bearer ${this.#token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        body: body === undefined ? null : JSON.stringify(body),
        signal: AbortSignal.timeout(this.#timeoutMs),
        dispatcher: this.#agent,
      });
      status = answer.statusCode;
      text = await answer.body.text();
    } catch (error) {
      const why = sayWhy(error, this.#timeoutMs);
      // What was sent may have arrived.
      const known = {
        GET: "",
        POST: "; it may have been taken: ask with the same idempotency key",
        PUT: "; it may have been taken: see the status",
      }[method];
      throw new HoldfastError("HOLDFAST_AGENT_UNREACHABLE", `${tried}: ${why}${known}`, error);
    }
    const value = parseJson(text);
    if (200 <= status && status < 300 && value !== undefined) return value;
    throw decodeProblem(tried, status, value);
  }
}

function decodeProblem(tried: string, status: number, value: unknown): HoldfastError {
  const given = value as Partial<Problem> | null | undefined;
  if (typeof given?.detail !== "string" || typeof given.code !== "string") {
    return new HoldfastError(
      "HOLDFAST_AGENT_ANSWER",
      `${tried}: status ${status} and no problem details; is an agent of Holdfast there?`,
    );
  }
  const code = Object.hasOwn(errorCodes, given.code) ? (given.code as ErrorCode) : "HOLDFAST_AGENT_ANSWER";
  const advice = given.advice ?? errorCodes[code].advice;
  return new HoldfastError(code, `${tried}: ${given.detail}. ${advice}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
