/** What the API takes, checked: the shapes of its bodies. */
import { z } from "zod";
import { memberReport } from "../decode.ts";

const name = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "small letters, digits and dashes, at most 63");

export const requestBodySchema = z
  .strictObject({
    kind: z.enum(["switchover", "failback", "approve", "allow-data-loss", "mode", "reseed"]),
    dataStore: name.nullable().default(null),
    toRegion: name.nullable().default(null),
    ifEpoch: z
      .int()
      .min(0)
      .default(0)
      .describe("refused unless this is the epoch when it is taken up; 0: any"),
    by: z.string().min(1).max(200).describe("who asks"),
    why: z.string().max(1000).default(""),
  })
  .superRefine((body, context) => {
    const missing = (path: "dataStore" | "toRegion" | "why" | "ifEpoch", message: string) =>
      context.addIssue({ code: "custom", path: [path], message });
    if (body.kind !== "mode" && body.dataStore === null)
      missing("dataStore", `a ${body.kind} names its data store`);
    if (body.kind === "reseed" && body.toRegion === null)
      missing("toRegion", "say in which region the copy is that is to be made anew");
    // An audited act: it says which epoch it is about, and why.
    if (body.kind === "allow-data-loss" && body.why === "") missing("why", "say why data may be lost");
    if (body.kind === "allow-data-loss" && body.ifEpoch === 0)
      missing("ifEpoch", "say for which epoch data may be lost");
  });

/** A year: longer is not "for now" any more, but part of the topology. */
const forMaxMs = 365 * 86_400_000;

export const levelBodySchema = z.strictObject({
  level: z.int().min(0).max(9).describe("0: everything is on again"),
  forMs: z
    .number()
    .min(0)
    .max(forMaxMs)
    .default(0)
    .describe("how long it stands, in milliseconds; 0: until the next"),
  by: z.string().min(1).max(200).describe("who asks"),
  why: z.string().max(1000).default(""),
});

export const peerQuestionSchema = z.strictObject({
  from: name,
  dataStore: name,
  epoch: z.int().min(1),
  revision: z.int().min(0),
});

const whole = z.int().min(0);

export const sealNoticeSchema = z.strictObject({
  member: name,
  boot: z.string().max(100),
  beat: whole,
  report: memberReport,
});

/** `toRegion: not a name; by: required` */
export function explain(error: z.ZodError): string {
  return error.issues.map((issue) => `${issue.path.join(".") || "body"}: ${issue.message}`).join("; ");
}
