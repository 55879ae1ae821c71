/** JSON in, a signed table out, or what is wrong with it: nothing that the types do not promise gets past here. */
import { z } from "zod";
import type { SignedTable } from "../core/model/routing.ts";
import { trafficRules } from "./traffic-shape.ts";

const whole = z.number().int().nonnegative();
const spanMs = z.number().nonnegative();
const address = z.object({ host: z.string().min(1), port: z.number().int().min(1).max(65535) });

const storeRoute = z.object({
  epoch: whole,
  writer: z.object({ member: z.string(), region: z.string(), gate: address }).nullable(),
  changing: z.boolean(),
});

const target = z.object({
  region: z.string(),
  url: z.url({ protocol: /^https?$/ }),
  healthPath: z.string().startsWith("/"),
  weight: z.number().nonnegative(),
});

const trafficClass = z.object({
  name: z.string(),
  priority: z.enum(["critical", "standard", "sheddable"]),
  methods: z.array(z.string()).optional(),
  pathPrefix: z.string().startsWith("/").optional(),
  header: z.object({ name: z.string().lowercase(), value: z.string().nullable() }).optional(),
});

const serviceRoute = z.object({
  classes: z.array(trafficClass).optional(),
  traffic: trafficRules.optional(),
  mode: z.enum(["rw", "ro", "static", "off"]),
  dataStores: z.array(z.string()),
  targets: z.array(target),
  allow: z.array(z.string()),
  rules: z.object({
    holdMaxMs: spanMs,
    holdMaxCount: whole,
    tryTimeoutMs: z.number().positive(),
    retryBudget: z.number().min(0).max(1),
    staleMaxMs: spanMs,
    ttlMs: spanMs,
  }),
});

// Loose: fields that a newer agent added are kept, or the signature over them would not fit.
const signedTable = z.object({
  keyId: z.string(),
  signature: z.string(),
  table: z.looseObject({
    schema: z.literal(1),
    topology: z.string(),
    epoch: whole,
    generation: whole,
    digest: z.string(),
    digestBefore: z.string(),
    issuedAt: z.number(),
    issuedBy: z.string(),
    because: z.string(),
    regions: z.record(
      z.string(),
      z.enum(["active", "standby", "draining", "drained", "forbidden", "fenced"]),
    ),
    stores: z.record(z.string(), storeRoute.loose()),
    // Each by itself, see `misfitOfService`: those that did not change are not looked at again.
    services: z.record(z.string(), z.unknown()),
  }),
});

export type ShapeOutcome =
  /** All but its services has been looked at. */
  | { readonly kind: "fits"; readonly signed: SignedTable }
  | { readonly kind: "misfit"; readonly because: string };

export function readSignedTable(text: string): ShapeOutcome {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { kind: "misfit", because: `not JSON: ${(error as Error).message}` };
  }
  const parsed = signedTable.safeParse(value);
  // The value as it came and not zod's copy: inner objects are not loose, and the signature covers what was sent.
  if (parsed.success) return { kind: "fits", signed: value as SignedTable };
  return { kind: "misfit", because: tell(parsed.error, "") };
}

/** Empty: it is a route. */
export function misfitOfService(name: string, route: unknown): string {
  const parsed = looseRoute.safeParse(route);
  return parsed.success ? "" : tell(parsed.error, `table.services.${name}.`);
}

const looseRoute = serviceRoute.loose();

function tell({ issues: [first] }: z.ZodError, above: string): string {
  return `${above}${first?.path.join(".") || "table"}: ${first?.message}`;
}
