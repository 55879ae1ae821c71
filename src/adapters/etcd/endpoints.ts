/**
 * etcd's endpoints as one: it begins with the nearest, moves on when that falls silent, and goes back when it answers again.
 * E3 and E5: `connections.ts`.
 *
 * E1. Every attempt has a deadline of its own: clients of etcd hang for ever on a member that is stopped or cut off. It
 *     begins where the endpoint can have answered: its distance comes on top.
 * E2. An attempt that was perhaps done is repeated only if that does no harm (reads).
 * E4. Who has been silent since it last answered comes last: each try of one that stands still costs an attempt. It is asked
 *     in the background whether it answers again.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { CallOptions } from "@connectrpc/connect";
import { Choice } from "./choice.ts";
import { aborted, type Clients, type Connection, Connections, type Tls } from "./connections.ts";
import { EtcdFailure, type Failure, toFailure } from "./failure.ts";

export interface EndpointsOptions {
  /** Such as `https://10.0.0.1:2379`; at least one. */
  readonly endpoints: readonly string[];
  readonly tls?: Tls;
  readonly credentials?: { readonly user: string; readonly password: string };
  /** Of one attempt; a round trip to the endpoint comes on top. */
  readonly callTimeoutMs: number;
}

export interface StreamPlace extends Disposable {
  readonly url: string;
  readonly clients: Clients;
  readonly headers: Record<string, string>;
}

type Outcome<T> =
  | { readonly kind: "answered"; readonly value: T }
  | { readonly kind: "failed"; readonly failure: Failure; readonly error: unknown };

/** Between rounds in which every endpoint failed at once: fast enough for an election, slow enough for a dead store. */
const ROUND_PAUSE_MS = 50;
const MEASURES = 2;
/** Who has not answered by then counts as the farthest, until it does. */
const MEASURE_WITHIN_MS = 600;
/** So many times more, a second apart; then, who has never answered, as often as a better one that was left is tried. */
const MEASURE_SOON = 10;
/** A better endpoint that was left is tried again so often. */
const RETURN_MS = 10_000;
/** One that fell silent is asked so often whether it is back. */
const ASK_SILENT_MS = 1000;

export class Endpoints {
  readonly #options: EndpointsOptions;
  readonly #connections: Connections;
  readonly #choice: Choice;
  readonly #closing = new AbortController();
  #returning: NodeJS.Timeout | undefined;
  #asking: NodeJS.Timeout | undefined;
  #token: string | null = null;

  constructor(options: EndpointsOptions) {
    this.#options = options;
    this.#connections = new Connections(options.tls);
    this.#choice = new Choice(options.endpoints);
  }

