/** Talks to an edge's admin listener: JSON over HTTP, a bearer token, a deadline for every call. */
import { Pool } from "undici";
import type { Address } from "../../core/model/topology.ts";

/** The edge did not answer, or not in its own words: nothing is known of what it did. */
export class EdgeError extends Error {
  override readonly name = "EdgeError";
  readonly code: "HOLDFAST_EDGE_UNREACHABLE" | "HOLDFAST_EDGE_UNAUTHORIZED" | "HOLDFAST_EDGE_ANSWER";
  readonly retryable: boolean;

  constructor(code: EdgeError["code"], message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
    this.retryable = code === "HOLDFAST_EDGE_UNREACHABLE";
  }
}

export interface EdgeClientOptions {
  readonly admin: Address;
  readonly token: string;
}

export interface AdminAnswer {
  readonly status: number;
  readonly body: unknown;
}

export class AdminClient {
  readonly #where: string;
  readonly #token: string;
  readonly #pool: Pool;

  constructor({ admin, token }: EdgeClientOptions) {
    this.#where = `http://${admin.host}:${admin.port}`;
    this.#token = token;
    this.#pool = new Pool(this.#where, { connections: 4, connectTimeout: 1000 });
  }

  /** Rejects with `EdgeError`. A body that is `undefined` is not sent. */
  async call(
    method: "GET" | "POST" | "PUT",
    path: string,
    body: unknown,
    signal: AbortSignal,
  ): Promise<AdminAnswer> {
    let status: number;
    let text: string;
    try {
      const answer = await this.#pool.request({
        method,
        path,
        headers: { authorization: `Bearer ${this.#token}`, "content-type": "application/json" },
        body: body === undefined ? null : JSON.stringify(body),
        signal,
      });
      status = answer.statusCode;
      text = await answer.body.text();
    } catch (error) {
      const message = `no answer from the edge at ${this.#where} to ${method} ${path}: ${String(error)}`;
      throw new EdgeError("HOLDFAST_EDGE_UNREACHABLE", message, error);
    }
    if (status === 401)
      throw new EdgeError("HOLDFAST_EDGE_UNAUTHORIZED", `the edge at ${this.#where} refused the admin token`);
    try {
      return { status, body: JSON.parse(text) as unknown };
    } catch (error) {
      const message = `the edge at ${this.#where} answered ${method} ${path} with ${status} and no JSON`;
      throw new EdgeError("HOLDFAST_EDGE_ANSWER", message, error);
    }
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }
}
