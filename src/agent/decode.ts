/**
 * The text of a record in, a record out: the door at which a poisoned one is refused.
 *
 * A record that cannot be read changes nothing here: what was known before stays known, and somebody is told
 * (Google Cloud June 2025: null fields, replicated in seconds, sent every reader into a crash loop).
 */
import { z } from "zod";
import type { SharedRecord } from "../core/machine/event.ts";
import { splitKey } from "../core/model/record.ts";

const whole = z.number().int().nonnegative();
const copy = z.object({ member: z.string().min(1), incarnation: z.string().min(1) });

const leaseRecord = z.object({
  schema: z.literal(1),
  epoch: whole.min(1),
  phase: z.enum(["claimed", "committed", "vacant"]),
  holder: z.string().min(1),
  renewal: whole,
  stamp: z.string(),
  basis: whole,
  primary: copy
    .extend({ epoch: whole, fork: z.object({ timeline: whole, parent: whole, at: whole }).optional() })
    .nullable(),
  durable: z.object({
    acknowledgements: whole,
    standbys: z.array(copy).max(100),
    position: whole,
    final: z.boolean(),
    publication: whole.optional(),
  }),
  handover: z.object({ to: z.string().min(1), request: z.string() }).nullable(),
  because: z.string(),
});

export const memberReport = z.object({
  state: z.enum(["unknown", "absent", "stopped", "standby", "primary", "hung", "rejoining"]),
  incarnation: z.string().nullable(),
  timeline: whole,
  position: whole,
  epoch: whole,
  floor: whole,
  publication: whole.optional(),
  seal: z.object({ basis: whole, position: whole }).nullable(),
  streaming: z.boolean(),
  full: z.literal(true).optional(),
  freePercent: whole.max(100).optional(),
  damaged: z.object({ failures: whole, since: z.number() }).optional(),
});

const agentRecord = z.object({
  schema: z.literal(1),
  region: z.string().min(1),
  boot: z.string(),
  beat: whole,
  expired: z.record(z.string(), whole),
  members: z.record(z.string(), memberReport),
  sees: z.record(z.string(), z.enum(["up", "suspected", "down"])),
  applied: whole,
  storeMs: whole.optional(),
  topology: z.string(),
  holding: z.record(z.string(), z.string()),
});

const requestRecord = z.object({
  schema: z.literal(1),
  id: z.string().min(1),
  kind: z.enum(["switchover", "failback", "approve", "allow-data-loss", "mode", "reseed"]),
  dataStore: z.string().nullable(),
  toRegion: z.string().nullable(),
  ifEpoch: whole,
  by: z.string(),
  why: z.string(),
  at: z.number(),
  status: z.enum(["pending", "running", "succeeded", "refused", "failed", "unknown"]),
  detail: z.string(),
});

/** The table itself is checked by every data plane (R1, R2); here only that it is one. */
const signedTable = z.object({
  table: z.looseObject({
    schema: z.literal(1),
    generation: whole,
    epoch: whole,
    stores: z.record(z.string(), z.looseObject({})),
  }),
  keyId: z.string(),
  signature: z.string(),
});

const levelOrder = z.object({
  number: whole,
  level: whole,
  by: z.string(),
  why: z.string(),
  at: z.number(),
  forMs: z.number().nonnegative(),
  ended: z.object({ at: z.number(), because: z.string() }).nullable(),
});

const levelRecord = z.object({
  schema: z.literal(1),
  service: z.string().min(1),
  order: levelOrder,
  before: z.array(levelOrder).max(100),
});

const incidentRecord = z.looseObject({ schema: z.literal(1), id: z.string(), status: z.string() });

const rooms: Readonly<Record<string, z.ZodType>> = {
  lease: leaseRecord,
  agent: agentRecord,
  request: requestRecord,
  routing: signedTable,
  incident: incidentRecord,
  level: levelRecord,
};

export type Decoded =
  | { readonly kind: "decoded"; readonly record: SharedRecord }
  /** A key that this version does not know: left alone. */
  | { readonly kind: "foreign" }
  | { readonly kind: "poisoned"; readonly because: string };

export function decodeRecord(key: string, text: string): Decoded {
  const schema = rooms[splitKey(key)[0]];
  if (!schema) return { kind: "foreign" };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { kind: "poisoned", because: `${key} is not JSON: ${String(error)}` };
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return { kind: "decoded", record: parsed.data as SharedRecord };
  const issue = parsed.error.issues[0];
  return {
    kind: "poisoned",
    because: `${key} does not fit: ${issue?.path.join(".") || "record"}: ${issue?.message ?? "unknown"}`,
  };
}
