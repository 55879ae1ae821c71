/** Probes over HTTP: each on a connection of its own, since one that is kept says nothing about whether a new client gets in. */
import { Agent } from "undici";
import type { SpanMs } from "../../core/model/time.ts";
import type { JourneyStep } from "../../core/model/topology.ts";
import type { Prober, Sample } from "../../ports/prober.ts";
import { sayWhy } from "./failure.ts";
import { connectWithinMs, request } from "./request.ts";

/** What is read of an answer; the rest is not waited for. */
const bodyBytesMax = 1024 * 1024;

export class HttpProber implements Prober {
  readonly #agent = new Agent({
    pipelining: 0, // No connection is used twice.
    connect: { timeout: connectWithinMs },
    // undici's own timers are coarse (300 ms fired after 1 s): AbortSignal alone decides.
    headersTimeout: 0,
    bodyTimeout: 0,
  });

  async http(url: string, timeoutMs: SpanMs): Promise<Sample> {
    const signal = AbortSignal.timeout(timeoutMs);
    const began = performance.now();
    const problem = await this.#step(
      { method: "GET", url, headers: {}, body: null },
      signal,
      timeoutMs,
      null,
    );
    return { ok: problem === "", tookMs: performance.now() - began, problem };
  }

  async journey(base: string, steps: readonly JourneyStep[], timeoutMs: SpanMs): Promise<Sample> {
    const signal = AbortSignal.timeout(timeoutMs);
    const began = performance.now();
    for (const [index, { method, path, headers, body, expectStatus }] of steps.entries()) {
      const call = { method, url: `${base}${path}`, headers, body };
      const problem = await this.#step(call, signal, timeoutMs, expectStatus);
      if (problem !== "") {
        const where = `step ${index + 1} of ${steps.length}: `;
        return { ok: false, tookMs: performance.now() - began, problem: `${where}${problem}` };
      }
    }
    return { ok: true, tookMs: performance.now() - began, problem: "" };
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  /** `expectStatus` null: 200 to 299. Empty when all is well. Never rejects. */
  async #step(
    call: {
      readonly method: string;
      readonly url: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: string | null;
    },
    signal: AbortSignal,
    timeoutMs: SpanMs,
    expectStatus: number | null,
  ): Promise<string> {
    const { method, url, headers, body } = call;
    try {
      const answer = await request(url, { method, headers, body, signal, dispatcher: this.#agent });
      await answer.body.dump({ limit: bodyBytesMax, signal });
      const { statusCode } = answer;
      const fits =
        expectStatus === null ? 200 <= statusCode && statusCode < 300 : statusCode === expectStatus;
      if (fits) return "";
      return `${method} ${url}: status ${statusCode}, expected ${expectStatus ?? "200 to 299"}`;
    } catch (error) {
      return `${method} ${url}: ${sayWhy(error, timeoutMs)}`;
    }
  }
}
