/**
 * The connections to etcd's members, made when first asked for.
 *
 * E3. After silence a connection is not used again, also when its endpoint comes back: what was sent on it may still
 *     arrive, but nothing new waits behind it. A stream has a connection of its own: a call that is slow ends no watch,
 *     which may be all that tells what became of it.
 * E5. No keepalive pings: etcd ends a connection that pings more often than every 5 s. Silence is seen by deadlines
 *     and by the heartbeat of a watch.
 */
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { EtcdFailure } from "./failure.ts";
import { Auth, KV, Maintenance, Watch } from "./generated/etcd_pb.js";

/** PEM texts; for `https` endpoints. */
export interface Tls {
  readonly ca?: string;
  readonly certificate?: string;
  readonly key?: string;
}

export interface Clients {
  readonly kv: Client<typeof KV>;
  readonly watch: Client<typeof Watch>;
  readonly auth: Client<typeof Auth>;
  readonly maintenance: Client<typeof Maintenance>;
}

export interface Connection extends Clients, Disposable {
  readonly session: Http2SessionManager;
}

/** How long a connection may take to be made. */
export interface Within {
  readonly ms: number;
  readonly signal: AbortSignal;
}

/** A connection that fell silent is kept this long for the calls that still wait on it. */
const LINGER_MS = 1000;

export class Connections {
  readonly #tls: Tls;
  readonly #shared = new Map<string, Connection>();
  readonly #lingering = new Map<NodeJS.Timeout, Connection>();

  constructor(tls: Tls = {}) {
    this.#tls = tls;
  }

  /** That of all calls. Resolves when requests can be sent. Until then nothing was, so a failure here is certain. */
  async shared(url: string, within: Within): Promise<Connection> {
    let connection = this.#shared.get(url);
    if (!connection) {
      connection = connect(url, this.#tls);
      this.#shared.set(url, connection);
    }
    await untilOpen(url, connection, within);
    return connection;
  }

  /** One that nobody else uses, for a stream (E3). */
  async own(url: string, within: Within): Promise<Connection> {
    const connection = connect(url, this.#tls);
    try {
      await untilOpen(url, connection, within);
      return connection;
    } catch (error) {
      connection[Symbol.dispose]();
      throw error;
    }
  }

  /** The next call has a new one (E3). */
  drop(url: string): void {
    const connection = this.#shared.get(url);
    if (connection === undefined) return;
    this.#shared.delete(url);
    const timer = setTimeout(() => {
      this.#lingering.delete(timer);
      connection[Symbol.dispose]();
    }, LINGER_MS);
    this.#lingering.set(timer, connection);
  }

  close(): void {
    for (const timer of this.#lingering.keys()) clearTimeout(timer);
    for (const connection of [...this.#lingering.values(), ...this.#shared.values()])
      connection[Symbol.dispose]();
    this.#lingering.clear();
    this.#shared.clear();
  }
}

async function untilOpen(url: string, { session }: Connection, { ms, signal }: Within): Promise<void> {
  const known = session.state();
  if (known === "open" || known === "idle") return;
  const state = await Promise.race([session.connect(), aborted(signal), aborted(AbortSignal.timeout(ms))]);
  if (state === "error") throw session.error();
  if (state === "aborted")
    throw new EtcdFailure({
      code: "HOLDFAST_STORE_UNREACHABLE",
      retryable: true,
      problem: `${url} takes no connection`,
      advice: "see that it runs and can be reached",
      certain: true,
      next: "elsewhere",
    });
}

function connect(url: string, { ca, certificate, key }: Tls): Connection {
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
    [Symbol.dispose]: () => session.abort(),
  };
}

export function aborted(signal: AbortSignal): Promise<"aborted"> {
  if (signal.aborted) return Promise.resolve("aborted");
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve("aborted"), { once: true }));
}
