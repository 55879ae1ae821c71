/**
 * etcd's endpoints as one: a call goes to the one that answered last, and moves on when that falls silent; where one is
 * nearer than others it begins there, and goes back when that one answers again.
 *
 * E1. Every attempt has a deadline of its own: clients of etcd hang for ever on a member that is stopped or cut off. It
 *     begins where the endpoint can have answered: its distance comes on top.
 * E2. An attempt that was perhaps done is repeated only if that does no harm (reads).
 * E3. After silence the connection is not used again, also when the endpoint comes back: what was sent on it may
 *     still arrive, but nothing new waits behind it. A stream has a connection of its own: a call that is slow ends no
 *     watch, which may be all that tells what became of it.
 * E4. Who has been silent since it last answered comes last: each try of one that stands still costs an attempt. It is asked
 *     in the background whether it answers again.
 * E5. No keepalive pings: etcd ends a connection that pings more often than every 5 s. Silence is seen by deadlines
 *     and by the heartbeat of a watch.
 */
import { setTimeout as pause } from "node:timers/promises";
import { type CallOptions, type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { EtcdFailure, type Failure, toFailure } from "./failure.ts";
import { Auth, KV, Maintenance, Watch } from "./generated/etcd_pb.js";

export interface EndpointsOptions {
  /** Such as `https://10.0.0.1:2379`; at least one. */
  readonly endpoints: readonly string[];
  /** PEM texts; for `https` endpoints. */
  readonly tls?: { readonly ca?: string; readonly certificate?: string; readonly key?: string };
  readonly credentials?: { readonly user: string; readonly password: string };
  /** Of one attempt; a round trip to the endpoint comes on top. */
  readonly callTimeoutMs: number;
}

export interface Clients {
  readonly kv: Client<typeof KV>;
  readonly watch: Client<typeof Watch>;
  readonly auth: Client<typeof Auth>;
  readonly maintenance: Client<typeof Maintenance>;
}

export interface StreamPlace extends Disposable {
  readonly url: string;
  readonly clients: Clients;
  readonly headers: Record<string, string>;
}

interface Near {
  readonly url: string;
  /** A round trip, in steps: neighbours are alike, and keep the order that they were given in. */
  readonly step: number;
}

interface Connection extends Clients {
  readonly session: Http2SessionManager;
}

type Outcome<T> =
  | { readonly kind: "answered"; readonly value: T }
  | { readonly kind: "failed"; readonly failure: Failure; readonly error: unknown };

/** Between rounds in which every endpoint failed at once: fast enough for an election, slow enough for a dead store. */
const ROUND_PAUSE_MS = 50;
const STEP_MS = 5;
/** Of several, the quickest tells of distance. */
const MEASURES = 2;
/** Who has not answered by then is as far as can be, until it does. */
const MEASURE_WITHIN_MS = 600;
const FARTHEST = 1_000_000;
/** So many times more, a second apart; then as often as a nearer one that was left is tried. */
const MEASURE_SOON = 10;
/** A nearer endpoint that was left is tried again so often. */
const RETURN_MS = 10_000;
/** One that fell silent is asked so often whether it is back. */
const ASK_SILENT_MS = 1000;
/** A connection that fell silent is kept this long for the calls that still wait on it. */
const LINGER_MS = 1000;

export class Endpoints {
  readonly #options: EndpointsOptions;
  readonly #connections = new Map<string, Connection>();
  readonly #lingering = new Map<NodeJS.Timeout, Connection>();
  readonly #closing = new AbortController();
  /** By the clock of this process; without those that have answered since. */
  readonly #silent = new Map<string, number>();
  #order: readonly Near[];
  #current = 0;
  #returning: NodeJS.Timeout | undefined;
  #asking: NodeJS.Timeout | undefined;
  #token: string | null = null;

  constructor(options: EndpointsOptions) {
    this.#options = options;
    this.#order = options.endpoints.map((url) => ({ url, step: 0 }));
  }

  /** Begins with the nearest: each call to one that is far, and each event from it, takes a way more. */
  async arrange(): Promise<void> {
    this.#order = this.#order.map((each) => ({ ...each, step: FARTHEST }));
    await this.#measure();
    this.#current = 0;
    const isEven = this.#order.every(({ step }) => step === this.#order[0]?.step);
    if ((isEven && !this.#isUnmeasured) || this.closing.aborted) return;
    this.#returning = setInterval(() => void this.#goBack(), RETURN_MS);
    this.#returning.unref();
    void this.#measureSoon();
  }

  /** Members that are started with the agent answer a moment later. */
  async #measureSoon(): Promise<void> {
    for (let tries = 0; tries < MEASURE_SOON && this.#isUnmeasured; tries += 1) {
      await pause(ASK_SILENT_MS, undefined, { signal: this.closing, ref: false }).catch(() => {});
      if (this.closing.aborted) return;
      await this.#goBack();
    }
  }

  get #isUnmeasured(): boolean {
    return this.#order.some(({ step }) => step === FARTHEST);
  }

  /** Those of which nothing is known: a member may start with the agent beside it, or later. */
  async #measure(): Promise<void> {
    const measured = await Promise.all(
      this.#order.map(async ({ url, step }) => ({
        url,
        step: step === FARTHEST ? await this.#stepOf(url) : step,
      })),
    );
    const inUse = this.#url;
    this.#order = measured.sort((a, b) => a.step - b.step);
    this.#current = this.#order.findIndex(({ url }) => url === inUse);
  }

  async #stepOf(url: string): Promise<number> {
    const signal = AbortSignal.any([this.closing, AbortSignal.timeout(MEASURE_WITHIN_MS)]);
    let bestMs = Number.POSITIVE_INFINITY;
    try {
      const { maintenance } = await this.#connect(url, signal);
      for (let n = 0; n < MEASURES; n++) {
        const begunAt = performance.now();
        await maintenance.status({}, { signal });
        bestMs = Math.min(bestMs, performance.now() - begunAt);
      }
      return Math.floor(bestMs / STEP_MS);
    } catch {
      this.#drop(url);
      return FARTHEST;
    }
  }

  /** Not before it has answered as a member of a quorum does; whoever streams from the far one asks `isNearer`. */
  async #goBack(): Promise<void> {
    if (this.#isUnmeasured) await this.#measure();
    const far = this.#order[this.#current] as Near;
    for (const [index, { url, step }] of this.#order.entries()) {
      if (far.step <= step) return;
      if (!(await this.#hasLeader(url))) continue;
      if (this.#order[this.#current] === far) this.#current = index;
      return;
    }
  }

  async #hasLeader(url: string): Promise<boolean> {
    try {
      const connection = await this.#connect(url, this.closing);
      const headers = await this.#headers(connection, this.closing);
      const timeoutMs = this.#options.callTimeoutMs + this.#wayMs(url);
      const { leader } = await connection.maintenance.status(
        {},
        { headers, timeoutMs, signal: this.closing },
      );
      if (leader === 0n) return false;
      this.#silent.delete(url);
      return true;
    } catch {
      this.#drop(url);
      return false;
    }
  }

  /** E4. */
  #askTheSilent(): void {
    for (const url of this.#silent.keys()) if (url !== this.#url) void this.#hasLeader(url);
    if (this.#silent.size > 0) return;
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
    const url = this.#url;
    // Of its own, so that what the call hangs on it goes with it: `closing` lives as long as the store.
    const life = AbortSignal.any([this.closing]);
    let sent = false;
    const run = async (): Promise<Outcome<T>> => {
      try {
        const connection = await this.#connect(url, life);
        const headers = await this.#headers(connection, life);
        if (over.aborted) return { kind: "failed", failure: timedOut(null, true), error: null };
        sent = true;
        const timeoutMs = this.#options.callTimeoutMs + this.#wayMs(url);
        const value = await attempt(connection, { headers, timeoutMs, signal: life });
        this.#silent.delete(url);
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
    const url = this.#url;
    const over = AbortSignal.any([signal, this.closing]);
    const connection = this.#make(url);
    try {
      await this.#untilOpen(url, connection, over);
      const headers = await this.#headers(connection, over);
      return { url, clients: connection, headers, [Symbol.dispose]: () => connection.session.abort() };
    } catch (error) {
      connection.session.abort();
      this.leave(url);
      throw error;
    }
  }

  /** The next call goes elsewhere, and never again over this connection (E3). */
  leave(url: string): void {
    this.#drop(url);
    this.#silent.set(url, performance.now());
    if (!this.closing.aborted)
      this.#asking ??= setInterval(() => this.#askTheSilent(), ASK_SILENT_MS).unref();
    if (url === this.#url) this.#current = this.#next();
  }

  /** E4: of those that are not known to be silent the nearest, else the one that was left first. */
  #next(): number {
    const since = this.#order.map(({ url }) => this.#silent.get(url) ?? Number.NEGATIVE_INFINITY);
    return since.indexOf(Math.min(...since));
  }

  #drop(url: string): void {
    const connection = this.#connections.get(url);
    if (connection !== undefined) {
      this.#connections.delete(url);
      const timer = setTimeout(() => {
        this.#lingering.delete(timer);
        connection.session.abort();
      }, LINGER_MS);
      this.#lingering.set(timer, connection);
    }
  }

  close(): void {
    this.#closing.abort();
    clearInterval(this.#returning);
    clearInterval(this.#asking);
    for (const [timer, connection] of this.#lingering) {
      clearTimeout(timer);
      connection.session.abort();
    }
    for (const connection of this.#connections.values()) connection.session.abort();
    this.#lingering.clear();
    this.#connections.clear();
  }

  /** When `url` was left, by the clock of this process; undefined: it has answered since. */
  silentSince(url: string): number | undefined {
    return this.#silent.get(url);
  }

  /** Whether the one in use is nearer than `url`, and is not silent. */
  isNearer(url: string): boolean {
    const step = this.#order.find((each) => each.url === url)?.step ?? 0;
    return (this.#order[this.#current] as Near).step < step && !this.#silent.has(this.#url);
  }

  /** To the endpoint and back, as measured: what is far is not silent. */
  #wayMs(url: string): number {
    const step = this.#order.find((each) => each.url === url)?.step ?? 0;
    return step === FARTHEST ? 0 : step * STEP_MS;
  }

  get #url(): string {
    return (this.#order[this.#current] as Near).url;
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

  /** Resolves when requests can be sent. Until then nothing was, so a failure here is certain. */
  async #connect(url: string, signal: AbortSignal): Promise<Connection> {
    const known = this.#connections.get(url);
    if (known) return this.#untilOpen(url, known, signal);
    const made = this.#make(url);
    this.#connections.set(url, made);
    return this.#untilOpen(url, made, signal);
  }

  async #untilOpen(url: string, connection: Connection, signal: AbortSignal): Promise<Connection> {
    const known = connection.session.state();
    if (known === "open" || known === "idle") return connection;
    // Half of an attempt: a packet that is swallowed costs less than one that is accepted and not answered.
    const withinMs = Math.ceil(this.#options.callTimeoutMs / 2) + this.#wayMs(url);
    const timeout = AbortSignal.timeout(withinMs);
    const state = await Promise.race([connection.session.connect(), aborted(signal), aborted(timeout)]);
    if (state === "error") throw connection.session.error();
    if (state === "aborted")
      throw new EtcdFailure({
        code: "HOLDFAST_STORE_UNREACHABLE",
        retryable: true,
        problem: `${url} takes no connection`,
        advice: "see that it runs and can be reached",
        certain: true,
        next: "elsewhere",
      });
    return connection;
  }

  #make(url: string): Connection {
    const { ca, certificate, key } = this.#options.tls ?? {};
    const session = new Http2SessionManager(
      url,
      {},
      {
        ...(ca === undefined ? {} : { ca }),
        ...(certificate === undefined ? {} : { cert: certificate }),
        ...(key === undefined ? {} : { key }),
      },
    );
    const transport = createGrpcTransport({ baseUrl: url, sessionManager: session });
    return {
      session,
      kv: createClient(KV, transport),
      watch: createClient(Watch, transport),
      auth: createClient(Auth, transport),
      maintenance: createClient(Maintenance, transport),
    };
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

function aborted(signal: AbortSignal): Promise<"aborted"> {
  if (signal.aborted) return Promise.resolve("aborted");
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve("aborted"), { once: true }));
}
