/** How a service's upstreams are chosen and leaned on: the words of it, what they compile to, and back. */
import type { RegionName } from "../model/id.ts";
import type { TrafficRules } from "../model/traffic.ts";
import {
  byDefault,
  choice,
  duration,
  list,
  object,
  optional,
  required,
  type ValueOf,
  variant,
} from "./shape.ts";
import { formatDuration } from "./units.ts";

const integer = (min: number, max: number, example: number) =>
  ({ kind: "integer", min, max, example }) as const;
const share = (example: string) => ({ kind: "share", example }) as const;
const token = (example: string) =>
  ({
    kind: "text",
    pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
    fits: "a name of letters, digits and hyphens (RFC 9110 section 5.6.2)",
    example,
  }) as const;
const printable = {
  kind: "text",
  pattern: "^[\\x20-\\x7e]*$",
  fits: "printable characters",
  example: "acme",
} as const;
const path = (example: string) =>
  ({ kind: "text", pattern: "^/[\\x21-\\x7e]*$", fits: "a path that begins with /", example }) as const;
const host = {
  kind: "text",
  pattern: "^(\\*\\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$",
  fits: "a host name in lower case, or *. and one",
  example: "eu.example.com",
} as const;
const cidr = {
  kind: "text",
  pattern: "^[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?$",
  fits: "a network",
  example: "10.2.0.0/16",
} as const;

/** Below `sovereignty` of a service. */
export const requestLimits = object({
  limits: required(
    list(
      object({
        when: required(
          variant({
            header: object({
              name: required(token("X-Tenant"), "Name of the header."),
              value: required(printable, "Its value, to the letter."),
            }),
            host: object({ name: required(host, "Host asked for; `*.eu.example.com` for all below it.") }),
            path: object({ prefix: required(path("/eu"), "Whole segments at the beginning of the path.") }),
            network: object({
              cidr: required(cidr, "Network of the client's connection, never of `X-Forwarded-For`."),
            }),
          }),
          "Which requests it holds for.",
        ),
        regions: byDefault(
          list({ kind: "reference", to: "Region" } as const),
          "[]",
          "Regions that may serve them; empty: any.",
        ),
        jurisdictions: byDefault(
          list({ kind: "reference", to: "Jurisdiction" } as const),
          "[]",
          "Jurisdictions that may serve them; empty: any. A limit names one of both at least.",
        ),
      }),
      1,
    ),
    "All that match a request hold together: nothing a client says can widen what another limit allows.",
  ),
  others: byDefault(
    choice("allow", "refuse"),
    "allow",
    "Requests that no limit matches: served wherever the service may be, or refused.",
  ),
});

/** Of a service, beside the others. */
export const trafficFields = {
  balance: optional(
    object({
      regions: byDefault(
        choice("local-first", "shared"),
        "local-first",
        "`local-first`: the edge's own region, then the others in the order of the plan. `shared`: all active ones, by weight.",
      ),
      pick: byDefault(
        choice("weight", "latency"),
        "weight",
        "`latency`: of two that are drawn by weight the one that answers sooner, requests under way counted.",
      ),
      overprovisioning: byDefault(
        { kind: "number", min: 1, max: 10, example: 1.4 } as const,
        "1.4",
        "A place hands the rest on when its healthy share times this is below 1. Higher: it is left later.",
      ),
      panicBelow: byDefault(
        share("50%"),
        "50%",
        "With a smaller healthy share everywhere, all are counted as healthy. Never widens sovereignty.",
      ),
    }),
    "How requests are shared among regions; none: own region first, the next one when nobody is healthy there.",
  ),
  affinity: optional(
    variant({
      header: object({ name: required(token("X-Session"), "Requests with the same value stay together.") }),
      cookie: object({ name: required(token("session"), "The same by a cookie.") }),
      client: object({}),
    }),
    "What keeps requests on one upstream, from every edge; never against sovereignty or health.",
  ),
  slowStart: optional(
    duration("30s"),
    "Over how long an upstream that returned is given its share, from a tenth on.",
  ),
  outliers: optional(
    object({
      failures: byDefault(integer(1, 1000, 5), "5", "In a row, before it is ejected."),
      count: byDefault(
        choice("gateway", "all-5xx"),
        "gateway",
        "`gateway`: no answer, 502 and 504. `all-5xx`: every answer from 500 on.",
      ),
      ejection: byDefault(
        duration("500ms", 10),
        "500ms",
        "The n-th ejection lasts n times this, until a probe succeeds.",
      ),
      ejectionMax: byDefault(
        duration("10s", 10),
        "10s",
        "The longest; and n goes down by one for each such span without an ejection.",
      ),
      shareMax: byDefault(share("50%"), "50%", "Of its upstreams, ejected at most; one always may be."),
    }),
    "When failures of requests eject an upstream; none: 3 without an answer in a row, any number of upstreams.",
  ),
  checks: optional(
    object({
      path: optional(path("/readyz"), "What is asked for; none: the endpoint's `healthPath`."),
      every: byDefault(duration("2s", 100), "2s", "How often each edge asks each upstream."),
      jitter: byDefault(share("20%"), "20%", "Share of `every` by which each pause is shorter or longer."),
      timeout: byDefault(duration("1s", 10), "1s", "For one answer, which is 200 to 299."),
      healthyAfter: byDefault(integer(1, 100, 2), "2", "Good answers in a row that let it back in."),
      unhealthyAfter: byDefault(integer(1, 100, 3), "3", "Bad answers in a row that take it out."),
    }),
    "Checks by the edges themselves, beside what requests tell; none: only of what was ejected.",
  ),
  bulkhead: optional(
    object({
      connections: byDefault(integer(1, 65_535, 100), "512", "Connections to an upstream."),
      pending: byDefault(integer(0, 1_000_000, 100), "1024", "Requests that wait for a connection."),
      requests: byDefault(integer(1, 1_000_000, 200), "512", "Requests under way."),
    }),
    "What one edge asks of one upstream at once, at most; none: 512 connections, and the learnt limit.",
  ),
  deadline: optional(
    duration("5s", 10),
    "For a request, with its waiting, tries and repeats; services are told what is left in `x-holdfast-deadline-ms`.",
  ),
  hedge: optional(
    object({
      after: byDefault(share("95%"), "95%", "The share of answers that usually came by then."),
    }),
    "A second try elsewhere when the first takes longer than usual: safe methods only, within the retry budget.",
  ),
} as const;

