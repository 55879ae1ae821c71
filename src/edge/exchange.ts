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
import type { AffinityRules } from "../core/model/traffic.ts";
import { affinityKey } from "../core/traffic/affinity.ts";
import { mayRepeat, type RetryBudget } from "../core/traffic/budget.ts";
import { classOf } from "../core/traffic/classes.ts";
import { leftOf, toldLeft, tryWithin } from "../core/traffic/deadline.ts";
import { treatmentOf } from "../core/traffic/degrade.ts";
import { decideHold } from "../core/traffic/hold.ts";
import { admitByMode, holdForWriter } from "../core/traffic/mode.ts";
import { afterValue } from "../core/traffic/percentile.ts";
import { hashOf } from "../core/traffic/rendezvous.ts";
import { afterTry, type RetryHint, type TryEnd } from "../core/traffic/repeat.ts";
import { afterWriterFailed, afterWriteSucceeded, limitAt, unlimited } from "../core/traffic/return.ts";
import type { AllowedRegions, MarkedRequest } from "../core/traffic/sovereignty.ts";
import type { AccessRecord, Outcome } from "./access-log.ts";
import type { Attempt, AttemptListener } from "./attempt.ts";
import { divertedTo } from "./divert.ts";
import type { HoldRoom, Waiting } from "./hold-room.ts";
import type { KeptAnswer } from "./kept-answer.ts";
import type { Lane } from "./lane.ts";
import type { EdgeLevels, ServiceLevel } from "./levels.ts";
import { monotonicNow } from "./monotonic.ts";
import { plainPlan } from "./plan-rules.ts";
import { type Problem, problemBody } from "./problem.ts";
import { refresh } from "./refresh.ts";
import {
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
import type { AskedFor, Kept, StaleStore } from "./stale-store.ts";
import type { TrafficCounters } from "./traffic-counters.ts";
import { Try } from "./try.ts";
import type { Upstream } from "./upstream.ts";
import type { UpstreamRequest } from "./upstream-connection.ts";
import type { WebSocketEnd } from "./websocket.ts";
import type { WebSockets } from "./websockets.ts";
import type { WriterWatch } from "./writer-watch.ts";

/** Envoy's least number of repeats at once. */
const repeatsAtLeast = 3;

export interface ExchangeRequest {
  /** `headers`: with each try they are told anew where it goes, and at which level. */
  readonly upstream: UpstreamRequest & { readonly headers: string[] };
  readonly host: string;
  readonly requestId: string;
  readonly safe: boolean;
  readonly idempotent: boolean;
  /** Its address; behind balancers that are trusted, the one that they tell. */
  readonly client: string;
  /** null: nothing is written down. */
  readonly record: AccessRecord | null;
}

export interface ExchangeWorld {
  readonly edge: string;
  readonly room: HoldRoom;
  readonly writers: WriterWatch;
  readonly counters: TrafficCounters;
  readonly stale: StaleStore;
  readonly levels: EdgeLevels;
  readonly webSockets: WebSockets;
}

export class Exchange implements AttemptListener {
  readonly #world: ExchangeWorld;
  readonly #plan: ServicePlan;
  #request: ExchangeRequest;
  readonly #responder: Responder;
  readonly #arrivedAt = monotonicNow();
  #lane: Lane;
  /** Where a limit allows it; null: wherever the service may be served. */
  #allowed: AllowedRegions | null = null;
  /** Since the last pause: each upstream is tried once before anyone waits. */
  #tried: Upstream[] = [];
  #tries = 0;
  #pauses = 0;
  #heldMs = 0;
  /** Under way; the second is a hedge. */
  #first: Try | null = null;
  #second: Try | null = null;
  #hedgeTimer: NodeJS.Timeout | null = null;
  readonly #class: TrafficClass;
  readonly #level: ServiceLevel;
  /** Header fields of the client end here, and what we tell begins. */
  #toldAt: number;
  /** When it first found no room. */
  #turnedAwayAt: number | null = null;
  #waiting: Waiting | null = null;
  /** The next try is a repeat; and a byte of it has been sent before. */
  #owesRepeat = false;
  #owesResend = false;
  /** What the service is asked about, whether it still holds. */
  #validating: Kept | null = null;
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
    this.#toldAt = request.upstream.headers.length;
    plan.active++;
    if (request.record !== null) this.#describe(request.record);
    plan.ledger.request(this.#arrivedAt);
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
    const key = this.#plan.rules.affinity === null ? null : this.#keyHash(this.#plan.rules.affinity);
    const first = this.#lane.choose(this.#tried, key);
    if (!first) {
      this.#tried = [];
      this.#hold("every target failed");
      return;
    }
    const { priority } = this.#class;
    const upstream = first.hasRoom(priority) ? first : this.#lane.chooseWithRoom(this.#tried, priority, key);
    if (!upstream) {
      this.#turnAway(treatment);
      return;
    }
    if (this.#owesRepeat && !this.#mayRepeat(this.#owesResend)) {
      this.#hold("the retry budget is spent");
      return;
    }
    this.#try(upstream);
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
    this.#hold("every target is full", Math.ceil(this.#turnedAwayAt - this.#arrivedAt) + latencyTargetMs);
  }

  /** Where it may be served, and whether there is time left. False: it was refused. */
  #abidesByRules(): boolean {
    const { rules } = this.#plan;
    this.#allowed = rules.limitOf?.(this.#marks()) ?? null;
    if (this.#allowed !== null) this.#lane = this.#plan.laneWithin(this.#allowed);
    if (this.#allowed?.size === 0) this.#fail(nowhereAllowed);
    else if (this.#allowed !== null && this.#lane.ordered.length === 0)
      this.#fail(jurisdictionGone(this.#allowed));
    else if (rules.deadlineMs !== null && this.#timeLeftMs() <= 0) this.#fail(tooLate(rules.deadlineMs));
    return !this.#isOver;
  }

  #marks(): MarkedRequest {
    const { host, upstream } = this.#request;
    return { host, path: upstream.path, headers: upstream.headers, client: this.#request.client };
  }

  #keyHash(affinity: AffinityRules): number | null {
    const key = affinityKey(affinity, this.#marks());
    return key === null ? null : hashOf(key);
  }

  #mayRepeat(isResend: boolean): boolean {
    const { active, repeating, ledger } = this.#plan;
    const budget = this.#budget();
    return mayRepeat(budget, active, repeating) && (!isResend || ledger.mayResend(budget, monotonicNow()));
  }

  #budget(): RetryBudget {
    return { ratio: this.#plan.route.rules.retryBudget, atLeast: repeatsAtLeast };
  }

  #try(upstream: Upstream): void {
    const { hedgeAfter } = this.#plan.rules;
    const isRepeat = this.#owesRepeat;
    const isResend = this.#owesResend;
    this.#owesRepeat = this.#owesResend = false;
    this.#first = this.#begin(upstream, isRepeat, isResend);
    this.#first.start();
    if (hedgeAfter === null || isRepeat || !this.#isPlainRead() || this.#first === null) return;
    if (this.#plan.usualMs > 0) this.#hedgeTimer = setTimeout(() => this.#hedge(), this.#plan.usualMs);
  }

  /** It takes longer than usual: once more elsewhere, where there is room to spare. */
  #hedge(): void {
    if (this.#isOver || this.#first === null || this.#second !== null || !this.#mayRepeat(true)) return;
    const upstream = this.#lane.chooseWithRoom(this.#tried, "sheddable", null);
    if (upstream === null || upstream.isEjected) return;
    this.#world.counters.hedged();
    this.#second = this.#begin(upstream, true, true);
    this.#second.start();
  }

  #begin(upstream: Upstream, isRepeat: boolean, isResend: boolean): Try {
    this.#tries++;
    this.#tried.push(upstream);
    if (isResend) this.#plan.ledger.resent(monotonicNow());
    const { tryTimeoutMs } = this.#plan.route.rules;
    const isWrite = !this.#request.safe;
    let request = this.#told(upstream);
    let withinMs = tryTimeoutMs;
    if (this.#plan.rules.deadlineMs !== null) {
      const leftMs = this.#timeLeftMs();
      withinMs = tryWithin(tryTimeoutMs, leftMs);
      request = { ...request, headers: [...request.headers, "x-holdfast-deadline-ms", toldLeft(leftMs)] };
    }
    return new Try(this.#plan, upstream, request, withinMs, this, { isRepeat, isWrite });
  }

  /** The request of this try: it is told where it goes, and at which level. The first takes the fields as they stand. */
  #told({ region }: Upstream): UpstreamRequest {
    const own = this.#request.upstream;
    const { stand } = this.#level;
    const headers = this.#tries === 1 ? own.headers : own.headers.slice(0, this.#toldAt);
    headers.push("x-holdfast-region", region, "x-holdfast-mode", stand.mode);
    if (this.#plan.route.levels !== undefined) {
      headers.push("x-holdfast-level", String(stand.level));
      if (stand.flags !== "") headers.push("x-holdfast-flags", stand.flags);
    }
    return headers === own.headers ? own : { ...own, headers };
  }

  /** Takes a try off; the one that is left, if any, is the first. */
  #settle(one: Try): void {
    one.settle(this.#world.room);
    if (one === this.#second) this.#second = null;
    else if (one === this.#first) {
      this.#first = this.#second;
      this.#second = null;
    }
  }

  /** One of the two answered: the other is not waited for. */
  #settleOther(one: Try): void {
    if (this.#hedgeTimer !== null) clearTimeout(this.#hedgeTimer);
    const other = one === this.#first ? this.#second : this.#first;
    if (other === null) return;
    other.abandon();
    this.#settle(other);
  }

  #tryOf(attempt: Attempt): Try | null {
    return attempt === this.#second ? this.#second : this.#first;
  }

  // --- what the attempt tells ---

  refuses(status: number, hint: RetryHint): boolean {
    const next = afterTry(this.#repeatable(), { kind: "answered", status, hint });
    if (next.kind === "hold") return this.#leftMs() > 0;
    if (next.kind !== "repeat") return false;
    // A status is repeated elsewhere once each: when all say so, or the budget is spent, it is the answer.
    const isElsewhere = this.#second !== null || this.#lane.choose(this.#tried, null) !== null;
    return isElsewhere && this.#plan.ledger.mayResend(this.#budget(), monotonicNow());
  }

  ended(attempt: Attempt, end: TryEnd): void {
    const one = this.#tryOf(attempt);
    if (one === null) return;
    if (end.kind === "no-answer") one.learn(true);
    this.#settle(one);
    this.#world.counters.tried(attempt.upstream.region, end);
    const next = afterTry(this.#repeatable(), end);
    if (end.kind !== "answered" || next.kind === "repeat") one.at.failed();
    // Of a hedged pair the other may still answer.
    if (this.#isOver || this.#first !== null) return;
    switch (next.kind) {
      case "repeat":
        this.#world.counters.repeated(next.because);
        this.#owesRepeat = true;
        this.#owesResend ||= end.kind !== "not-sent";
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
    const { staleMaxMs } = this.#plan.route.rules;
    if (staleMaxMs > 0 && this.#request.upstream.method === "GET") {
      if (this.#validating !== null && head.status === 304) {
        const holds = this.#world.stale.validated(
          this.#validating,
          this.#askedFor(),
          head.headers,
          staleMaxMs,
        );
        const one = this.#tryOf(attempt);
        if (one !== null) this.#settleOther(one);
        one?.learn(false);
        one?.at.answered(304);
        this.#answerKept(holds);
        return;
      }
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
    this.#over();
    this.#responder.end();
  }

  switched(attempt: Attempt, head: ParsedHead, upstream: WebSocketEnd, first: Buffer | null): void {
    const at = this.#tryOf(attempt)?.at;
    this.#answered(attempt, head);
    this.#ends("switched");
    this.#over();
    if (at === undefined) upstream.socket.destroy();
    else {
      const { region, url } = at;
      const ends = { client: this.#responder, headers: head.headers, upstream, first };
      this.#world.webSockets.open(ends, { plan: this.#plan, region, url });
    }
  }

  broken(attempt: Attempt): void {
    this.#ends("broken");
    attempt.upstream.failed();
    this.#over();
    this.#responder.destroy();
  }

  // --- how it ends ---

  #answered(attempt: Attempt, { status, headers }: ParsedHead): void {
    const one = this.#tryOf(attempt);
    if (one !== null) {
      const { hedgeAfter } = this.#plan.rules;
      // Of a hedged pair the first: what it would have taken is at least this.
      const { elapsedMs } = this.#first ?? one;
      if (hedgeAfter !== null) this.#plan.usualMs = afterValue(this.#plan.usualMs, elapsedMs, hedgeAfter);
      this.#settleOther(one);
      if (this.#request.record !== null) this.#request.record.upstreamMs = one.elapsedMs;
      one.learn(status === 503);
      one.at.answered(status);
    }
    if (one?.isWrite && status < 500 && this.#plan.returning !== unlimited) {
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
    if (this.#plan.route.levels !== undefined)
      headers.push("x-holdfast-level", String(this.#level.stand.level));
  }

  #askedFor(): AskedFor {
    const { method, path, headers } = this.#request.upstream;
    return { service: this.#plan.name, method, path, headers };
  }

  /** Neither a write nor who asks for a WebSocket: a kept answer, or one of two, will do. */
  #isPlainRead(): boolean {
    return this.#request.safe && !this.#request.upstream.webSocketKey;
  }

  /** R5: an old answer comes before waiting and before an error, where nobody forbids it. */
  #serveStale(because: string): boolean {
    const { staleMaxMs } = this.#plan.route.rules;
    if (staleMaxMs <= 0 || !this.#isPlainRead()) return false;
    const kept = this.#world.stale.find(this.#askedFor(), staleMaxMs, because);
    if (kept === null || this.#allowed?.has(kept.region) === false) return false;
    this.#world.counters.servedStale(because);
    this.#ends("stale");
    this.#answerKept(kept);
    return true;
  }

  /** What is as good as new is not asked for again; of what is not, it is asked whether it still holds. */
  #reuse(): boolean {
    const { rules } = this.#plan.route;
    if (rules.staleMaxMs <= 0 || !this.#isPlainRead() || this.#tries + this.#pauses > 0) return false;
    const reused = this.#world.stale.reuse(this.#askedFor());
    // E4.
    if (reused === null || this.#allowed?.has(reused.region) === false) return false;
    if (reused.kind === "answer") {
      this.#world.counters.reused();
      this.#ends("cached");
      if (reused.refresh !== null)
        refresh(this.#plan, this.#lane, this.#askedFor(), reused.refresh, this.#world.stale);
      this.#answerKept(reused.answer);
      return true;
    }
    if (reused.kind === "validate") {
      this.#validating = reused.kept;
      const { upstream } = this.#request;
      const headers = [...upstream.headers, ...reused.conditions];
      this.#request = { ...this.#request, upstream: { ...upstream, headers } };
      this.#toldAt = headers.length;
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

  /** The page of a service that is `static`. */
  #servePage(): boolean {
    const page = this.#plan.route.levels?.page;
    if (!page || !this.#request.safe) return false;
    const body = Buffer.from(page.body);
    const head = ["content-type", page.contentType, "cache-control", "no-store"];
    head.push("content-length", String(body.length));
    this.#sign(head);
    this.#count("none", page.status);
    this.#over();
    this.#responder.whole(page.status, head, body);
    return true;
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
      { now, arrivedAt: this.#arrivedAt, pauses: this.#pauses, held: room.held },
    );
    if (decision.kind === "give-up") {
      counters.holdRefused();
      this.#fail(unavailable("HOLDFAST_HOLD_ENDED", `${because}; ${decision.because}`));
      return;
    }
    if (this.#pauses === 0) counters.held(because);
    this.#pauses++;
    const pauseMs = Math.max(1, Math.min(decision.pauseMs, this.#timeLeftMs()));
    const goOn = () => {
      this.#heldMs += monotonicNow() - now;
      this.proceed();
    };
    this.#waiting = room.wait(priority, pauseMs, goOn, () => {
      this.#waiting = null;
      this.#fail(unavailable("HOLDFAST_SHED", "its place in the queue went to what matters more"));
    });
  }

  #fail(problem: Problem): void {
    if (this.#isOver) return;
    const body = problemBody(problem, this.#request.requestId);
    const head = ["content-type", "application/problem+json", "cache-control", "no-store"];
    head.push("content-length", String(Buffer.byteLength(body)));
    this.#sign(head);
    if (problem.retryAfterS > 0) head.push("retry-after", String(problem.retryAfterS));
    this.#count("none", problem.status, problem.code);
    this.#ends(problem.code === "HOLDFAST_SHED" ? "shed" : "refused", problem.code);
    this.#over();
    this.#responder.whole(problem.status, head, Buffer.from(body));
  }

  /** The client went away. */
  #leave(): void {
    if (this.#isOver) return;
    this.#ends("gone");
    this.#waiting?.leave();
    this.#over();
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#hedgeTimer !== null) clearTimeout(this.#hedgeTimer);
    this.#end(this.#first);
    this.#end(this.#second);
    this.#plan.active--;
    this.#request.record?.over(this.#tries, this.#heldMs);
  }

  #describe(record: AccessRecord): void {
    const { name, table } = this.#plan;
    record.service = name;
    record.generation = table.generation;
    record.epoch = table.epoch;
    record.class = this.#class.name;
    record.priority = this.#class.priority;
  }

  #ends(outcome: Outcome, code: string | null = null): void {
    const { record } = this.#request;
    if (record === null) return;
    record.outcome = outcome;
    record.code = code;
  }

  #end(one: Try | null): void {
    one?.abandon();
    one?.settle(this.#world.room);
  }

  /** `code`: of our own refusal; empty: somebody answered. */
  #count(region: string, status: number, code = ""): void {
    this.#request.record?.answered(region, status);
    const { name: service, table } = this.#plan;
    const { name, latencyTargetMs } = this.#class;
    const tookMs = monotonicNow() - this.#arrivedAt;
    const isLate = latencyTargetMs !== undefined && latencyTargetMs < tookMs;
    const about = { service, region, class: name, generation: table.generation };
    this.#world.counters.answered(about, { status, code, seconds: tookMs / 1000, isLate });
  }

  #leftMs(): number {
    const { holdMaxMs } = this.#plan.route.rules;
    return Math.min(leftOf(holdMaxMs, this.#arrivedAt, monotonicNow()), this.#timeLeftMs());
  }

  /** Until the service's deadline. */
  #timeLeftMs(): number {
    const { deadlineMs } = this.#plan.rules;
    return deadlineMs === null
      ? Number.POSITIVE_INFINITY
      : leftOf(deadlineMs, this.#arrivedAt, monotonicNow());
  }

  #repeatable(): { readonly idempotent: boolean; readonly replayable: boolean } {
    return { idempotent: this.#request.idempotent, replayable: !isStream(this.#request) };
  }
}

function isStream({ upstream }: ExchangeRequest): boolean {
  return upstream.body !== null && !Buffer.isBuffer(upstream.body);
}
