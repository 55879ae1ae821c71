/**
 * One request through the edge: admit, choose, hold, try, repeat elsewhere if that is safe, or fail and say why.
 *
 * - E1. The client gets exactly one response, or its connection is ended when a response breaks in mid-body.
 * - E2. What may have been sent is sent again only if it is safe to repeat (`core/traffic/repeat`).
 * - E3. Everything ends: `holdMaxMs` after it came in, no pause begins, and no try outlives `tryTimeoutMs`.
 */

import type { Socket } from "node:net";
import { mayRepeat } from "../core/traffic/budget.ts";
import { priorityOf } from "../core/traffic/classes.ts";
import type { Priority } from "../core/traffic/concurrency.ts";
import { decideHold } from "../core/traffic/hold.ts";
import { admitByMode, holdForWriter } from "../core/traffic/mode.ts";
import { afterTry, type RetryHint, type TryEnd } from "../core/traffic/repeat.ts";
import { afterWriterFailed, afterWriteSucceeded, limitAt, unlimited } from "../core/traffic/return.ts";
import type { AccessRecord, Outcome } from "./access-log.ts";
import { Attempt, type AttemptListener } from "./attempt.ts";
import type { HoldRoom, Waiting } from "./hold-room.ts";
import { monotonicNow } from "./monotonic.ts";
import { type Problem, problemBody } from "./problem.ts";
import type { Responder } from "./responder.ts";
import type { ParsedHead } from "./response-head.ts";
import type { ServicePlan } from "./service-plan.ts";
import type { AskedFor, StaleStore } from "./stale-store.ts";
import type { TrafficCounters } from "./traffic-counters.ts";
import type { Upstream } from "./upstream.ts";
import type { UpstreamRequest } from "./upstream-connection.ts";
import type { WebSockets } from "./websockets.ts";
import type { WriterWatch } from "./writer-watch.ts";

/** Envoy's least number of repeats at once. */
const repeatsAtLeast = 3;

export interface ExchangeRequest {
  readonly upstream: UpstreamRequest;
  readonly requestId: string;
  readonly safe: boolean;
  readonly idempotent: boolean;
  /** null: nothing is written down. */
  readonly record: AccessRecord | null;
}

export interface ExchangeWorld {
  readonly edge: string;
  readonly room: HoldRoom;
  readonly writers: WriterWatch;
  readonly counters: TrafficCounters;
  readonly stale: StaleStore;
  readonly webSockets: WebSockets;
}

export class Exchange implements AttemptListener {
  readonly #world: ExchangeWorld;
  readonly #plan: ServicePlan;
  readonly #request: ExchangeRequest;
  readonly #responder: Responder;
  readonly #arrivedAt = monotonicNow();
  /** Since the last pause: each upstream is tried once before anyone waits. */
  #tried: Upstream[] = [];
  #tries = 0;
  #pauses = 0;
  #heldMs = 0;
  #attempt: Attempt | null = null;
  readonly #priority: Priority;
  /** Of the try under way: where, since when, and among how many. */
  #at: Upstream | null = null;
  #since = 0;
  #among = 0;
  #waiting: Waiting | null = null;
  /** The try under way is a repeat, and counts against the budget. */
  #repeating = false;
  #owesRepeat = false;
  /** The try under way is a write, and counts while a writer comes back. */
  #writing = false;
  #isOver = false;

  constructor(world: ExchangeWorld, plan: ServicePlan, request: ExchangeRequest, responder: Responder) {
    this.#world = world;
    this.#plan = plan;
    this.#request = request;
    this.#responder = responder;
    this.#priority = priorityOf(plan.route, request.upstream);
    plan.active++;
    if (request.record !== null) this.#describe(request.record);
    responder.onGone = () => this.#leave();
  }

