/** Asks the other regions' agents directly, over connections that are kept, so that a question costs one round trip. */
import { Agent, request } from "undici";
import { HoldfastError } from "../../core/model/error-code.ts";
import type { RegionName } from "../../core/model/id.ts";
import type { Address } from "../../core/model/topology.ts";
import type { PeerAnswer, PeerQuestion, Peers } from "../../ports/peers.ts";
import { sayWhy } from "./failure.ts";

export interface PeersClientOptions {
  /** Where each region's agent listens. */
  readonly agents: Readonly<Record<RegionName, Address>>;
  readonly token: string;
}

/** An answer has some 100 bytes. */
const bodyBytesMax = 16 * 1024;

/** `ask` rejects with HOLDFAST_PEER_UNREACHABLE or HOLDFAST_PEER_ANSWER: then nothing was promised. */
export class PeersClient implements Peers {
  readonly #options: PeersClientOptions;
  readonly #agent = new Agent({
    connections: 2,
    keepAliveTimeout: 60_000,
    connect: { timeout: 0 },
    headersTimeout: 0, // The caller's signal alone decides.
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

  async close(): Promise<void> {
    await this.#agent.destroy();
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
