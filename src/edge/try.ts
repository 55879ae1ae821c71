/** One try of a request: where it is made, since when, among how many, and what it counts against while it lasts. */
import type { SpanMs } from "../core/model/time.ts";
import { Attempt, type AttemptListener } from "./attempt.ts";
import type { HoldRoom } from "./hold-room.ts";
import { monotonicNow } from "./monotonic.ts";
import type { ServicePlan } from "./service-plan.ts";
import type { Upstream } from "./upstream.ts";
import type { UpstreamRequest } from "./upstream-connection.ts";

export interface TryKind {
  /** It counts against the retry budget. */
  readonly isRepeat: boolean;
  /** It counts while a writer comes back. */
  readonly isWrite: boolean;
}

export class Try extends Attempt {
  readonly at: Upstream;
  readonly isWrite: boolean;
  readonly #plan: ServicePlan;
  readonly #isRepeat: boolean;
  readonly #since = monotonicNow();
  readonly #among: number;
  #isCounted = true;

  constructor(
    plan: ServicePlan,
    upstream: Upstream,
    request: UpstreamRequest,
    timeoutMs: number,
    listener: AttemptListener,
    { isRepeat, isWrite }: TryKind,
  ) {
    super(upstream, request, timeoutMs, listener);
    this.#plan = plan;
    this.at = upstream;
    this.#isRepeat = isRepeat;
    this.isWrite = isWrite;
    this.#among = ++upstream.inFlight;
    if (isRepeat) plan.repeating++;
    if (isWrite) plan.writing++;
  }

  /** `dropped`: it was refused, or no answer came. */
  learn(dropped: boolean): void {
    this.at.learn(this.elapsedMs, this.#among, dropped);
  }

  get elapsedMs(): SpanMs {
    return monotonicNow() - this.#since;
  }

  /** It is over, however it ended. */
  settle(room: HoldRoom): void {
    if (!this.#isCounted) return;
    this.#isCounted = false;
    const wasFull = !this.at.hasRoom("standard");
    this.at.inFlight--;
    if (this.#isRepeat) this.#plan.repeating--;
    if (this.isWrite) this.#plan.writing--;
    if (wasFull && room.held > 0) room.wakeSome(1);
  }
}
