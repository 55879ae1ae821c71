/**
 * WebSockets through the edge: counted, bounded, and ended when what they were opened to is no longer so.
 *
 * - W1. Nothing is read of them: after the 101 bytes go both ways as they come. So nothing is said at the end either; the
 *   client sees its connection close, and opens another, which goes where requests go now.
 * - W2. One ends when its region is drained, forbidden or fenced, its target or its service is gone, its service is `static`
 *   or `off`, or the writer of one of its service's data stores changes: whoever holds it may write through it.
 * - W3. One on which nothing moved for `quietForMs` ends.
 */
import type { Socket } from "node:net";
import type { RoutingTable } from "../core/model/routing.ts";
import type { Metrics } from "./metrics.ts";
import { monotonicNow } from "./monotonic.ts";
import type { ServicePlan } from "./service-plan.ts";

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
}

export class WebSockets {
  readonly #open = new Set<WebSocketSession>();
  readonly #metrics: Metrics;
  readonly #limits: WebSocketLimits;
  readonly #sweeper: NodeJS.Timeout;

  constructor(metrics: Metrics, limits: WebSocketLimits) {
    this.#metrics = metrics;
    this.#limits = limits;
    metrics.gauge("holdfast_edge_websockets", {}, () => this.#open.size);
    this.#sweeper = setInterval(() => this.#sweep(), sweepEveryMs);
    this.#sweeper.unref();
  }

  get hasRoom(): boolean {
    return this.#open.size < this.#limits.webSocketsMax;
  }

  /** `first`: what the upstream sent with its 101. */
  open(client: Socket, upstream: Socket, first: Buffer | null, route: WebSocketRoute): void {
    const session = new WebSocketSession(client, upstream, route, (because) => {
      this.#open.delete(session);
      this.#metrics.count("holdfast_edge_websockets_ended_total", { because });
    });
    this.#open.add(session);
    session.begin(first);
  }

  /** `changed`: the data stores whose writer is another than before. */
  follow(table: RoutingTable, changed: readonly string[]): void {
    for (const session of this.#open) {
      const because = whyOver(session.route, table, changed);
      if (because !== null) session.end(because);
    }
  }

  close(): void {
    clearInterval(this.#sweeper);
    for (const session of this.#open) session.end("edge ends");
  }

  #sweep(): void {
    const quietSince = monotonicNow() - this.#limits.quietForMs;
    for (const session of this.#open) if (session.movedAt < quietSince) session.end("quiet");
  }
}

/** W2. */
function whyOver(
  { plan, region, url }: WebSocketRoute,
  table: RoutingTable,
  changed: readonly string[],
): string | null {
  if (table.services[plan.name] === undefined) return "service gone";
  const { mode, targets, dataStores } = plan.route;
  if (mode === "static" || mode === "off") return "mode";
  const state = table.regions[region];
  if (state === "drained" || state === "forbidden" || state === "fenced") return `region ${state}`;
  if (!targets.some((target) => target.region === region && target.url === url)) return "target gone";
  return dataStores.some((store) => changed.includes(store)) ? "writer changed" : null;
}

class WebSocketSession {
  readonly route: WebSocketRoute;
  readonly #client: Socket;
  readonly #upstream: Socket;
  readonly #onEnd: (because: string) => void;
  #movedBytes = 0;
  #movedAt = monotonicNow();
  #isOver = false;

  constructor(client: Socket, upstream: Socket, route: WebSocketRoute, onEnd: (because: string) => void) {
    this.#client = client;
    this.#upstream = upstream;
    this.route = route;
    this.#onEnd = onEnd;
  }

  begin(first: Buffer | null): void {
    for (const [side, name] of [
      [this.#client, "client"],
      [this.#upstream, "service"],
    ] as const) {
      const over = (): void => this.end(name);
      side.setKeepAlive(true, 10_000);
      side.on("error", over).on("close", over);
      if (side.destroyed) over();
    }
    if (this.#isOver) return;
    if (first !== null) this.#client.write(first);
    // W1. Each side's end is the other's, and who does not read is not read for.
    this.#client.pipe(this.#upstream);
    this.#upstream.pipe(this.#client);
  }

  /** When the last look found that bytes had come since the look before: the sockets count, and nothing is done per byte. */
  get movedAt(): number {
    const bytes = this.#client.bytesRead + this.#upstream.bytesRead;
    if (this.#movedBytes !== bytes) this.#movedAt = monotonicNow();
    this.#movedBytes = bytes;
    return this.#movedAt;
  }

  end(because: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#client.destroy();
    this.#upstream.destroy();
    this.#onEnd(because);
  }
}
