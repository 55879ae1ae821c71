/** The request of an exchange as its tries send it: each upstream is told where it is asked, and at which level. */
import type { AffinityRules } from "../core/model/traffic.ts";
import { affinityKey } from "../core/traffic/affinity.ts";
import type { Stand } from "../core/traffic/degrade.ts";
import { hashOf } from "../core/traffic/rendezvous.ts";
import type { MarkedRequest } from "../core/traffic/sovereignty.ts";
import type { ExchangeRequest } from "./exchange-world.ts";
import type { ServicePlan } from "./service-plan.ts";
import type { UpstreamRequest } from "./upstream-connection.ts";

export class ToldRequest {
  readonly #request: ExchangeRequest;
  #own: ExchangeRequest["upstream"];
  /** Header fields of the client end here, and what we tell begins. */
  #toldAt: number;

  constructor(request: ExchangeRequest) {
    this.#request = request;
    this.#own = request.upstream;
    this.#toldAt = this.#own.headers.length;
  }

  get own(): UpstreamRequest {
    return this.#own;
  }

  /** By which limits and affinity know it. */
  get marks(): MarkedRequest {
    const { host, client } = this.#request;
    const { path, headers } = this.#own;
    return { host, path, headers, client };
  }

  /** Where it belongs, as a number that lanes choose by; null: anywhere. */
  keyHash(affinity: AffinityRules): number | null {
    const key = affinityKey(affinity, this.marks);
    return key === null ? null : hashOf(key);
  }

  /** With fields of ours beside the client's. */
  add(fields: readonly string[]): void {
    const headers = [...this.#own.headers, ...fields];
    this.#own = { ...this.#own, headers };
    this.#toldAt = headers.length;
  }

  /** The first try takes the fields as they stand. */
  to(region: string, { plan, stand, isFirst }: Telling): UpstreamRequest {
    const own = this.#own;
    const headers = isFirst ? own.headers : own.headers.slice(0, this.#toldAt);
    headers.push("x-holdfast-region", region, "x-holdfast-mode", stand.mode);
    if (plan.route.levels !== undefined) {
      headers.push("x-holdfast-level", String(stand.level));
      if (stand.flags !== "") headers.push("x-holdfast-flags", stand.flags);
    }
    return headers === own.headers ? own : { ...own, headers };
  }
}

interface Telling {
  readonly plan: ServicePlan;
  readonly stand: Stand;
  readonly isFirst: boolean;
}