  /** Begins with the nearest: each call to one that is far, and each event from it, takes a way more. */
  async arrange(): Promise<void> {
    await this.#measure(this.#options.endpoints);
    const [nearest] = this.#choice.better;
    if (nearest !== undefined) this.#choice.use(nearest);
    if (this.#options.endpoints.length === 1 || this.closing.aborted) return;
    this.#returning = setInterval(() => void this.#goBack(), RETURN_MS);
    this.#returning.unref();
    void this.#measureSoon();
  }

  /** Members that are started with the agent answer a moment later, and on a machine that starts much, late. */
  async #measureSoon(): Promise<void> {
    for (let tries = 0; tries < MEASURE_SOON; tries += 1) {
      await pause(ASK_SILENT_MS, undefined, { signal: this.closing, ref: false }).catch(() => {});
      if (this.closing.aborted) return;
      const known = this.#choice.better.join();
      await this.#measure(this.#options.endpoints);
      if (this.#choice.better.join() !== known) await this.#goBack();
    }
  }

  async #measure(urls: readonly string[]): Promise<void> {
    const roundTrips = urls.map(async (url) => [url, await this.#roundTripMs(url)] as const);
    this.#choice.measured(new Map(await Promise.all(roundTrips)));
  }

  async #roundTripMs(url: string): Promise<number | null> {
    const signal = AbortSignal.any([this.closing, AbortSignal.timeout(MEASURE_WITHIN_MS)]);
    let bestMs = Number.POSITIVE_INFINITY;
    try {
      const { maintenance } = await this.#connect(url, signal);
      for (let n = 0; n < MEASURES; n++) {
        const begunAt = performance.now();
        await maintenance.status({}, { signal });
        bestMs = Math.min(bestMs, performance.now() - begunAt);
      }
      return bestMs;
    } catch {
      this.#connections.drop(url);
      return null;
    }
  }

  /** Not before it has answered as a member of a quorum does; whoever streams from another asks `isBetter`. */
  async #goBack(): Promise<void> {
    await this.#measure(this.#choice.unmeasured);
    const before = this.#choice.url;
    for (const url of this.#choice.better) {
      if (!(await this.#hasLeader(url))) continue;
      if (this.#choice.url === before) this.#choice.use(url);
      return;
    }
  }

  async #hasLeader(url: string): Promise<boolean> {
    try {
      const connection = await this.#connect(url, this.closing);
      const headers = await this.#headers(connection, this.closing);
      const timeoutMs = this.#options.callTimeoutMs + this.#choice.wayMs(url);
      const { leader } = await connection.maintenance.status(
        {},
        { headers, timeoutMs, signal: this.closing },
      );
      if (leader === 0n) return false;
      this.#choice.answered(url);
      return true;
    } catch {
      this.#connections.drop(url);
      return false;
    }
  }

  /** E4. */
  #askTheSilent(): void {
    const { silent } = this.#choice;
    for (const url of silent) if (url !== this.#choice.url) void this.#hasLeader(url);
    if (silent.length > 0) return;
    clearInterval(this.#asking);
    this.#asking = undefined;
  }

  /** Aborted when the store is closed. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  get names(): string {
    return this.#options.endpoints.join(", ");
  }

  /** Rejects with `EtcdFailure`. `repeatable`: doing it twice does no harm (E2). */
  async call<T>(
    attempt: (clients: Clients, options: CallOptions) => Promise<T>,
    { signal, repeatable }: { readonly signal: AbortSignal; readonly repeatable: boolean },
  ): Promise<T> {
    const over = AbortSignal.any([signal, this.closing]);
    let last: Failure | null = null;
    for (let tries = 1; !over.aborted; tries += 1) {
      const running = this.#attempt(attempt, over);
      const outcome = await Promise.race([running.outcome, aborted(over)]);
      // `certain` is about a write; that of a call that only reads is always.
      if (outcome === "aborted") throw new EtcdFailure(timedOut(last, !running.isSent() || repeatable));
      if (outcome.kind === "answered") return outcome.value;
      const { failure, error } = outcome;
      if (failure.next === "give-up" || (!failure.certain && !repeatable))
        throw new EtcdFailure(failure, error);
      last = failure;
      if (tries % this.#options.endpoints.length === 0)
        await pause(ROUND_PAUSE_MS, undefined, { signal: over }).catch(() => {});
    }
    throw new EtcdFailure(timedOut(last, true));
  }

  /**
   * One attempt at one endpoint. It runs to its own end, also when the caller has given up: only so does a caller
   * who waits less than an attempt's deadline ever learn that the endpoint is silent (E1). What the caller gave up
   * before it was sent is not sent.
   */
  #attempt<T>(
    attempt: (clients: Clients, options: CallOptions) => Promise<T>,
    over: AbortSignal,
  ): { readonly outcome: Promise<Outcome<T>>; readonly isSent: () => boolean } {
    const { url } = this.#choice;
    // Of its own, so that what the call hangs on it goes with it: `closing` lives as long as the store.
    const life = AbortSignal.any([this.closing]);
    let sent = false;
    const run = async (): Promise<Outcome<T>> => {
      try {
        const connection = await this.#connect(url, life);
        const headers = await this.#headers(connection, life);
        if (over.aborted) return { kind: "failed", failure: timedOut(null, true), error: null };
        sent = true;
        const timeoutMs = this.#options.callTimeoutMs + this.#choice.wayMs(url);
        const value = await attempt(connection, { headers, timeoutMs, signal: life });
        this.#choice.answered(url);
        return { kind: "answered", value };
      } catch (error) {
        const failure = toFailure(error);
        if (failure.next === "authenticate") this.#token = null;
        else if (failure.next === "elsewhere") this.leave(url);
        return { kind: "failed", failure: { ...failure, certain: !sent || failure.certain }, error };
      }
    };
    return { outcome: run(), isSent: () => sent };
  }

  /** The endpoint in use, for a stream, over a connection of its own (E3): `leave(url)` when it fails. */
  async forStream(signal: AbortSignal): Promise<StreamPlace> {
    const { url } = this.#choice;
    const over = AbortSignal.any([signal, this.closing]);
    let clients: Connection | undefined;
    try {
      clients = await this.#connections.own(url, this.#within(url, over));
      const headers = await this.#headers(clients, over);
      return { url, clients, headers, [Symbol.dispose]: clients[Symbol.dispose] };
    } catch (error) {
      clients?.[Symbol.dispose]();
      this.leave(url);
      throw error;
    }
  }

  /** The next call goes elsewhere, and never again over this connection (E3). */
  leave(url: string): void {
    this.#connections.drop(url);
    this.#choice.leave(url, performance.now());
    if (!this.closing.aborted)
      this.#asking ??= setInterval(() => this.#askTheSilent(), ASK_SILENT_MS).unref();
  }

  close(): void {
    this.#closing.abort();
    clearInterval(this.#returning);
    clearInterval(this.#asking);
    this.#connections.close();
  }

  /** When `url` was left, by the clock of this process; undefined: it has answered since. */
  silentSince(url: string): number | undefined {
    return this.#choice.silentSince(url);
  }

  /** Whether the one in use would rather be asked than `url`, and is not silent. */
  isBetter(url: string): boolean {
    return this.#choice.isBetterThan(url);
  }

  #connect(url: string, signal: AbortSignal): Promise<Connection> {
    return this.#connections.shared(url, this.#within(url, signal));
  }

  /** Half of an attempt: a packet that is swallowed costs less than one that is accepted and not answered. */
  #within(url: string, signal: AbortSignal) {
    return { ms: Math.ceil(this.#options.callTimeoutMs / 2) + this.#choice.wayMs(url), signal };
  }

  /** `hasleader`: a member that knows no leader says so at once, rather than letting us wait for it. */
  async #headers(clients: Clients, signal: AbortSignal): Promise<Record<string, string>> {
    const { credentials, callTimeoutMs } = this.#options;
    if (credentials === undefined) return { hasleader: "true" };
    if (this.#token === null) {
      const { user: name, password } = credentials;
      const answer = await clients.auth.authenticate(
        { name, password },
        { signal, timeoutMs: callTimeoutMs },
      );
      this.#token = answer.token;
    }
    return { hasleader: "true", token: this.#token };
  }
}

function timedOut(last: Failure | null, certain: boolean): Failure {
  // Who is refused again and again until the deadline should read why, not only that it took long.
  if (last?.code === "HOLDFAST_STORE_DENIED") return { ...last, certain };
  return {
    code: "HOLDFAST_STORE_TIMEOUT",
    retryable: true,
    problem:
      last === null ? "no answer before the deadline" : `no answer before the deadline (${last.problem})`,
    advice: last?.advice ?? "see that a majority of its members runs and can be reached",
    certain,
    next: "give-up",
  };
}
