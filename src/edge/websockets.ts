/**
 * WebSockets through the edge: counted, bounded, and ended when what they were opened to is no longer so.
 *
 * - W1. Nothing is read of them: after the 101 bytes go both ways as they come. So nothing is said at the end either; the
 *   client sees its connection close, and opens another, which goes where requests go now.
 * - W2. One ends at once when its region is fenced or forbidden, its service is `static` or `off`, or the writer of one of
 *   its service's data stores changes: whoever holds it may write through it.
 * - W3. One ends after `drainMs` when its region, or that of the edge, is drained, or its target or service is gone.
 * - W4. One on which nothing moved for `quietForMs` ends.
 */
import type { Socket } from "node:net";
import type { RegionState, RoutingTable } from "../core/model/routing.ts";
import type { Metrics } from "./metrics.ts";
import { monotonicNow } from "./monotonic.ts";
import type { Responder } from "./responder.ts";
import type { ServicePlan } from "./service-plan.ts";
import { writeNow } from "./slab.ts";
import type { WebSocketEnd } from "./websocket.ts";

const sweepEveryMs = 500;

/** To what it was opened. */
export interface WebSocketRoute {
  readonly plan: ServicePlan;
  readonly region: string;
  readonly url: string;
}

export interface WebSocketLimits {
  readonly webSocketsMax: number;
  readonly quietForMs: number;
  readonly drainMs: number;
}

/** What an upstream's 101 leaves: who asked, what is answered, and what came behind it. */
export interface Opening {
  readonly client: Responder;
  readonly headers: readonly string[];
  readonly upstream: WebSocketEnd;
  readonly first: Buffer | null;
}

export class WebSockets {
  readonly #open = new Set<WebSocketSession>();
  readonly #metrics: Metrics;
  readonly #limits: WebSocketLimits;
  readonly #ownRegion: string;
  readonly #sweeper: NodeJS.Timeout;

  constructor(ownRegion: string, metrics: Metrics, limits: WebSocketLimits) {
    this.#ownRegion = ownRegion;
    this.#metrics = metrics;
    this.#limits = limits;
    metrics.gauge("holdfast_edge_websockets", {}, () => this.#open.size);
    this.#sweeper = setInterval(() => this.#sweep(), sweepEveryMs);
    this.#sweeper.unref();
  }

  get hasRoom(): boolean {
    return this.#open.size < this.#limits.webSocketsMax;
  }

  open({ client, headers, upstream, first }: Opening, route: WebSocketRoute): void {
    // Asked for again: many may have been on their way when there was room for one.
    const switched = this.hasRoom ? client.switchProtocols(headers) : null;
    if (switched === null) {
      upstream.socket.destroy();
      client.destroy();
      return;
    }
    const session = new WebSocketSession(switched.end, upstream, route, (because) => {
      this.#open.delete(session);
      this.#metrics.count("holdfast_edge_websockets_ended_total", { because });
    });
    this.#open.add(session);
    session.begin(switched.ahead, first);
  }

  /** `changed`: the data stores whose writer is another than before. */
  follow(table: RoutingTable, changed: readonly string[]): void {
    const leavesAt = monotonicNow() + this.#limits.drainMs;
    for (const session of this.#open) {
      const because = whyOver(session.route, table, changed);
      if (because !== null) session.end(because);
      else session.leave(whyLeaving(session.route, table, this.#ownRegion), leavesAt);
    }
  }

  close(): void {
    clearInterval(this.#sweeper);
    for (const session of this.#open) session.end("edge ends");
  }

  #sweep(): void {
    const now = monotonicNow();
    for (const session of this.#open) session.sweep(now, this.#limits.quietForMs);
  }
}

/** W2. */
function whyOver(
  { plan, region }: WebSocketRoute,
  table: RoutingTable,
  changed: readonly string[],
): string | null {
  const { mode, dataStores } = plan.route;
  if (mode === "static" || mode === "off") return "mode";
  const state = table.regions[region];
  if (state === "forbidden" || state === "fenced") return `region ${state}`;
  return dataStores.some((store) => changed.includes(store)) ? "writer changed" : null;
}

/** W3. */
function whyLeaving({ plan, region, url }: WebSocketRoute, table: RoutingTable, own: string): string | null {
  if (table.services[plan.name] === undefined) return "service gone";
  if (isDrained(table.regions[region])) return "region drained";
  if (isDrained(table.regions[own])) return "edge drained";
  const isTarget = plan.route.targets.some((target) => target.region === region && target.url === url);
  return isTarget ? null : "target gone";
}

function isDrained(state: RegionState | undefined): boolean {
  return state === "draining" || state === "drained";
}

class WebSocketSession {
  readonly route: WebSocketRoute;
  readonly #client: WebSocketEnd;
  readonly #upstream: WebSocketEnd;
  readonly #onEnd: (because: string) => void;
  #movedBytes = 0;
  #movedAt = monotonicNow();
  /** W3. */
  #leaving: { readonly because: string; readonly at: number } | null = null;
  #closedBy: string | null = null;
  #isOver = false;

  constructor(
    client: WebSocketEnd,
    upstream: WebSocketEnd,
    route: WebSocketRoute,
    onEnd: (because: string) => void,
  ) {
    this.#client = client;
    this.#upstream = upstream;
    this.route = route;
    this.#onEnd = onEnd;
  }

  /** `ahead`, `first`: what the client and the upstream had sent already. */
  begin(ahead: Buffer | null, first: Buffer | null): void {
    const [client, upstream] = [this.#client.socket, this.#upstream.socket];
    this.#carry(this.#client, upstream, "client");
    this.#carry(this.#upstream, client, "service");
    if (ahead !== null) this.#client.onBytes?.(ahead);
    if (first !== null) this.#upstream.onBytes?.(first);
  }

  /** W1. */
  #carry(from: WebSocketEnd, to: Socket, name: string): void {
    const { socket } = from;
    from.onBytes = (bytes) => {
      if (!writeNow(to, bytes)) socket.pause();
    };
    to.on("drain", () => socket.resume());
    socket.setKeepAlive(true, 10_000);
    socket
      .on("error", () => undefined)
      .on("end", () => to.end())
      .on("close", () => {
        this.#closedBy ??= name;
        // What the other side has not taken yet it may still take.
        if (to.destroyed) this.end(this.#closedBy);
        else to.destroySoon();
      });
    if (socket.destroyed) this.end(name);
    else socket.resume();
  }

  /** null: it may stay. */
  leave(because: string | null, at: number): void {
    if (because === null) this.#leaving = null;
    else this.#leaving ??= { because, at };
  }

  sweep(now: number, quietForMs: number): void {
    // The sockets count, and nothing is done per byte.
    const bytes = this.#client.socket.bytesRead + this.#upstream.socket.bytesRead;
    if (this.#movedBytes !== bytes) this.#movedAt = now;
    this.#movedBytes = bytes;
    if (this.#movedAt + quietForMs < now) this.end("quiet");
    else if (this.#leaving !== null && this.#leaving.at < now) this.end(this.#leaving.because);
  }

  end(because: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#client.socket.destroy();
    this.#upstream.socket.destroy();
    this.#onEnd(because);
  }
}
