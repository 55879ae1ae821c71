/**
 * One request through the edge: admit, choose, hold, try, repeat elsewhere if that is safe, or fail and say why.
 *
 * - E1. The client gets exactly one response, or its connection is ended when a response breaks in mid-body.
 * - E2. What may have been sent is sent again only if it is safe to repeat (`core/traffic/repeat`).
 * - E3. Everything ends: `holdMaxMs` after it came in, no pause begins, and no try outlives `tryTimeoutMs`.
 */
import { mayRepeat } from "../core/traffic/budget.ts";
import { priorityOf } from "../core/traffic/classes.ts";
import type { Priority } from "../core/traffic/concurrency.ts";
import { decideHold } from "../core/traffic/hold.ts";
import { admitByMode, holdForWriter } from "../core/traffic/mode.ts";
import { afterTry, type RetryHint, type TryEnd } from "../core/traffic/repeat.ts";
import { afterWriterFailed, afterWriteSucceeded, limitAt, unlimited } from "../core/traffic/return.ts";
import { Attempt, type AttemptListener } from "./attempt.ts";
import type { ClientConnection } from "./client-connection.ts";
import type { HoldRoom, Waiting } from "./hold-room.ts";
import type { KeptAnswer } from "./kept-answer.ts";
import { monotonicNow } from "./monotonic.ts";
import { type Problem, problemBody } from "./problem.ts";
import { refresh } from "./refresh.ts";
import type { ParsedHead } from "./response-head.ts";
import type { ServicePlan } from "./service-plan.ts";
import type { AskedFor, Kept, StaleStore } from "./stale-store.ts";
import type { TrafficCounters } from "./traffic-counters.ts";
import type { Upstream } from "./upstream.ts";
import type { UpstreamRequest } from "./upstream-connection.ts";
import type { WriterWatch } from "./writer-watch.ts";

/** Envoy's least number of repeats at once. */
const repeatsAtLeast = 3;

export interface ExchangeRequest {
  readonly upstream: UpstreamRequest;
  readonly requestId: string;
  readonly safe: boolean;
  readonly idempotent: boolean;
}

export interface ExchangeWorld {
  readonly edge: string;
  readonly room: HoldRoom;
  readonly writers: WriterWatch;
  readonly counters: TrafficCounters;
  readonly stale: StaleStore;
}

export class Exchange implements AttemptListener {
  readonly #world: ExchangeWorld;
  readonly #plan: ServicePlan;
  #request: ExchangeRequest;
  readonly #responder: ClientConnection;
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
  /** What the service is asked about, whether it still holds. */
  #validating: Kept | null = null;
  /** The try under way is a write, and counts while a writer comes back. */
  #writing = false;
  #isOver = false;

  constructor(
    world: ExchangeWorld,
    plan: ServicePlan,
    request: ExchangeRequest,
    responder: ClientConnection,
  ) {
    this.#world = world;
    this.#plan = plan;
    this.#request = request;
    this.#responder = responder;
    this.#priority = priorityOf(plan.route, request.upstream);
    plan.active++;
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
    if (this.#reuse()) return;
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
      if (this.#validating !== null && head.status === 304) {
        const holds = this.#world.stale.validated(
          this.#validating,
          this.#askedFor(),
          head.headers,
          staleMaxMs,
        );
        this.#at?.learn(monotonicNow() - this.#since, this.#among, false);
        attempt.upstream.succeeded();
        this.#answerKept(holds);
        return;
      }
      // RFC 5861 section 4: these are errors in the sense of `stale-if-error`.
      if (500 <= head.status && head.status <= 504 && this.#serveStale(`status ${head.status}`)) return;
      this.#world.stale.keep(this.#askedFor(), { ...head, body }, attempt.upstream.region, staleMaxMs);
    }
    this.#answered(attempt, head);
    this.#over();
    this.#responder.whole(head.status, head.headers, body);
  }

  head(attempt: Attempt, head: ParsedHead): void {
    this.#answered(attempt, head);
    this.#responder.onTaken = () => attempt.resume();
    this.#responder.begin(head.status, head.headers, head.contentLength !== null);
  }

  chunk(_attempt: Attempt, chunk: Buffer): boolean {
    return this.#responder.chunk(chunk);
  }

  finished(_attempt: Attempt): void {
    this.#endTry();
    this.#over();
    this.#responder.end();
  }

  broken(attempt: Attempt): void {
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
    // RFC 9111 section 4.4: what was kept of it may hold no longer.
    if (!this.#request.safe && 200 <= status && status < 400)
      this.#world.stale.invalidate(this.#askedFor(), headers);
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
    this.#world.counters.servedStale(because);
    this.#answerKept(kept);
    return true;
  }

  /** What is as good as new is not asked for again; of what is not, it is asked whether it still holds. */
  #reuse(): boolean {
    const { rules } = this.#plan.route;
    if (rules.staleMaxMs <= 0 || !this.#request.safe || this.#tries + this.#pauses > 0) return false;
    const reused = this.#world.stale.reuse(this.#askedFor());
    if (reused?.kind === "answer") {
      this.#world.counters.reused();
      if (reused.refresh !== null) refresh(this.#plan, this.#askedFor(), reused.refresh, this.#world.stale);
      this.#answerKept(reused.answer);
      return true;
    }
    if (reused?.kind === "validate") {
      this.#validating = reused.kept;
      const { upstream } = this.#request;
      const headers = [...upstream.headers, ...reused.conditions];
      this.#request = { ...this.#request, upstream: { ...upstream, headers } };
    }
    return false;
  }

  #answerKept({ status, headers, body, region }: KeptAnswer): void {
    headers.push("x-holdfast-region", region);
    this.#sign(headers);
    this.#count(region, status);
    this.#over();
    this.#responder.whole(status, headers, body);
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
    this.#over();
    this.#responder.whole(problem.status, head, Buffer.from(body));
  }

  /** The client went away. */
  #leave(): void {
    if (this.#isOver) return;
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
  }

  #count(region: string, status: number): void {
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
