/** Requests at a set rate, whether answers come or not, and what became of each. */
import type { InstantMs, SpanMs } from "../core/model/time.ts";
import { chanceFrom } from "./chance.ts";
import { type Ask, Client, type ClientTimes, type Place, type Told } from "./load-client.ts";
import { type Receipt, Recorder, type RequestKind, type RequestRecord } from "./load-record.ts";
import { type LiveStats, StatsWindow } from "./load-stats.ts";
import { monotonicMs } from "./monotonic.ts";

export interface LoadConfig extends ClientTimes {
  /** Names this run, unique in the database: prefix of every key and item. Letters, digits and dashes, up to 40. */
  readonly run: string;
  readonly places: readonly Place[];
  readonly ordersPerSecond: number;
  readonly readsPerSecond: number;
  /** Share of the orders that carry no Idempotency-Key, 0 to 1: nobody may repeat them, so they may fail. */
  readonly unsafeShare: number;
  /** Which request comes from which place is drawn from this. */
  readonly seed: number;
  /** Beyond this the run ends itself, and says so. */
  readonly recordsMax: number;
  /** Beyond this a request fails as `overloaded` without being sent, and the run is worth nothing. */
  readonly inFlightMax: number;
}

export const loadDefaults = {
  ordersPerSecond: 100,
  readsPerSecond: 200,
  unsafeShare: 0.1,
  seed: 1,
  attemptTimeoutMs: 1_000,
  deadlineMs: 15_000,
  avoidMs: 1_000,
  /** 28 minutes at 300 requests a second: 70 MB. */
  recordsMax: 500_000,
  /** 300 a second for the 15 s until the deadline, and some. */
  inFlightMax: 6_000,
} satisfies Partial<LoadConfig>;

/** A load that sends so late even once did not load as it says: on a healthy machine it is below 20 ms. */
const lateMaxMs = 1_000;
/** Orders that a read may ask for: the newest acknowledged. */
const knownMax = 512;
/** One read in ten lists, nine ask for one order. */
const listShare = 0.1;

export class LoadGenerator {
  readonly recorder = new Recorder();
  readonly #config: LoadConfig;
  readonly #clients: readonly (readonly [place: string, client: Client])[];
  readonly #chance: () => number;
  readonly #stats: StatsWindow;
  readonly #startedAt: InstantMs;
  readonly #known: string[] = [];
  readonly #streams: { order: Stream; read: Stream };
  readonly #idle = Promise.withResolvers<void>();
  #timer: NodeJS.Timeout | null = null;
  #stopping = false;
  #sent = 0;
  #inFlight = 0;
  #latestMs: SpanMs = 0;
  #overloaded = 0;

