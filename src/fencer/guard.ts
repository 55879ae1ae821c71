/** Guards one member: keeps its fuse, ends it when the fuse burns, and goes on ending it for as long as it stays burnt. */
import type { Epoch } from "../core/model/id.ts";
import type { InstantMs, SpanMs } from "../core/model/time.ts";
import { burn, confirmGone, disarm, type Fuse, isExpired, newFuse, pet } from "./fuse.ts";
import type { FencerMemory, Kept } from "./memory.ts";

export interface GuardParts {
  /** CLOCK_MONOTONIC. */
  readonly now: () => InstantMs;
  /** Ends the member, whole process tree, and resolves when none is left, with how many there were. */
  readonly end: (signal: AbortSignal) => Promise<number>;
  readonly memory: FencerMemory;
  readonly log: (text: string) => void;
  readonly boot: string;
  readonly aheadMaxMs: SpanMs;
}

export interface Answer {
  readonly done: boolean;
  readonly because: string;
}

/** One attempt to end the tree; then it is tried again, for as long as it takes. */
const endTimeoutMs = 1_000;
/** Between two attempts that failed (a process that hangs in its disk, for instance). */
const retryMs = 20;
/** A postmaster that somebody starts again needs some 50 ms to take clients. One look at /proc takes about 2 ms. */
const patrolMs = 50;
/** setTimeout takes no more; deadlines are far nearer. */
const timerMaxMs = 60_000;

export class Guard {
  readonly #parts: GuardParts;
  #fuse: Fuse;
  #fired: number;
  #lastFiring: string;
  #firing: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** When the timer wakes: it is moved only to earlier instants, so that a pet costs no timer. */
  #wakesAt: InstantMs = Number.POSITIVE_INFINITY;
  #closed = false;
  /** An arming that has not reached the disk is written again with the next pet. */
  #armingUnwritten = false;

