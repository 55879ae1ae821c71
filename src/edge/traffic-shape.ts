/** The part of a service's route that says how its upstreams are chosen and leaned on, as it comes over the wire (`TrafficRules`). */
import { z } from "zod";
import { parseNetwork } from "../core/model/network.ts";

const count = z.number().int().min(1);
const spanMs = z.number().positive();
const share = z.number().min(0).max(1);
const named = (kind: "header" | "cookie") => z.object({ kind: z.literal(kind), name: z.string().min(1) });

// A limit that cannot be read must not be passed over: what is no kind of mark, or no network, is refused with its table.
const mark = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("header"), name: z.string().min(1), value: z.string() }),
  z.object({ kind: z.literal("host"), name: z.string().min(1) }),
  z.object({ kind: z.literal("path"), prefix: z.string().startsWith("/") }),
  z.object({
    kind: z.literal("network"),
    cidr: z.string().refine((cidr) => parseNetwork(cidr) !== null, "no network such as 10.0.0.0/8"),
  }),
]);

export const trafficRules = z.object({
  sovereignty: z
    .object({
      limits: z.array(z.object({ when: mark, regions: z.array(z.string()) })),
      others: z.enum(["allow", "refuse"]),
    })
    .optional(),
  balance: z
    .object({
      regions: z.enum(["local-first", "shared"]),
      pick: z.enum(["weight", "latency"]),
      overprovisioning: z.number().min(1),
      panicBelow: share,
    })
    .optional(),
  affinity: z
    .discriminatedUnion("kind", [named("header"), named("cookie"), z.object({ kind: z.literal("client") })])
    .optional(),
  slowStartMs: spanMs.optional(),
  outliers: z
    .object({
      failures: count,
      count: z.enum(["gateway", "all-5xx"]),
      ejectionMs: spanMs,
      ejectionMaxMs: spanMs,
      shareMax: share,
    })
    .optional(),
  checks: z
    .object({
      path: z.string().startsWith("/").nullable(),
      // Less would be load and no check.
      everyMs: z.number().min(100),
      jitter: share,
      timeoutMs: spanMs,
      healthyAfter: count,
      unhealthyAfter: count,
    })
    .optional(),
  bulkhead: z.object({ connections: count, pending: z.number().int().min(0), requests: count }).optional(),
  deadlineMs: spanMs.optional(),
  hedge: z.object({ after: share }).optional(),
});