  constructor(config: LoadConfig) {
    this.#config = config;
    this.#clients = config.places.map((place) => [place.name, new Client(place, config)]);
    this.#chance = chanceFrom(config.seed);
    const now = monotonicMs();
    this.#startedAt = now;
    this.#stats = new StatsWindow(now);
    this.#streams = {
      order: new Stream(config.ordersPerSecond, now),
      read: new Stream(config.readsPerSecond, now),
    };
    this.#tick();
  }

  /** Holds from now on. */
  setRates(rates: { readonly ordersPerSecond: number; readonly readsPerSecond: number }): void {
    const now = monotonicMs();
    this.#streams.order = new Stream(rates.ordersPerSecond, now);
    this.#streams.read = new Stream(rates.readsPerSecond, now);
    this.#tick();
  }

  takeStats(): LiveStats {
    return this.#stats.take(monotonicMs(), this.#sent);
  }

  /** Sends nothing more; resolves when each request has its end, `deadlineMs` at the latest, and the file is written. */
  async finish(recordFile: string): Promise<{ readonly requests: number; readonly problems: string[] }> {
    this.#stopping = true;
    const stoppedAt = monotonicMs();
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#inFlight === 0) this.#idle.resolve();
    await this.#idle.promise;
    for (const [, client] of this.#clients) client.close();
    const problems = this.#problems();
    await this.recorder.write(recordFile, {
      schema: 1,
      run: this.#config.run,
      startedAt: this.#startedAt,
      stoppedAt,
      endedAt: monotonicMs(),
      problems,
    });
    return { requests: this.recorder.size, problems };
  }

  #problems(): string[] {
    const problems: string[] = [];
    if (this.#overloaded > 0)
      problems.push(`${this.#overloaded} requests not sent: ${this.#config.inFlightMax} were in flight`);
    if (this.#sent >= this.#config.recordsMax)
      problems.push(`stopped by itself after ${this.#config.recordsMax} requests`);
    if (this.#latestMs > lateMaxMs)
      problems.push(`sent up to ${Math.round(this.#latestMs)} ms late: the machine was too busy`);
    return problems;
  }

  /** Sends all that is due, then sleeps until the next is. */
  #tick(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#stopping) return;
    const now = monotonicMs();
    const { order, read } = this.#streams;
    for (const due of order.take(now)) this.#send(this.#order(), due, now);
    for (const due of read.take(now)) this.#send(this.#read(), due, now);
    if (this.#sent >= this.#config.recordsMax) return;
    const nextAt = Math.min(order.nextAt, read.nextAt);
    if (nextAt < Number.POSITIVE_INFINITY)
      this.#timer = setTimeout(() => this.#tick(), Math.max(1, nextAt - monotonicMs()));
  }

  #order(): RequestKind {
    return this.#chance() < this.#config.unsafeShare ? "unsafe-order" : "order";
  }

  #read(): RequestKind {
    return this.#known.length === 0 || this.#chance() < listShare ? "list" : "read";
  }

  #send(kind: RequestKind, dueAt: InstantMs, now: InstantMs): void {
    if (this.#sent >= this.#config.recordsMax) return;
    const number = this.#sent++;
    const chosen = this.#clients[Math.floor(this.#chance() * this.#clients.length)];
    if (chosen === undefined) return;
    const [place, client] = chosen;
    this.#latestMs = Math.max(this.#latestMs, now - dueAt);
    if (this.#inFlight >= this.#config.inFlightMax) {
      this.#overloaded += 1;
      this.#add({ ...unsent(now), number, kind, place, dueAt });
      return;
    }
    this.#inFlight += 1;
    void client
      .ask(this.#compose(kind, number, dueAt))
      .then((told) => this.#add({ ...judge(kind, told), number, kind, place, dueAt }))
      .finally(() => {
        this.#inFlight -= 1;
        if (this.#stopping && this.#inFlight === 0) this.#idle.resolve();
      });
  }

  #compose(kind: RequestKind, number: number, dueAt: InstantMs): Ask {
    if (kind === "list" || kind === "read") {
      const id = this.#known[Math.floor(this.#chance() * this.#known.length)];
      const path = kind === "list" ? "/orders?limit=10" : `/orders/${id}`;
      return { method: "GET", path, headers: {}, body: "", repeatable: true, dueAt };
    }
    const tag = `${this.#config.run}-${number}`;
    return {
      method: "POST",
      path: "/orders",
      headers: {
        "content-type": "application/json",
        ...(kind === "order" ? { "idempotency-key": tag } : {}),
      },
      body: JSON.stringify({ item: tag, quantity: 1 + (number % 9) }),
      repeatable: kind === "order",
      dueAt,
    };
  }

  #add(record: RequestRecord): void {
    this.recorder.add(record);
    this.#stats.add(record);
    const id = record.receipt?.id;
    if (id === undefined) return;
    if (this.#known.length < knownMax) this.#known.push(id);
    else this.#known[record.number % knownMax] = id;
  }
}

/** Even spacing; what was missed while the process stood still is due at once, with its own time. */
class Stream {
  readonly #gapMs: SpanMs;
  nextAt: InstantMs;

  constructor(perSecond: number, now: InstantMs) {
    this.#gapMs = 1000 / perSecond;
    this.nextAt = perSecond > 0 ? now : Number.POSITIVE_INFINITY;
  }

  *take(now: InstantMs): Generator<InstantMs> {
    for (; this.nextAt <= now; this.nextAt += this.#gapMs) yield this.nextAt;
  }
}

type Judged = Omit<RequestRecord, "number" | "kind" | "place" | "dueAt">;

function unsent(now: InstantMs): Judged {
  return {
    lastTryAt: now,
    doneAt: now,
    status: 0,
    failure: "overloaded",
    edge: "",
    region: "",
    tries: 0,
    heldMs: 0,
    receipt: null,
  };
}

/**
 * A success is a 2xx that says what it must: an order's receipt, whole. A 404 for an order that was acknowledged is a
 * failure, as is everything else.
 */
function judge(kind: RequestKind, told: Told): Judged {
  const isOrder = kind === "order" || kind === "unsafe-order";
  const succeeded = told.failure === "" && 200 <= told.status && told.status < 300;
  const receipt = succeeded && isOrder ? receiptFrom(told) : null;
  let failure = told.failure;
  if (failure === "" && !succeeded) failure = `status-${told.status}`;
  if (failure === "" && (isOrder ? receipt === null : told.body === null)) failure = "broken-answer";
  return {
    lastTryAt: told.lastTryAt,
    doneAt: told.doneAt,
    status: told.status,
    failure,
    edge: told.edge,
    region: headerOf(told, "x-holdfast-region") || headerOf(told, "x-region"),
    tries: told.tries,
    heldMs: Number(headerOf(told, "x-holdfast-held-ms")) || 0,
    receipt,
  };
}

function receiptFrom(told: Told): Receipt | null {
  if (typeof told.body !== "object" || told.body === null) return null;
  const { id, member, epoch } = told.body as Record<string, unknown>;
  if (typeof id !== "string" || typeof member !== "string" || typeof epoch !== "number") return null;
  const by = /^(.+)@(\d+)$/.exec(headerOf(told, "x-acknowledged-by"));
  const replayed = headerOf(told, "idempotency-replayed") === "true";
  // A replay that does not say who confirms it now is no proof of anything.
  if (by === null) return replayed ? null : { id, member, epoch, byMember: member, byEpoch: epoch, replayed };
  return { id, member, epoch, byMember: by[1] ?? "", byEpoch: Number(by[2]), replayed };
}

function headerOf(told: Told, name: string): string {
  return told.headers[name]?.toString() ?? "";
}
