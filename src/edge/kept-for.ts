/** What is kept for one request: for when nobody answers it (R5), or to answer it while that is as good as new. */
import type { AllowedRegions } from "../core/traffic/sovereignty.ts";
import { type ExchangeScope, isPlainRead } from "./exchange-world.ts";
import type { KeptAnswer } from "./kept-answer.ts";
import type { ParsedHead } from "./response-head.ts";
import type { AskedFor, Kept, Reused } from "./stale-store.ts";
import type { ToldRequest } from "./told-request.ts";

export class KeptFor {
  readonly #of: ExchangeScope;
  readonly #told: ToldRequest;
  /** What the service is asked about, whether it still holds. */
  #validating: Kept | null = null;

  constructor(of: ExchangeScope, told: ToldRequest) {
    this.#of = of;
    this.#told = told;
  }

  get asked(): AskedFor {
    const { method, path, headers } = this.#told.own;
    return { service: this.#of.plan.name, method, path, headers };
  }

  /** Whether whole answers to it are kept. */
  get isKept(): boolean {
    return this.#staleMaxMs > 0 && this.#of.request.upstream.method === "GET";
  }

  /** However old, where nobody forbids it. */
  find(because: string, allowed: AllowedRegions | null): KeptAnswer | null {
    if (this.#staleMaxMs <= 0 || !isPlainRead(this.#of.request)) return null;
    const kept = this.#of.world.stale.find(this.asked, this.#staleMaxMs, because);
    return kept === null || allowed?.has(kept.region) === false ? null : kept;
  }

  /** What is as good as new is not asked for again; of what is not, it is asked whether it still holds. */
  reuse(allowed: AllowedRegions | null): Extract<Reused, { kind: "answer" }> | null {
    if (this.#staleMaxMs <= 0 || !isPlainRead(this.#of.request)) return null;
    const reused = this.#of.world.stale.reuse(this.asked);
    // E4 of `exchange.ts`.
    if (reused === null || allowed?.has(reused.region) === false) return null;
    if (reused.kind === "answer") return reused;
    this.#validating = reused.kept;
    this.#told.add(reused.conditions);
    return null;
  }

  /** What it was asked about, when it says that this still holds. */
  confirmedBy({ status, headers }: ParsedHead): KeptAnswer | null {
    if (this.#validating === null || status !== 304 || !this.isKept) return null;
    return this.#of.world.stale.validated(this.#validating, this.asked, headers, this.#staleMaxMs);
  }

  keep(head: ParsedHead, body: Buffer | null, region: string): void {
    this.#of.world.stale.keep(this.asked, { ...head, body }, region, this.#staleMaxMs);
  }

  /** RFC 9111 section 4.4: after a write what was kept of it may hold no longer. */
  invalidate(headers: readonly string[]): void {
    this.#of.world.stale.invalidate(this.asked, headers);
  }

  get #staleMaxMs(): number {
    return this.#of.plan.route.rules.staleMaxMs;
  }
}