  proceed(): void {
    this.#waiting = null;
    if (this.#isOver) return;
    const { route, table } = this.#plan;
    const { safe, idempotent } = this.#request;
    const admission = admitByMode(route.mode, safe);
    if (admission.kind === "refuse") {
      if (route.mode === "static" && this.#serveStale(admission.because)) return;
      this.#fail(unavailable(admission.code, admission.because));
      return;
    }
    const writerFailing = !safe && this.#world.writers.isFailing(route.dataStores);
    const write = holdForWriter(table, route, { safe, idempotent, writerFailing });
    if (write.kind === "hold") {
      this.#hold(write.because);
      return;
    }
    if (!safe && limitAt(this.#plan.returning, monotonicNow()) <= this.#plan.writing) {
      this.#hold("the writer is coming back");
      return;
    }
    const first = this.#plan.choose(this.#tried);
    if (!first) {
      this.#tried = [];
      this.#hold("every target failed");
      return;
    }
    const hasRoom = first.hasRoom(this.#priority);
    const upstream = hasRoom ? first : this.#plan.chooseWithRoom(this.#tried, this.#priority);
    if (!upstream) {
      // What matters least goes first, at once and not after a wait; the others wait for room.
      if (this.#priority === "sheddable")
        this.#fail(unavailable("HOLDFAST_SHED", "there is room only for what matters more"));
      else this.#hold("every target is full");
      return;
    }
    if (this.#owesRepeat && !this.#mayRepeat()) {
      this.#hold("the retry budget is spent");
      return;
    }
    this.#try(upstream);
  }

  #mayRepeat(): boolean {
    const budget = { ratio: this.#plan.route.rules.retryBudget, atLeast: repeatsAtLeast };
    return mayRepeat(budget, this.#plan.active, this.#plan.repeating);
  }

  #try(upstream: Upstream): void {
    this.#tries++;
    this.#tried.push(upstream);
    if (this.#owesRepeat) {
      this.#owesRepeat = false;
      this.#repeating = true;
      this.#plan.repeating++;
    }
    if (!this.#request.safe) {
      this.#writing = true;
      this.#plan.writing++;
    }
    this.#at = upstream;
    this.#since = monotonicNow();
    this.#among = ++upstream.inFlight;
    const { rules } = this.#plan.route;
    this.#attempt = new Attempt(upstream, this.#request.upstream, rules.tryTimeoutMs, this);
    this.#attempt.start();
  }

  #endTry(): void {
    this.#attempt = null;
    const upstream = this.#at;
    if (upstream !== null) {
      this.#at = null;
      const wasFull = !upstream.hasRoom("standard");
      upstream.inFlight--;
      if (wasFull && this.#world.room.held > 0) this.#world.room.wakeSome(1);
    }
    if (this.#writing) {
      this.#writing = false;
      this.#plan.writing--;
    }
    if (!this.#repeating) return;
    this.#repeating = false;
    this.#plan.repeating--;
  }

  // --- what the attempt tells ---

  refuses(status: number, hint: RetryHint): boolean {
    const next = afterTry(this.#repeatable(), { kind: "answered", status, hint });
    if (next.kind === "hold") return this.#leftMs() > 0;
    // A status is repeated elsewhere once each: when all say so, it is the answer.
    return next.kind === "repeat" && this.#plan.choose(this.#tried) !== null;
  }

  ended(attempt: Attempt, end: TryEnd): void {
    if (end.kind === "no-answer") this.#at?.learn(monotonicNow() - this.#since, this.#among, true);
    this.#endTry();
    this.#world.counters.tried(attempt.upstream.region, end);
    const next = afterTry(this.#repeatable(), end);
    if (end.kind !== "answered" || next.kind === "repeat") attempt.upstream.failed();
    if (this.#isOver) return;
    switch (next.kind) {
      case "repeat":
        this.#world.counters.repeated(next.because);
        this.#owesRepeat = true;
        this.proceed();
        return;
      case "hold":
        // The same answer may come from one instance that alone cannot reach the writer: the next try goes elsewhere.
        attempt.upstream.succeeded();
        this.#plan.returning = afterWriterFailed(monotonicNow());
        this.#world.writers.reportFailing(this.#plan.route.dataStores);
        this.#hold(next.because);
        return;
      case "fail":
        this.#fail({
          status: 502,
          code: "HOLDFAST_OUTCOME_UNKNOWN",
          title: "The outcome is unknown",
          detail: `${next.because}: it may have happened. Ask before sending it again, or send an Idempotency-Key.`,
          retryAfterS: 0,
        });
        return;
      case "answer":
        // Only the head of an answer is ever taken as the answer; that comes by `whole` or `head`.
        return;
      default:
        next satisfies never;
        return;
    }
  }

  whole(attempt: Attempt, head: ParsedHead, body: Buffer | null): void {
    const { staleMaxMs } = this.#plan.route.rules;
    if (staleMaxMs > 0 && this.#request.upstream.method === "GET") {
      // RFC 5861 section 4: these are errors in the sense of `stale-if-error`.
      if (500 <= head.status && head.status <= 504 && this.#serveStale(`status ${head.status}`)) return;
      this.#world.stale.keep(this.#askedFor(), { ...head, body }, attempt.upstream.region, staleMaxMs);
    }
    this.#answered(attempt, head);
    if (this.#request.record !== null) this.#request.record.bytes = body?.length ?? 0;
    this.#over();
    this.#responder.whole(head.status, head.headers, body);
  }

  head(attempt: Attempt, head: ParsedHead): void {
    this.#answered(attempt, head);
    this.#responder.onTaken = () => attempt.resume();
    this.#responder.begin(head.status, head.headers, head.contentLength !== null);
  }

  chunk(_attempt: Attempt, chunk: Buffer): boolean {
    if (this.#request.record !== null) this.#request.record.bytes += chunk.length;
    return this.#responder.chunk(chunk);
  }

  finished(_attempt: Attempt): void {
    this.#endTry();
    this.#over();
    this.#responder.end();
  }

  switched(attempt: Attempt, head: ParsedHead, upstream: Socket, first: Buffer | null): void {
    this.#answered(attempt, head);
    this.#ends("switched");
    const at = this.#at;
    this.#over();
    const client = this.#responder.switchProtocols(head.headers);
    if (client === null || at === null) upstream.destroy();
    else
      this.#world.webSockets.open(client, upstream, first, {
        plan: this.#plan,
        region: at.region,
        url: at.url,
      });
  }

  broken(attempt: Attempt): void {
    this.#ends("broken");
    this.#endTry();
    attempt.upstream.failed();
    this.#over();
    this.#responder.destroy();
  }

  // --- how it ends ---

  #answered(attempt: Attempt, { status, headers }: ParsedHead): void {
    this.#at?.learn(monotonicNow() - this.#since, this.#among, status === 503);
    if (status !== 502 && status !== 504) attempt.upstream.succeeded();
    if (this.#writing && status < 500 && this.#plan.returning !== unlimited) {
      this.#plan.returning = afterWriteSucceeded(this.#plan.returning);
      this.#world.room.wakeSome(2);
    }
    if (this.#request.record !== null) this.#request.record.upstreamMs = monotonicNow() - this.#since;
    headers.push("x-holdfast-region", attempt.upstream.region);
    this.#sign(headers);
    this.#count(attempt.upstream.region, status);
  }

  /** What every answer tells of how it came about. */
  #sign(headers: string[]): void {
    headers.push("x-holdfast-edge", this.#world.edge);
    headers.push("x-holdfast-generation", String(this.#plan.table.generation));
    headers.push("x-request-id", this.#request.requestId);
    headers.push("x-holdfast-tries", String(this.#tries));
    headers.push("x-holdfast-held-ms", String(Math.round(this.#heldMs)));
  }

  #askedFor(): AskedFor {
    const { method, path, headers } = this.#request.upstream;
    return { service: this.#plan.name, method, path, headers };
  }

  /** R5: an old answer comes before waiting and before an error, where nobody forbids it. */
  #serveStale(because: string): boolean {
    const { staleMaxMs } = this.#plan.route.rules;
    if (staleMaxMs <= 0 || !this.#request.safe) return false;
    const kept = this.#world.stale.find(this.#askedFor(), staleMaxMs, because);
    if (kept === null) return false;
    kept.headers.push("x-holdfast-region", kept.region);
    this.#sign(kept.headers);
    this.#world.counters.servedStale(because);
    this.#ends("stale");
    this.#count(kept.region, kept.status);
    this.#over();
    this.#responder.whole(kept.status, kept.headers, kept.body);
    return true;
  }

  #hold(because: string): void {
    if (this.#serveStale(because)) return;
    const now = monotonicNow();
    const { room, counters } = this.#world;
    const decision = decideHold(this.#plan.route.rules, {
      now,
      arrivedAt: this.#arrivedAt,
      pauses: this.#pauses,
      held: room.held,
    });
    if (decision.kind === "give-up") {
      counters.holdRefused();
      this.#fail(unavailable("HOLDFAST_HOLD_ENDED", `${because}; ${decision.because}`));
      return;
    }
    if (this.#pauses === 0) counters.held(because);
    this.#pauses++;
    this.#waiting = room.wait(decision.pauseMs, () => {
      this.#heldMs += monotonicNow() - now;
      this.proceed();
    });
  }

  #fail(problem: Problem): void {
    if (this.#isOver) return;
    const body = problemBody(problem, this.#request.requestId);
    const head = ["content-type", "application/problem+json", "cache-control", "no-store"];
    head.push("content-length", String(Buffer.byteLength(body)));
    this.#sign(head);
    if (problem.retryAfterS > 0) head.push("retry-after", String(problem.retryAfterS));
    this.#count("none", problem.status);
    this.#ends(problem.code === "HOLDFAST_SHED" ? "shed" : "refused", problem.code);
    this.#over();
    this.#responder.whole(problem.status, head, Buffer.from(body));
  }

  /** The client went away. */
  #leave(): void {
    if (this.#isOver) return;
    this.#ends("gone");
    this.#attempt?.abandon();
    this.#endTry();
    this.#waiting?.leave();
    this.#over();
  }

  #over(): void {
    this.#endTry();
    if (this.#isOver) return;
    this.#isOver = true;
    this.#plan.active--;
    this.#request.record?.over(this.#tries, this.#heldMs);
  }

  #describe(record: AccessRecord): void {
    const { name, table } = this.#plan;
    record.service = name;
    record.generation = table.generation;
    record.epoch = table.epoch;
    record.priority = this.#priority;
  }

  #ends(outcome: Outcome, code: string | null = null): void {
    const { record } = this.#request;
    if (record === null) return;
    record.outcome = outcome;
    record.code = code;
  }

  #count(region: string, status: number): void {
    this.#request.record?.answered(region, status);
    this.#world.counters.answered(this.#plan.name, region, status, (monotonicNow() - this.#arrivedAt) / 1000);
  }

  #leftMs(): number {
    return this.#arrivedAt + this.#plan.route.rules.holdMaxMs - monotonicNow();
  }

  #repeatable(): { readonly idempotent: boolean; readonly replayable: boolean } {
    return { idempotent: this.#request.idempotent, replayable: !isStream(this.#request) };
  }
}

function isStream({ upstream }: ExchangeRequest): boolean {
  return upstream.body !== null && !Buffer.isBuffer(upstream.body);
}

function unavailable(code: string, detail: string): Problem {
  return { status: 503, code, title: "The service cannot answer now", detail, retryAfterS: 1 };
}
