/**
 * One request through the edge: admit, choose, hold, try, repeat elsewhere if that is safe, or fail and say why.
 *
 * - E1. The client gets exactly one response, or its connection is ended when a response breaks in mid-body.
 * - E2. What may have been sent is sent again only if it is safe to repeat (`core/traffic/repeat`).
 * - E3. Everything ends: `holdMaxMs` after it came in, no pause begins, no try outlives `tryTimeoutMs`, and nothing the
 *   service's deadline.
 * - E4. Where a limit says where a request may be served, nothing else is asked, not even for an old answer.
 */
import type { TrafficClass, Treatment } from "../core/model/degradation.ts";
import { classOf } from "../core/traffic/classes.ts";
import { treatmentOf } from "../core/traffic/degrade.ts";
import { decideHold } from "../core/traffic/hold.ts";
import { admitByMode, holdForWriter } from "../core/traffic/mode.ts";
import { afterTry, type RetryHint, type TryEnd } from "../core/traffic/repeat.ts";
import { afterWriterFailed, afterWriteSucceeded, limitAt, unlimited } from "../core/traffic/return.ts";
import type { AllowedRegions } from "../core/traffic/sovereignty.ts";
import { Account } from "./account.ts";
import { holdLeftMs, mayResendNow, timeLeftMs } from "./allowance.ts";
import type { Attempt, AttemptListener } from "./attempt.ts";
import { divertedTo } from "./divert.ts";
import { type ExchangeRequest, type ExchangeWorld, isStream } from "./exchange-world.ts";
import type { Waiting } from "./hold-room.ts";
import type { KeptAnswer } from "./kept-answer.ts";
import { KeptFor } from "./kept-for.ts";
import type { Lane } from "./lane.ts";
import type { ServiceLevel } from "./levels.ts";
import { monotonicNow } from "./monotonic.ts";
import { plainPlan } from "./plan-rules.ts";
import { type Problem, problemBody } from "./problem.ts";
import { refresh } from "./refresh.ts";
import {
  headOf,
  jurisdictionGone,
  leftOut,
  nowhereAllowed,
  outcomeUnknown,
  tooLate,
  unavailable,
} from "./refusals.ts";
import type { Responder } from "./responder.ts";
import type { ParsedHead } from "./response-head.ts";
import type { ServicePlan } from "./service-plan.ts";
import { ToldRequest } from "./told-request.ts";
import { Tries } from "./tries.ts";
import type { WebSocketEnd } from "./websocket.ts";

export class Exchange implements AttemptListener {
  readonly #world: ExchangeWorld;
  readonly #plan: ServicePlan;
  readonly #request: ExchangeRequest;
  readonly #responder: Responder;
  #lane: Lane;
  /** Where a limit allows it; null: wherever the service may be served. */
  #allowed: AllowedRegions | null = null;
  #pauses = 0;
  readonly #class: TrafficClass;
  readonly #level: ServiceLevel;
  readonly #account: Account;
  readonly #told: ToldRequest;
  readonly #kept: KeptFor;
  readonly #tries: Tries;
  /** When it first found no room. */
  #turnedAwayAt: number | null = null;
  #waiting: Waiting | null = null;
  #isOver = false;

