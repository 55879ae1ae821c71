/** The part of a route that says what is left out when capacity is short, as JSON. */
import { z } from "zod";

const whole = z.number().int().nonnegative();
const share = z.number().min(0).max(1);
const flags = z.record(z.string().regex(/^[a-z][a-z0-9_.-]{0,62}$/), z.boolean());

const trafficClass = z.object({
  name: z.string().min(1),
  priority: z.enum(["critical", "standard", "sheddable"]),
  methods: z.array(z.string()).optional(),
  paths: z.array(z.string().startsWith("/")).optional(),
  header: z.object({ name: z.string().lowercase(), value: z.string().nullable() }).optional(),
  latencyTargetMs: z.number().positive().optional(),
  divertTo: z.array(z.string()).optional(),
});

const level = z.object({
  name: z.string(),
  mode: z.enum(["rw", "ro", "static"]),
  flags,
  classes: z.record(z.string(), z.enum(["serve", "queue", "refuse", "stale", "divert"])),
  saves: share,
});

const page = z.object({
  status: whole.min(200).max(599),
  // It becomes a line of a head.
  contentType: z.string().regex(/^[\x20-\x7e]{1,200}$/),
  body: z.string(),
});

export const degradationShape = {
  classes: z.array(trafficClass).optional(),
  levels: z
    .object({ automatic: whole, flags, page: page.nullable(), steps: z.array(level).min(1) })
    .optional(),
  level: whole.optional(),
  capacity: z.array(z.object({ region: z.string(), rps: z.number().nonnegative(), edges: whole })).optional(),
};
