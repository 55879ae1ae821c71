/** What the API asks of the agent behind it. */
import type { LevelRecord } from "../../core/model/degradation.ts";
import type { RoutersView } from "../../core/model/plane.ts";
import type { RequestRecord } from "../../core/model/record.ts";
import type { LevelBody, Problem, RequestBody, StatusView } from "../../core/model/status.ts";
import type { PeerAnswer, PeerQuestion, SealNotice } from "../../ports/peers.ts";

export interface ApiHandlers {
  /** Whether this agent can take part in decisions; `because` says why not. */
  ready(): { readonly ready: boolean; readonly because: string };
  status(): StatusView;
  /**
   * Creates the request record `id`, once: when it is there already, that one is the answer (`repeated`), so that a
   * request which is sent twice is done once.
   */
  submit(id: string, request: RequestBody, signal: AbortSignal): Promise<SubmitOutcome>;
  /** null: none with this id. */
  request(id: string): RequestRecord | null | Promise<RequestRecord | null>;
  /** Orders a level for a service: the newest order stands. */
  degrade(service: string, body: LevelBody, signal: AbortSignal): Promise<DegradeOutcome>;
  /** The newest first. */
  incidents(): readonly IncidentSummary[] | Promise<readonly IncidentSummary[]>;
  /** As the review wrote it; null: none with this id. */
  incident(id: string): Promise<unknown>;
  peer(question: PeerQuestion): Promise<PeerAnswer>;
  seal(notice: SealNotice): void;
  /** Looks at the data planes of this region now. */
  routers(): Promise<RoutersView>;
  /** Prometheus text format 0.0.4. */
  metrics(): string;
  /** Begins after `lastEventId` if that is still known, else now. Ends when the signal aborts. */
  events(signal: AbortSignal, lastEventId: string | null): AsyncIterable<ApiEvent>;
}

export type SubmitOutcome =
  | { readonly kind: "accepted"; readonly record: RequestRecord; readonly repeated: boolean }
  | { readonly kind: "refused"; readonly problem: Problem };

export type DegradeOutcome =
  | { readonly kind: "ordered"; readonly record: LevelRecord }
  | { readonly kind: "refused"; readonly problem: Problem };

export interface IncidentSummary {
  readonly id: string;
  readonly title: string;
  /** ISO 8601. */
  readonly beganAt: string;
  readonly status: string;
}

export interface ApiEvent {
  readonly id: string;
  /** `status`, `decision`, `incident`, `request`, ... */
  readonly kind: string;
  readonly data: unknown;
}