  /** `kept`: as read from the memory. Begins to guard at once, and fires at once if the time has passed meanwhile. */
  constructor(parts: GuardParts, kept: Kept | null | "unreadable", graceMs: SpanMs) {
    this.#parts = parts;
    const known = kept === "unreadable" ? null : kept;
    this.#fired = known?.fired ?? 0;
    this.#lastFiring = known?.lastFiring ?? "";
    this.#fuse =
      kept === "unreadable"
        ? { ...newFuse, kind: "armed", deadline: parts.now() + graceMs, assumed: true }
        : startingFuse(known, parts.boot);
    if (kept === "unreadable") {
      parts.log(`the state file cannot be read: ends the member in ${graceMs} ms unless it is petted`);
    }
    if (this.#fuse.kind === "burnt")
      this.#firing = this.#endMember("it was burnt when the fencer was started");
    this.#wakeBy(this.#fuse.deadline);
  }

  async pet(request: { readonly epoch: Epoch; readonly deadline: InstantMs }): Promise<Answer> {
    if (isExpired(this.#fuse, this.#parts.now())) this.#expire(this.#parts.now());
    // A new epoch waits until the member of the last one is seen gone; what can no longer be taken is refused at once.
    if (this.#fuse.burntEpoch < request.epoch) await this.#firing;
    if (this.#closed) return { done: false, because: "the fencer is being stopped" };
    const before = this.#fuse;
    const outcome = pet(before, request, this.#parts.now(), this.#parts.aheadMaxMs);
    if (outcome.kind === "refused") return { done: false, because: outcome.because };
    this.#fuse = outcome.fuse;
    this.#wakeBy(this.#fuse.deadline);
    const renews = before.kind === "armed" && before.epoch === request.epoch && !before.assumed;
    if (renews && !this.#armingUnwritten) {
      this.#parts.memory.keep(this.#kept());
      return { done: true, because: "" };
    }
    this.#armingUnwritten = true;
    if (!(await this.#parts.memory.keepDurably(this.#kept()))) return this.#unwritten();
    this.#armingUnwritten = false;
    if (!renews) this.#parts.log(`armed for epoch ${request.epoch}`);
    // The disk may have taken longer than the deadline allowed.
    if (this.#fuse.kind !== "armed") return { done: false, because: "it has fired meanwhile" };
    return { done: true, because: "" };
  }

  async disarm(request: { readonly epoch: Epoch }): Promise<Answer> {
    const now = this.#parts.now();
    if (isExpired(this.#fuse, now)) this.#expire(now);
    await this.#firing;
    const before = this.#fuse;
    const outcome = disarm(before, request);
    if (outcome.kind === "refused") return { done: false, because: outcome.because };
    this.#fuse = outcome.fuse;
    if (before.kind !== "disarmed") this.#parts.log(`disarmed in epoch ${request.epoch}`);
    return (await this.#parts.memory.keepDurably(this.#kept()))
      ? { done: true, because: "" }
      : this.#unwritten();
  }

  state() {
    const now = this.#parts.now();
    if (isExpired(this.#fuse, now)) this.#expire(now);
    const { kind, epoch, deadline } = this.#fuse;
    return {
      armed: kind === "armed",
      epoch,
      deadline: Number.isFinite(deadline) ? deadline : null,
      burntEpoch: this.#fuse.burntEpoch,
      fired: this.#fired,
      lastFiring: this.#lastFiring,
    };
  }

  /** Whether the watchdog device may be kept quiet: not while a member that should be gone is not seen gone. */
  isInCommand(): boolean {
    return !isExpired(this.#fuse, this.#parts.now()) && (this.#fuse.kind !== "burnt" || this.#fuse.confirmed);
  }

  isArmed(): boolean {
    return this.#fuse.kind === "armed";
  }

  /** Never leaves an unguarded primary behind: while it is armed, the member is ended first. */
  async close(why: string): Promise<void> {
    this.#closed = true;
    if (this.#fuse.kind === "armed") {
      this.#firing ??= this.#endMember(`${why} while armed for epoch ${this.#fuse.epoch}`);
    }
    await this.#firing;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await this.#parts.memory.close();
  }

  #wakeBy(at: InstantMs): void {
    if (this.#wakesAt <= at || !Number.isFinite(at)) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#wakesAt = at;
    // Node's timers count whole milliseconds and may wake up to one early: round up, and look again.
    const inMs = Math.min(Math.max(Math.ceil(at - this.#parts.now()) + 1, 0), timerMaxMs);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#wakesAt = Number.POSITIVE_INFINITY;
      this.#look();
    }, inMs);
  }

  #look(): void {
    const now = this.#parts.now();
    if (isExpired(this.#fuse, now)) this.#expire(now);
    else if (this.#fuse.kind === "armed") this.#wakeBy(this.#fuse.deadline);
    else if (this.#fuse.kind === "burnt") this.#patrol();
  }

  #expire(now: InstantMs): void {
    const late = (now - this.#fuse.deadline).toFixed(1);
    this.#firing ??= this.#endMember(`not petted in epoch ${this.#fuse.epoch}, ${late} ms past its deadline`);
  }

  /** Burnt and seen gone: whoever starts it again without a right to has it ended again. */
  #patrol(): void {
    this.#firing ??= this.#endMember(`started again after it was ended in epoch ${this.#fuse.epoch}`);
  }

  async #endMember(why: string): Promise<void> {
    const again = this.#fuse.kind === "burnt";
    this.#fuse = burn(this.#fuse);
    let ended = 0;
    try {
      ended = await this.#endUntilGone();
    } finally {
      this.#firing = null;
    }
    this.#fuse = confirmGone(this.#fuse);
    if (0 < ended || !again) {
      this.#fired += 1;
      this.#lastFiring = `epoch ${this.#fuse.epoch} at ${new Date().toISOString()}: ${why}`;
      this.#parts.log(`fired: ${why}; ended ${ended} processes and saw none left`);
      // Not awaited: the guard goes on while a disk hangs.
      void this.#parts.memory.keepDurably(this.#kept());
    }
    if (!this.#closed) this.#wakeBy(this.#parts.now() + patrolMs);
  }

  async #endUntilGone(): Promise<number> {
    let ended = 0;
    let problem = "";
    for (;;) {
      try {
        const now = await this.#parts.end(AbortSignal.timeout(endTimeoutMs));
        ended += now;
        if (now === 0) return ended;
      } catch (error) {
        if (problem !== (error as Error).message) {
          problem = (error as Error).message;
          this.#parts.log(`not gone yet: ${problem}`);
        }
        await new Promise((wake) => setTimeout(wake, retryMs));
      }
    }
  }

  #kept(): Kept {
    const { boot } = this.#parts;
    return { boot, fuse: this.#fuse, fired: this.#fired, lastFiring: this.#lastFiring };
  }

  #unwritten(): Answer {
    return { done: false, because: `cannot be written to the state file: ${this.#parts.memory.problem}` };
  }
}

/** After a restart of the host the member's processes are gone with it; what has burnt stays burnt (F4). */
function startingFuse(kept: Kept | null, boot: string): Fuse {
  if (kept === null) return newFuse;
  if (kept.boot === boot) return { ...kept.fuse, confirmed: false };
  return { ...kept.fuse, kind: "disarmed", deadline: newFuse.deadline, confirmed: false, assumed: false };
}