  constructor(world: ExchangeWorld, plan: ServicePlan, request: ExchangeRequest, responder: Responder) {
    this.#world = world;
    this.#plan = plan;
    this.#request = request;
    this.#responder = responder;
    this.#lane = plan.lane;
    this.#class = classOf(plan.route.classes, request.upstream);
    this.#level = world.levels.of(plan);
    this.#level.came();
    const scope = { world, plan, request, class: this.#class, level: this.#level };
    this.#account = new Account(scope);
    this.#told = new ToldRequest(request);
    this.#kept = new KeptFor(scope, this.#told);
    this.#tries = new Tries(scope, this.#told, this.#account, this);
    plan.active++;
    plan.ledger.request(this.#account.arrivedAt);
    responder.onGone = () => this.#leave();
  }

  proceed(): void {
    this.#waiting = null;
    if (this.#isOver) return;
    this.#allowed = null;
    this.#lane = this.#plan.lane;
    if (this.#plan.rules !== plainPlan && !this.#abidesByRules()) return;
    const { route, table } = this.#plan;
    const { safe, idempotent } = this.#request;
    const { stand } = this.#level;
    const treatment = treatmentOf(stand, this.#class.name);
    if (treatment === "refuse") {
      this.#fail(leftOut(this.#class.name, stand));
      return;
    }
    const admission = admitByMode(stand.mode, safe);
    if (admission.kind === "refuse") {
      const isStatic = stand.mode === "static";
      if (isStatic && (this.#serveStale(admission.because) || this.#servePage())) return;
      if (treatment === "queue" && stand.mode !== "off") this.#hold(admission.because);
      else this.#fail(unavailable(admission.code, admission.because));
      return;
    }
    if (treatment === "stale" && this.#serveStale(`level ${stand.level}`)) return;
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
    if (treatment === "divert") this.#lane = this.#plan.laneWithin(divertedTo(this.#class, this.#allowed));
    const { affinity } = this.#plan.rules;
    const key = affinity === null ? null : this.#told.keyHash(affinity);
    const first = this.#lane.choose(this.#tries.tried, key);
    if (!first) {
      this.#tries.forget();
      this.#hold("every target failed");
      return;
    }
    const { priority } = this.#class;
    const upstream = first.hasRoom(priority)
      ? first
      : this.#lane.chooseWithRoom(this.#tries.tried, priority, key);
    if (!upstream) {
      this.#turnAway(treatment);
      return;
    }
    if (!this.#tries.mayBegin) {
      this.#hold("the retry budget is spent");
      return;
    }
    this.#tries.begin(upstream, this.#lane);
  }

  /** What matters least goes first, at once and not after a wait; the others wait for room. */
  #turnAway(treatment: Treatment): void {
    if (this.#turnedAwayAt === null) this.#level.foundNoRoom();
    this.#turnedAwayAt ??= monotonicNow();
    const { priority, latencyTargetMs = Number.POSITIVE_INFINITY } = this.#class;
    if (priority === "sheddable" && treatment !== "queue") {
      this.#fail(unavailable("HOLDFAST_SHED", "there is room only for what matters more"));
      return;
    }
    // Counted from here: what was held for a writer before has a right to be answered late.
    this.#hold(
      "every target is full",
      Math.ceil(this.#turnedAwayAt - this.#account.arrivedAt) + latencyTargetMs,
    );
  }

  /** Where it may be served, and whether there is time left. False: it was refused. */
  #abidesByRules(): boolean {
    const { rules } = this.#plan;
    this.#allowed = rules.limitOf?.(this.#told.marks) ?? null;
    if (this.#allowed !== null) this.#lane = this.#plan.laneWithin(this.#allowed);
    if (this.#allowed?.size === 0) this.#fail(nowhereAllowed);
    else if (this.#allowed !== null && this.#lane.ordered.length === 0)
      this.#fail(jurisdictionGone(this.#allowed));
    else if (rules.deadlineMs !== null && timeLeftMs(this.#plan, this.#account.arrivedAt) <= 0)
      this.#fail(tooLate(rules.deadlineMs));
    return !this.#isOver;
  }

  // --- what the attempt tells ---

  refuses(status: number, hint: RetryHint): boolean {
    const next = afterTry(this.#repeatable(), { kind: "answered", status, hint });
    if (next.kind === "hold") return holdLeftMs(this.#plan, this.#account.arrivedAt) > 0;
    if (next.kind !== "repeat") return false;
    // A status is repeated elsewhere once each: when all say so, or the budget is spent, it is the answer.
    const isElsewhere = this.#tries.isHedged || this.#lane.choose(this.#tries.tried, null) !== null;
    return isElsewhere && mayResendNow(this.#plan);
  }

  ended(attempt: Attempt, end: TryEnd): void {
    const one = this.#tries.of(attempt);
    if (one === null) return;
    if (end.kind === "no-answer") one.learn(true);
    this.#tries.settle(one);
    this.#world.counters.tried(attempt.upstream.region, end);
    const next = afterTry(this.#repeatable(), end);
    if (end.kind !== "answered" || next.kind === "repeat") one.at.failed();
    // Of a hedged pair the other may still answer.
    if (this.#isOver || this.#tries.isUnderWay) return;
    switch (next.kind) {
      case "repeat":
        this.#world.counters.repeated(next.because);
        this.#tries.owe(end.kind !== "not-sent");
        this.proceed();
        return;
      case "hold":
        // The same answer may come from one instance that alone cannot reach the writer: the next try goes elsewhere.
        one.at.succeeded();
        this.#plan.returning = afterWriterFailed(monotonicNow());
        this.#world.writers.reportFailing(this.#plan.route.dataStores);
        this.#hold(next.because);
        return;
      case "fail":
        this.#fail(outcomeUnknown(next.because));
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
    const holds = this.#kept.confirmedBy(head);
    if (holds !== null) {
      const one = this.#tries.of(attempt);
      if (one !== null) this.#tries.settleOther(one);
      one?.learn(false);
      one?.at.answered(304);
      this.#answerKept(holds);
      return;
    }
    if (this.#kept.isKept) {
      // RFC 5861 section 4: these are errors in the sense of `stale-if-error`.
      if (500 <= head.status && head.status <= 504 && this.#serveStale(`status ${head.status}`)) return;
      this.#kept.keep(head, body, attempt.upstream.region);
    }
    this.#answered(attempt, head);
    this.#account.gave(body?.length ?? 0);
    this.#over();
    this.#responder.whole(head.status, head.headers, body);
  }

  head(attempt: Attempt, head: ParsedHead): void {
    this.#answered(attempt, head);
    this.#responder.onTaken = () => attempt.resume();
    this.#responder.begin(head.status, head.headers, head.contentLength !== null);
  }

  chunk(_attempt: Attempt, chunk: Buffer): boolean {
    this.#account.gave(chunk.length);
    return this.#responder.chunk(chunk);
  }

  finished(_attempt: Attempt): void {
    this.#over();
    this.#responder.end();
  }

  switched(attempt: Attempt, head: ParsedHead, upstream: WebSocketEnd, first: Buffer | null): void {
    const at = this.#tries.of(attempt)?.at;
    this.#answered(attempt, head);
    this.#account.ends("switched");
    this.#over();
    if (at === undefined) upstream.socket.destroy();
    else {
      const { region, url } = at;
      const ends = { client: this.#responder, headers: head.headers, upstream, first };
      this.#world.webSockets.open(ends, { plan: this.#plan, region, url });
    }
  }

  broken(attempt: Attempt): void {
    this.#account.ends("broken");
    attempt.upstream.failed();
    this.#over();
    this.#responder.destroy();
  }

  // --- how it ends ---

  #answered(attempt: Attempt, { status, headers }: ParsedHead): void {
    const one = this.#tries.of(attempt);
    if (one !== null) this.#tries.learn(one, status);
    if (one?.isWrite && status < 500 && this.#plan.returning !== unlimited) {
      this.#plan.returning = afterWriteSucceeded(this.#plan.returning);
      this.#world.room.wakeSome(2);
    }
    if (!this.#request.safe && 200 <= status && status < 400) this.#kept.invalidate(headers);
    headers.push("x-holdfast-region", attempt.upstream.region);
    this.#account.sign(headers);
    this.#account.count(attempt.upstream.region, status);
  }

  /** R5: an old answer comes before waiting and before an error, where nobody forbids it. */
  #serveStale(because: string): boolean {
    const kept = this.#kept.find(because, this.#allowed);
    if (kept === null) return false;
    this.#world.counters.servedStale(because);
    this.#account.ends("stale");
    this.#answerKept(kept);
    return true;
  }

  #reuse(): boolean {
    if (this.#account.tries + this.#pauses > 0) return false;
    const reused = this.#kept.reuse(this.#allowed);
    if (reused === null) return false;
    this.#world.counters.reused();
    this.#account.ends("cached");
    if (reused.refresh !== null)
      refresh(this.#plan, this.#lane, this.#kept.asked, reused.refresh, this.#world.stale);
    this.#answerKept(reused.answer);
    return true;
  }

  #answerKept({ status, headers, body, region }: KeptAnswer): void {
    headers.push("x-holdfast-region", region);
    this.#answer(region, status, headers, body);
  }

  /** The page of a service that is `static`. */
  #servePage(): boolean {
    const page = this.#plan.route.levels?.page;
    if (!page || !this.#request.safe) return false;
    const body = Buffer.from(page.body);
    this.#answer("none", page.status, headOf(page.contentType, body), body);
    return true;
  }

  /** Without asking anybody. */
  #answer(region: string, status: number, headers: string[], body: Buffer | null): void {
    this.#account.sign(headers);
    this.#account.count(region, status);
    this.#over();
    this.#responder.whole(status, headers, body);
  }

  /** `atMostMs` after it came in. */
  #hold(because: string, atMostMs = Number.POSITIVE_INFINITY): void {
    if (this.#serveStale(because)) return;
    const now = monotonicNow();
    const { room, counters } = this.#world;
    const { rules } = this.#plan.route;
    const { priority } = this.#class;
    const holdMaxCount = room.placesOf(rules.holdMaxCount);
    if (holdMaxCount <= room.held) room.displaceBelow(priority);
    const decision = decideHold(
      { ...rules, holdMaxCount, holdMaxMs: Math.min(rules.holdMaxMs, atMostMs) },
      { now, arrivedAt: this.#account.arrivedAt, pauses: this.#pauses, held: room.held },
    );
    if (decision.kind === "give-up") {
      counters.holdRefused();
      this.#fail(unavailable("HOLDFAST_HOLD_ENDED", `${because}; ${decision.because}`));
      return;
    }
    if (this.#pauses === 0) counters.held(because);
    this.#pauses++;
    const pauseMs = Math.max(1, Math.min(decision.pauseMs, timeLeftMs(this.#plan, this.#account.arrivedAt)));
    const goOn = () => {
      this.#account.heldMs += monotonicNow() - now;
      this.proceed();
    };
    this.#waiting = room.wait(priority, pauseMs, goOn, () => {
      this.#waiting = null;
      this.#fail(unavailable("HOLDFAST_SHED", "its place in the queue went to what matters more"));
    });
  }

  #fail(problem: Problem): void {
    if (this.#isOver) return;
    const body = Buffer.from(problemBody(problem, this.#request.requestId));
    const head = headOf("application/problem+json", body);
    this.#account.sign(head);
    if (problem.retryAfterS > 0) head.push("retry-after", String(problem.retryAfterS));
    this.#account.count("none", problem.status, problem.code);
    this.#account.ends(problem.code === "HOLDFAST_SHED" ? "shed" : "refused", problem.code);
    this.#over();
    this.#responder.whole(problem.status, head, body);
  }

  /** The client went away. */
  #leave(): void {
    if (this.#isOver) return;
    this.#account.ends("gone");
    this.#waiting?.leave();
    this.#over();
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#tries.over();
    this.#plan.active--;
    this.#account.over();
  }

  #repeatable(): { readonly idempotent: boolean; readonly replayable: boolean } {
    return { idempotent: this.#request.idempotent, replayable: !isStream(this.#request) };
  }
}
