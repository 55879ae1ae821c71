/** What an exchange is given: the request, and what all exchanges of an edge share. */
import type { TrafficClass } from "../core/model/degradation.ts";
import type { AccessRecord } from "./access-log.ts";
import type { HoldRoom } from "./hold-room.ts";
import type { EdgeLevels, ServiceLevel } from "./levels.ts";
import type { ServicePlan } from "./service-plan.ts";
import type { StaleStore } from "./stale-store.ts";
import type { TrafficCounters } from "./traffic-counters.ts";
import type { UpstreamRequest } from "./upstream-connection.ts";
import type { WebSockets } from "./websockets.ts";
import type { WriterWatch } from "./writer-watch.ts";

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

/** What the parts of one exchange go by. */
export interface ExchangeScope {
  readonly world: ExchangeWorld;
  readonly plan: ServicePlan;
  readonly request: ExchangeRequest;
  readonly class: TrafficClass;
  readonly level: ServiceLevel;
}

/** Neither a write nor who asks for a WebSocket: a kept answer, or one of two, will do. */
export function isPlainRead({ safe, upstream }: ExchangeRequest): boolean {
  return safe && !upstream.webSocketKey;
}

/** Its body is read once, and cannot be sent again. */
export function isStream({ upstream }: ExchangeRequest): boolean {
  return upstream.body !== null && !Buffer.isBuffer(upstream.body);
}
