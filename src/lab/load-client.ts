/** One request as a careful client makes it: the nearest edge first, the next at once, and never an unsafe thing twice. */
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { InstantMs, SpanMs } from "../core/model/time.ts";
import { monotonicMs } from "./monotonic.ts";

/** A place where clients are: which edges they know, nearest first, as DNS with several addresses would tell them. */
export interface Place {
  readonly name: string;
  /** Such as `http://10.1.0.2:8000`: scheme, host and port. */
  readonly edges: readonly string[];
}

export interface ClientTimes {
  /**
   * Longest wait for the head of an answer, and then again for its end, before the next edge is tried. Twice as long after
   * each: clients that all begin anew every second keep down what was slow for a moment (SCENARIOS 47).
   */
  readonly attemptTimeoutMs: SpanMs;
  /** Longest wait in all, from when the request was due. */
  readonly deadlineMs: SpanMs;
  /** An edge that has failed is tried last for so long: clients remember (RFC 8305 section 4). 0: they do not. */
  readonly avoidMs: SpanMs;
}

export interface Ask {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Whether repeating it does no harm. If not, nothing is tried again once something was sent. */
  readonly repeatable: boolean;
  readonly dueAt: InstantMs;
}

export interface Told {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  /** null: not JSON. */
  readonly body: unknown;
  /** Empty: there is an answer. Else why there is none: `refused`, `reset`, `timeout`, `unreachable`. */
  readonly failure: string;
  readonly edge: string;
  readonly tries: number;
  readonly lastTryAt: InstantMs;
  readonly doneAt: InstantMs;
}

const bodyMaxBytes = 1 << 20;
/** Pause after a round in which every edge failed: else a refused connection would spin. */
const roundPauseMs = 50;

export class Client {
  readonly #place: Place;
  readonly #times: ClientTimes;
  readonly #agents: ReadonlyMap<string, Agent>;
  readonly #avoidUntil = new Map<string, InstantMs>();

  constructor(place: Place, times: ClientTimes) {
    this.#place = place;
    this.#times = times;
    this.#agents = new Map(
      place.edges.map((edge) => [edge, new Agent({ keepAlive: true, maxFreeSockets: 64 })]),
    );
  }

  async ask(ask: Ask): Promise<Told> {
    const deadline = ask.dueAt + this.#times.deadlineMs;
    let last: Told | null = null;
    let withinMs = this.#times.attemptTimeoutMs;
    for (let tries = 0; ; ) {
      for (const edge of this.#edges()) {
        const now = monotonicMs();
        if (last !== null && now >= deadline) return { ...last, doneAt: now };
        tries += 1;
        const attempt = await this.#attempt(edge, ask, deadline, withinMs);
        last = { ...attempt, edge, tries, lastTryAt: now, doneAt: monotonicMs() };
        if (attempt.failure === "") return last;
        if (attempt.failure === "timeout") withinMs *= 2;
        this.#avoidUntil.set(edge, monotonicMs() + this.#times.avoidMs);
        if (attempt.sent && !ask.repeatable) return last;
      }
      await sleep(Math.max(0, Math.min(roundPauseMs, deadline - monotonicMs())));
    }
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  #edges(): readonly string[] {
    const now = monotonicMs();
    const avoided = (edge: string) => now < (this.#avoidUntil.get(edge) ?? 0);
    const { edges } = this.#place;
    return [...edges.filter((edge) => !avoided(edge)), ...edges.filter(avoided)];
  }

  #attempt(edge: string, ask: Ask, deadline: InstantMs, withinMs: SpanMs): Promise<Attempt> {
    const { promise, resolve } = Promise.withResolvers<Attempt>();
    const state: { sent: boolean; timer?: NodeJS.Timeout } = { sent: false };
    const failed = (failure: string) =>
      resolve({ failure, sent: state.sent, status: 0, headers: {}, body: null });
    const request = httpRequest(`${edge}${ask.path}`, {
      method: ask.method,
      headers: { ...ask.headers, "content-length": Buffer.byteLength(ask.body) },
      agent: this.#agents.get(edge),
    });
    const limit = () => {
      clearTimeout(state.timer);
      // What must not be repeated is waited for to the end, once it is on its way.
      const leftMs = Math.max(1, deadline - monotonicMs());
      const ms = ask.repeatable || !state.sent ? Math.min(leftMs, withinMs) : leftMs;
      state.timer = setTimeout(() => {
        failed("timeout");
        request.destroy();
      }, ms);
    };
    request.on("socket", (socket) => {
      const connected = () => {
        state.sent = true;
        if (!ask.repeatable) limit();
      };
      if (socket.connecting) socket.once("connect", connected);
      else connected();
    });
    request.on("response", (response) => {
      limit();
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes <= bodyMaxBytes) chunks.push(chunk);
      });
      response.on("end", () => {
        const { statusCode: status = 0, headers } = response;
        const body = bytes <= bodyMaxBytes ? parse(Buffer.concat(chunks)) : null;
        resolve({ failure: "", sent: true, status, headers, body });
      });
      response.on("error", (error) => failed(classOf(error)));
    });
    request.on("error", (error) => failed(classOf(error)));
    limit();
    request.end(ask.body);
    return promise.finally(() => clearTimeout(state.timer));
  }
}

interface Attempt {
  readonly failure: string;
  /** Whether anything may have left this host. */
  readonly sent: boolean;
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: unknown;
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return null;
  }
}

function classOf(error: Error): string {
  const code = "code" in error ? String(error.code) : "";
  switch (code) {
    case "ECONNREFUSED":
      return "refused";
    case "ECONNRESET":
    case "EPIPE":
      return "reset";
    case "ETIMEDOUT":
      return "timeout";
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "EADDRNOTAVAIL":
      return "unreachable";
    default:
      return code === "" ? "reset" : code.toLowerCase();
  }
}