export type RequestLimits = ValueOf<typeof requestLimits>;
type TrafficSpec = {
  readonly [K in keyof typeof trafficFields]: ValueOf<(typeof trafficFields)[K]["shape"]> | null;
};

/** undefined: nothing of it is asked for. `regionsOf`: those that a limit leaves of the service's own. */
export function assembleTraffic(
  spec: TrafficSpec,
  requests: RequestLimits | null,
  regionsOf: (limit: RequestLimits["limits"][number]) => readonly RegionName[],
): TrafficRules | undefined {
  const { balance, affinity, slowStart, outliers, checks, bulkhead, deadline, hedge } = spec;
  const rules: TrafficRules = {
    ...(requests && {
      sovereignty: {
        limits: requests.limits.map((limit) => ({ when: limit.when, regions: regionsOf(limit) })),
        others: requests.others,
      },
    }),
    ...(balance && { balance }),
    ...(affinity && { affinity }),
    ...(slowStart !== null && { slowStartMs: slowStart }),
    ...(outliers && { outliers: compileOutliers(outliers) }),
    ...(checks && { checks: compileChecks(checks) }),
    ...(bulkhead && { bulkhead }),
    ...(deadline !== null && { deadlineMs: deadline }),
    ...(hedge && { hedge }),
  };
  return Object.keys(rules).length === 0 ? undefined : rules;
}

function compileOutliers({ ejection, ejectionMax, ...rest }: NonNullable<TrafficSpec["outliers"]>) {
  return { ...rest, ejectionMs: ejection, ejectionMaxMs: ejectionMax };
}

function compileChecks({ every, timeout, ...rest }: NonNullable<TrafficSpec["checks"]>) {
  return { ...rest, everyMs: every, timeoutMs: timeout };
}

/** As it would be written in a file. */
export function writeTraffic(rules: TrafficRules | undefined): {
  readonly requests: object | undefined;
  readonly fields: object;
} {
  if (!rules) return { requests: undefined, fields: {} };
  const { sovereignty, balance, affinity, slowStartMs, outliers, checks, bulkhead, deadlineMs, hedge } =
    rules;
  return {
    requests: sovereignty && {
      limits: sovereignty.limits.map(({ when, regions }) => ({ when: unkind(when), regions })),
      others: sovereignty.others,
    },
    fields: {
      ...(balance && { balance }),
      ...(affinity && { affinity: unkind(affinity) }),
      ...(slowStartMs !== undefined && { slowStart: formatDuration(slowStartMs) }),
      ...(outliers && {
        outliers: {
          failures: outliers.failures,
          count: outliers.count,
          ejection: formatDuration(outliers.ejectionMs),
          ejectionMax: formatDuration(outliers.ejectionMaxMs),
          shareMax: outliers.shareMax,
        },
      }),
      ...(checks && {
        checks: {
          path: checks.path,
          every: formatDuration(checks.everyMs),
          jitter: checks.jitter,
          timeout: formatDuration(checks.timeoutMs),
          healthyAfter: checks.healthyAfter,
          unhealthyAfter: checks.unhealthyAfter,
        },
      }),
      ...(bulkhead && { bulkhead }),
      ...(deadlineMs !== undefined && { deadline: formatDuration(deadlineMs) }),
      ...(hedge && { hedge }),
    },
  };
}

/** `{ kind: "header", name }` -> `{ header: { name } }`. */
function unkind({ kind, ...rest }: { readonly kind: string }): object {
  return { [kind]: rest };
}
