/** How edges choose among a service's upstreams and how hard they lean on each; every part is absent unless it is asked for. */
import type { RegionName } from "./id.ts";
import type { SpanMs } from "./time.ts";

export interface TrafficRules {
  readonly sovereignty?: RequestSovereignty;
  readonly balance?: BalanceRules;
  readonly affinity?: AffinityRules;
  /** An upstream that returned is given its share little by little, over this span. */
  readonly slowStartMs?: SpanMs;
  readonly outliers?: OutlierRules;
  readonly checks?: CheckRules;
  readonly bulkhead?: BulkheadRules;
  /** All of a request: what it waits, its tries and repeats, up to the head of its answer. */
  readonly deadlineMs?: SpanMs;
  readonly hedge?: HedgeRules;
}

/** Whose request it is decides where it may be served: a limit below the service's own (S14). */
export interface RequestSovereignty {
  /** All that match hold together, so that nothing a client says can widen what another limit allows. */
  readonly limits: readonly RequestLimit[];
  /** What no limit speaks of: served wherever the service may be, or not at all. */
  readonly others: "allow" | "refuse";
}

export interface RequestLimit {
  readonly when: RequestMark;
  /** As compiled from regions and jurisdictions; empty: nowhere. */
  readonly regions: readonly RegionName[];
}

export type RequestMark =
  /** Compared without regard to the case of the name; the value to the letter. */
  | { readonly kind: "header"; readonly name: string; readonly value: string }
  /** A name, or `*.` and a name for all below it. */
  | { readonly kind: "host"; readonly name: string }
  /** Begins with `/`; compared with the path as a server would read it. */
  | { readonly kind: "path"; readonly prefix: string }
  /** Of the connection, never of `X-Forwarded-For`. */
  | { readonly kind: "network"; readonly cidr: string };

export interface BalanceRules {
  /** `local-first`: the edge's own region, then the others in the order of the plan. `shared`: all active ones, by weight. */
  readonly regions: "local-first" | "shared";
  /** `latency`: of two that are drawn by weight the one that answers sooner. */
  readonly pick: "weight" | "latency";
  /** A place whose healthy share times this is below 1 hands the rest on. Envoy: 1.4. */
  readonly overprovisioning: number;
  /** With a smaller healthy share everywhere all are counted as healthy, 0 to 1. Envoy: 0.5. */
  readonly panicBelow: number;
}

/** The same key goes to the same upstream, from every edge. */
export type AffinityRules =
  | { readonly kind: "header"; readonly name: string }
  | { readonly kind: "cookie"; readonly name: string }
  | { readonly kind: "client" };

export interface OutlierRules {
  /** In a row. */
  readonly failures: number;
  /** `gateway`: no answer, 502 and 504. `all-5xx`: every status from 500 on too, but what asks to be held. */
  readonly count: "gateway" | "all-5xx";
  /** The n-th ejection lasts n times this; n goes down again by one each `ejectionMaxMs` without one. */
  readonly ejectionMs: SpanMs;
  readonly ejectionMaxMs: SpanMs;
  /** Of the upstreams of a service, at most, 0 to 1; one may always be ejected. */
  readonly shareMax: number;
}

/** Asked of every upstream by every edge, whether or not there are requests. */
export interface CheckRules {
  /** null: the health path of the upstream. */
  readonly path: string | null;
  readonly everyMs: SpanMs;
  /** Share of `everyMs` by which each pause is shorter or longer, 0 to 1, so that edges do not ask in step. */
  readonly jitter: number;
  readonly timeoutMs: SpanMs;
  /** In a row. */
  readonly healthyAfter: number;
  readonly unhealthyAfter: number;
}

/** Of one edge towards one upstream. */
export interface BulkheadRules {
  readonly connections: number;
  /** Waiting for a connection. */
  readonly pending: number;
  /** Under way. */
  readonly requests: number;
}

/** A second try elsewhere when the first takes longer than usual; safe methods only, within the retry budget. */
export interface HedgeRules {
  /** Of the latest answers, 0 to 1: when so many had come, and this one had not. */
  readonly after: number;
}
