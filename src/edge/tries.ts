/**
 * The tries of one exchange: where it was tried, what is under way (one, or a hedged pair of which the first answer is
 * taken), and what the next of them owes to the retry budget.
 */
import { toldLeft, tryWithin } from "../core/traffic/deadline.ts";
import { afterValue } from "../core/traffic/percentile.ts";
import type { Account } from "./account.ts";
import { mayRepeatNow, timeLeftMs } from "./allowance.ts";
import type { Attempt, AttemptListener } from "./attempt.ts";
import { type ExchangeScope, isPlainRead } from "./exchange-world.ts";
import type { Lane } from "./lane.ts";
import { monotonicNow } from "./monotonic.ts";
import type { ToldRequest } from "./told-request.ts";
import { Try } from "./try.ts";
import type { Upstream } from "./upstream.ts";

export class Tries {
  readonly #of: ExchangeScope;
  readonly #told: ToldRequest;
  readonly #account: Account;
  readonly #listener: AttemptListener;
  /** Since the last pause: each upstream is tried once before anyone waits. */
  #tried: Upstream[] = [];
  #first: Try | null = null;
  /** A hedge. */
  #second: Try | null = null;
  /** That of the first. */
  #lane: Lane | null = null;
  #hedgeTimer: NodeJS.Timeout | null = null;
  /** The next try is a repeat; and a byte of it has been sent before. */
  #owesRepeat = false;
  #owesResend = false;
  #isOver = false;

  constructor(of: ExchangeScope, told: ToldRequest, account: Account, listener: AttemptListener) {
    this.#of = of;
    this.#told = told;
    this.#account = account;
    this.#listener = listener;
  }

  get tried(): readonly Upstream[] {
    return this.#tried;
  }

  get isUnderWay(): boolean {
    return this.#first !== null;
  }

  get isHedged(): boolean {
    return this.#second !== null;
  }

  forget(): void {
    this.#tried = [];
  }

  owe(isResend: boolean): void {
    this.#owesRepeat = true;
    this.#owesResend ||= isResend;
  }

  /** Whether the budget pays what is owed. */
  get mayBegin(): boolean {
    return !this.#owesRepeat || mayRepeatNow(this.#of.plan, this.#owesResend);
  }

  begin(upstream: Upstream, lane: Lane): void {
    const { plan, request } = this.#of;
    const { hedgeAfter } = plan.rules;
    const isRepeat = this.#owesRepeat;
    const isResend = this.#owesResend;
    this.#owesRepeat = this.#owesResend = false;
    this.#lane = lane;
    this.#first = this.#make(upstream, isRepeat, isResend);
    this.#first.start();
    if (hedgeAfter === null || isRepeat || !isPlainRead(request) || this.#first === null) return;
    if (plan.usualMs > 0) this.#hedgeTimer = setTimeout(() => this.#hedge(), plan.usualMs);
  }

  /** It takes longer than usual: once more elsewhere, where there is room to spare. */
  #hedge(): void {
    const { world, plan } = this.#of;
    if (this.#isOver || this.#first === null || this.#second !== null || !mayRepeatNow(plan, true)) return;
    const upstream = this.#lane?.chooseWithRoom(this.#tried, "sheddable", null) ?? null;
    if (upstream === null || upstream.isEjected) return;
    world.counters.hedged();
    this.#second = this.#make(upstream, true, true);
    this.#second.start();
  }

  #make(upstream: Upstream, isRepeat: boolean, isResend: boolean): Try {
    const { plan, request, level } = this.#of;
    const isFirst = ++this.#account.tries === 1;
    this.#tried.push(upstream);
    if (isResend) plan.ledger.resent(monotonicNow());
    const { tryTimeoutMs } = plan.route.rules;
    const isWrite = !request.safe;
    let sent = this.#told.to(upstream.region, { plan, stand: level.stand, isFirst });
    let withinMs = tryTimeoutMs;
    if (plan.rules.deadlineMs !== null) {
      const leftMs = timeLeftMs(plan, this.#account.arrivedAt);
      withinMs = tryWithin(tryTimeoutMs, leftMs);
      sent = { ...sent, headers: [...sent.headers, "x-holdfast-deadline-ms", toldLeft(leftMs)] };
    }
    return new Try(plan, upstream, sent, withinMs, this.#listener, { isRepeat, isWrite });
  }

  of(attempt: Attempt): Try | null {
    return attempt === this.#second ? this.#second : this.#first;
  }

  /** Takes a try off; the one that is left, if any, is the first. */
  settle(one: Try): void {
    one.settle(this.#of.world.room);
    if (one === this.#second) this.#second = null;
    else if (one === this.#first) {
      this.#first = this.#second;
      this.#second = null;
    }
  }

  /** One of the two answered: the other is not waited for. */
  settleOther(one: Try): void {
    if (this.#hedgeTimer !== null) clearTimeout(this.#hedgeTimer);
    const other = one === this.#first ? this.#second : this.#first;
    if (other === null) return;
    other.abandon();
    this.settle(other);
  }

  /** What its answer teaches. */
  learn(one: Try, status: number): void {
    const { plan } = this.#of;
    const { hedgeAfter } = plan.rules;
    // Of a hedged pair the first: what it would have taken is at least this.
    const { elapsedMs } = this.#first ?? one;
    if (hedgeAfter !== null) plan.usualMs = afterValue(plan.usualMs, elapsedMs, hedgeAfter);
    this.settleOther(one);
    this.#account.took(one.elapsedMs);
    one.learn(status === 503);
    one.at.answered(status);
  }

  over(): void {
    this.#isOver = true;
    if (this.#hedgeTimer !== null) clearTimeout(this.#hedgeTimer);
    this.#end(this.#first);
    this.#end(this.#second);
  }

  #end(one: Try | null): void {
    one?.abandon();
    one?.settle(this.#of.world.room);
  }
}
