/** What is told of one exchange: in the fields of its answer, in the counters, and in its line of the access log. */
import type { Outcome } from "./access-log.ts";
import type { ExchangeScope } from "./exchange-world.ts";
import { monotonicNow } from "./monotonic.ts";

export class Account {
  readonly #of: ExchangeScope;
  readonly arrivedAt = monotonicNow();
  tries = 0;
  heldMs = 0;

  constructor(of: ExchangeScope) {
    this.#of = of;
    const { record } = of.request;
    if (record === null) return;
    const { name, table } = of.plan;
    record.service = name;
    record.generation = table.generation;
    record.epoch = table.epoch;
    record.class = of.class.name;
    record.priority = of.class.priority;
  }

  /** What every answer tells of how it came about. */
  sign(headers: string[]): void {
    const { world, plan, request, level } = this.#of;
    headers.push("x-holdfast-edge", world.edge);
    headers.push("x-holdfast-generation", String(plan.table.generation));
    headers.push("x-request-id", request.requestId);
    headers.push("x-holdfast-tries", String(this.tries));
    headers.push("x-holdfast-held-ms", String(Math.round(this.heldMs)));
    if (plan.route.levels !== undefined) headers.push("x-holdfast-level", String(level.stand.level));
  }

  /** `code`: of our own refusal; empty: somebody answered. */
  count(region: string, status: number, code = ""): void {
    const { world, plan, request } = this.#of;
    request.record?.answered(region, status);
    const { name: service, table } = plan;
    const { name, latencyTargetMs } = this.#of.class;
    const tookMs = monotonicNow() - this.arrivedAt;
    const isLate = latencyTargetMs !== undefined && latencyTargetMs < tookMs;
    const about = { service, region, class: name, generation: table.generation };
    world.counters.answered(about, { status, code, seconds: tookMs / 1000, isLate });
  }

  took(upstreamMs: number): void {
    if (this.#of.request.record !== null) this.#of.request.record.upstreamMs = upstreamMs;
  }

  gave(bytes: number): void {
    if (this.#of.request.record !== null) this.#of.request.record.bytes += bytes;
  }

  ends(outcome: Outcome, code: string | null = null): void {
    const { record } = this.#of.request;
    if (record === null) return;
    record.outcome = outcome;
    record.code = code;
  }

  over(): void {
    this.#of.request.record?.over(this.tries, this.heldMs);
  }
}
