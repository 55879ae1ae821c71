/** Asks the other regions' agents directly, over connections that are kept, so that a question costs one round trip. */
import { Agent } from "undici";
import { HoldfastError } from "../../core/model/error-code.ts";
import type { RegionName } from "../../core/model/id.ts";
import type { Address } from "../../core/model/topology.ts";
import type { PeerAnswer, PeerQuestion, Peers, SealNotice } from "../../ports/peers.ts";
import { sayWhy } from "./failure.ts";
import { connectWithinMs, request } from "./request.ts";

export interface PeersClientOptions {
  /** Where each region's agent listens. */
  readonly agents: Readonly<Record<RegionName, Address>>;
  readonly token: string;
}

/** Longer than the agent asks anew, shorter than the other one waits. */
const keptMs = 60_000;

/** An answer has some 100 bytes. */
const bodyBytesMax = 16 * 1024;

/** `ask` rejects with HOLDFAST_PEER_UNREACHABLE or HOLDFAST_PEER_ANSWER: then nothing was promised. */
export class PeersClient implements Peers {
  readonly #options: PeersClientOptions;
  readonly #agent = new Agent({
    connections: 2,
    keepAliveTimeout: keptMs,
    connect: { timeout: connectWithinMs },
    headersTimeout: 0, // The caller's signal alone decides.
    bodyTimeout: 0,
    maxResponseSize: bodyBytesMax,
  });

  /** For what is told: kept open, and a question for a promise never stands behind it. */
  readonly #told = new Agent({
    connections: 1,
    keepAliveTimeout: keptMs,
    keepAliveMaxTimeout: keptMs,
    connect: { timeout: connectWithinMs },
    headersTimeout: 0,
    bodyTimeout: 0,
    maxResponseSize: bodyBytesMax,
  });

  constructor(options: PeersClientOptions) {
    this.#options = options;
  }

  async ask(region: RegionName, question: PeerQuestion, signal: AbortSignal): Promise<PeerAnswer> {
    const address = this.#options.agents[region];
    const tried = `cannot ask the agent of ${region}`;
    if (address === undefined) {
      throw new HoldfastError("HOLDFAST_PEER_UNREACHABLE", `${tried}: the topology has no such region`);
    }
    const url = `http://${urlHost(address.host)}:${address.port}/v1/peer`;
    let status: number;
    let text: string;
    try {
      const answer = await request(url, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${this.#options.token}` },
        body: JSON.stringify(question),
        signal,
        dispatcher: this.#agent,
      });
      status = answer.statusCode;
      text = await answer.body.text();
    } catch (error) {
      throw new HoldfastError(
        "HOLDFAST_PEER_UNREACHABLE",
        `${tried} at ${url}: ${sayWhy(error, null)}; nothing was promised`,
        error,
      );
    }
    const answer = status === 200 ? parseAnswer(text) : null;
    if (answer !== null) return answer;
    throw new HoldfastError(
      "HOLDFAST_PEER_ANSWER",
      `${tried} at ${url}: status ${status}, ${text.slice(0, 300)}; nothing was promised`,
    );
  }

  async tell(region: RegionName, notice: SealNotice, signal: AbortSignal): Promise<void> {
    await this.#near(region, "POST", "/v1/peer/seal", JSON.stringify(notice), signal);
  }

  async keepNear(signal: AbortSignal): Promise<void> {
    const others = Object.keys(this.#options.agents);
    await Promise.allSettled(others.map((region) => this.#near(region, "GET", "/livez", null, signal)));
  }

  async #near(
    region: RegionName,
    method: "GET" | "POST",
    path: string,
    body: string | null,
    signal: AbortSignal,
  ): Promise<void> {
    const address = this.#options.agents[region];
    if (address === undefined) return;
    const answer = await request(`http://${urlHost(address.host)}:${address.port}${path}`, {
      method,
      headers: { "content-type": "application/json", authorization: `Bearer ${this.#options.token}` },
      body,
      signal,
      dispatcher: this.#told,
    });
    await answer.body.dump();
  }

  async close(): Promise<void> {
    await Promise.all([this.#agent.destroy(), this.#told.destroy()]);
  }
}

/** Only what says "promised" to the letter is a promise. */
function parseAnswer(text: string): PeerAnswer | null {
  let value: { readonly kind?: unknown; readonly because?: unknown } | null;
  try {
    value = JSON.parse(text) as typeof value;
  } catch {
    return null;
  }
  if (value?.kind === "promised") return { kind: "promised" };
  if (value?.kind === "refused" && typeof value.because === "string") {
    return { kind: "refused", because: value.because };
  }
  return null;
}

function urlHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
