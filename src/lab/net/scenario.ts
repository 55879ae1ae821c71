/** One file a scenario in, what is to be built, broken and expected out; or all that is wrong with the file. */
import { parse } from "yaml";
import { z } from "zod";
import { parseDuration } from "../../core/spec/units.ts";
import { isDiskFault } from "./disk.ts";

/** `8s`, `500ms`, `2m`; in milliseconds from here on. */
const span = z.string().transform((text, context) => {
  const ms = parseDuration(text);
  if (typeof ms === "number") return ms;
  context.addIssue({
    code: "custom",
    message: `a span such as 500ms, 8s or 2m, not ${JSON.stringify(text)}`,
  });
  return z.NEVER;
});

/** `+1h`, `-90s`; in milliseconds from here on. */
const difference = z.string().transform((text, context) => {
  const ms = /^[+-]/.test(text) ? parseDuration(text.slice(1)) : null;
  if (typeof ms === "number" && ms > 0) return text.startsWith("-") ? -ms : ms;
  context.addIssue({
    code: "custom",
    message: `a difference such as +1h or -90s, not ${JSON.stringify(text)}`,
  });
  return z.NEVER;
});

/**
 * Where a fault strikes: a region by name, or by what it is at that moment. `witness`: the region without a copy.
 * `standby`, `other-standby`: the first and the second region whose copy is not the primary.
 */
const place = z
  .string()
  .regex(/^[a-z][a-z0-9-]*$/, "primary, standby, other-standby, witness, etcd-leader, or a region");

/** A regular expression, upper case or lower. */
const pattern = z.string().superRefine((text, context) => {
  try {
    new RegExp(text);
  } catch (error) {
    context.addIssue({ code: "custom", message: (error as Error).message });
  }
});

const timing = {
  /** From the beginning of the faults. */
  after: span.default(0),
  for: span,
};

const fault = z.discriminatedUnion("fault", [
  /** Nothing in, nothing out: as if the region were gone, to everybody. */
  z.strictObject({ fault: z.literal("blackhole"), at: place, ...timing }),
  /** What the region sends arrives, what is sent to it does not. */
  z.strictObject({ fault: z.literal("cut-in"), at: place, ...timing }),
  /** What is sent to the region arrives, what it sends does not. */
  z.strictObject({ fault: z.literal("cut-out"), at: place, ...timing }),
  /** Two regions do not reach one another; everybody else reaches both. */
  z.strictObject({ fault: z.literal("link"), at: place, to: place, ...timing }),
  /** Only the WAL does not arrive: the port of PostgreSQL at the region is cut, everything else passes. */
  z.strictObject({ fault: z.literal("replication-cut"), at: place, ...timing }),
  /** Packets to and from the region are lost, each with this chance. */
  z.strictObject({ fault: z.literal("loss"), at: place, percent: z.number().gt(0).max(100), ...timing }),
  /** Clients elsewhere do not reach the region; regions reach one another. */
  z.strictObject({ fault: z.literal("clients-cut"), at: place, ...timing }),
  /** Stopped (SIGSTOP), later continued. */
  z.strictObject({
    fault: z.literal("pause"),
    at: place,
    process: z.enum(["agent", "edge", "etcd", "fencer", "service", "postgres", "everything"]),
    ...timing,
  }),
  /** Killed, and started again as systemd would. */
  z.strictObject({
    fault: z.literal("process-kill"),
    at: place,
    process: z.enum(["agent", "edge", "etcd", "fencer", "service"]),
    ...timing,
  }),
  /** The disk of the region's member takes not a byte more. */
  z.strictObject({ fault: z.literal("disk-full"), at: place, ...timing }),
  /** Whoever writes to the disk of the region's member waits. */
  z.strictObject({ fault: z.literal("disk-hang"), at: place, ...timing }),
  /** The disk of the region's member takes up to so long for what it is asked. */
  z.strictObject({ fault: z.literal("disk-slow"), at: place, upTo: span, ...timing }),
  /** Whoever reads or writes the disk of the region's member is told of an I/O error; what was not synced is gone. */
  z.strictObject({ fault: z.literal("disk-fails"), at: place, ...timing }),
  /** Every process of the region is killed, and what it had not synced is gone; started again at the end. */
  z.strictObject({ fault: z.literal("power-cut"), at: place, ...timing }),
  /** The wall clocks of everything in the region but etcd's are wrong, all by the same. */
  z.strictObject({ fault: z.literal("clock-wrong"), at: place, by: difference, ...timing }),
  /** Whoever is in the region finds no region by its name any more; the topology has names for addresses then. */
  z.strictObject({ fault: z.literal("names-lost"), at: place, ...timing }),
  /** A topology with a mistake is put in the place of the good one, and the region's agent is to start anew with it. */
  z.strictObject({ fault: z.literal("topology-broken"), at: place, ...timing }),
  /** Every process of the region is killed, and started again at the end. */
  z.strictObject({ fault: z.literal("region-kill"), at: place, ...timing }),
  /** PostgreSQL is killed; its agent lives. */
  z.strictObject({ fault: z.literal("primary-crash"), at: place, ...timing }),
  /** PostgreSQL is killed and its data folder is gone; its agent lives. */
  z.strictObject({ fault: z.literal("member-wiped"), at: place, ...timing }),
  /** A page of orders is not what was written, on the disk of the region's member, until the copy is made anew; it is read. */
  z.strictObject({ fault: z.literal("pages-damaged"), at: place, ...timing }),
  /** Every member of etcd is killed, and started again at the end. */
  z.strictObject({ fault: z.literal("store-kill"), ...timing }),
  /** The leadership of etcd is moved to another member. */
  z.strictObject({ fault: z.literal("etcd-leader-moved"), ...timing }),
  /** Nothing breaks: a person asks by the command of this name, and has an answer in time. */
  z.strictObject({
    fault: z.literal("request"),
    kind: z.enum(["switchover", "failback", "reseed"]),
    /** The region that it names; null: where the command takes it by itself. */
    to: place.nullable().default(null),
    ends: z.enum(["succeeded", "refused"]),
    /** What the answer must say: a regular expression. */
    because: pattern.default(""),
    ...timing,
  }),
  /** Nothing of the service breaks: a backup is taken, damaged, and put to the restore test; all of it in time. */
  z.strictObject({
    fault: z.literal("backup"),
    damage: z.enum(["none", "byte-flipped", "file-truncated", "wal-missing"]),
    /** A test that fails must name the file that was damaged. */
    ends: z.enum(["passed", "failed"]),
    /** What must be told of readiness afterwards: a regular expression. */
    because: pattern.default(""),
    ...timing,
  }),
]);

const scenario = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,60}$/, "small letters, digits and dashes"),
  about: z.string().min(20),
  topology: z
    .strictObject({
      profile: z.enum(["fast", "balanced", "cautious"]).default("fast"),
      /** The third region has no copy and only votes. */
      witness: z.boolean().default(false),
      replication: z.enum(["synchronous", "asynchronous"]).default("synchronous"),
      /** With asynchronous replication. */
      rpo: span.default(1000),
    })
    .prefault({}),
  /** Between any two places; what is not said is not added. */
  links: z
    .strictObject({
      /** Each way. */
      delay: span.default(0),
      /** Added to the delay, evenly between 0 and this. */
      jitter: span.default(0),
      lossPercent: z.number().min(0).max(100).default(0),
      /** Of each place, each way; 0: as fast as the machine can. */
      rateMbit: z.number().min(0).default(0),
    })
    .prefault({}),
  load: z
    .strictObject({
      ordersPerSecond: z.number().positive().default(40),
      readsPerSecond: z.number().min(0).default(40),
    })
    .prefault({}),
  /** The region that etcd is led from when the faults begin; null: whichever it is. */
  etcdLeader: place.nullable().default(null),
  faults: z.array(fault).min(1),
  expect: z.strictObject({
    promotion: z.enum(["required", "forbidden", "allowed"]),
    /** Epochs at the end beyond the one at the beginning. */
    leaderChangesMax: z.number().int().min(0),
    /** Longest time without an acknowledged write for clients outside. */
    writeGapMax: span,
    /** Until when, from the fault, the old primary may acknowledge to anybody, its own region's clients included. */
    oldPrimaryAcksMax: span.nullable().default(null),
    /** Requests of clients outside that are safe to repeat and failed all the same. */
    safeFailedMax: z.number().int().min(0).default(0),
    /** Acknowledged orders; more than 0 only where the data is asynchronous. */
    lostMax: z.number().int().min(0).default(0),
    /** From the end of the last fault until every standby streams again. */
    wholeWithin: span.default(60_000),
    /** What the agents' status must say while the fault lasts: a regular expression. */
    statusSays: pattern.nullable().default(null),
  }),
});

export type Scenario = z.infer<typeof scenario>;
export type ScenarioFault = Scenario["faults"][number];
export type Links = Scenario["links"];

export type ReadScenario =
  | { readonly kind: "valid"; readonly scenario: Scenario }
  | { readonly kind: "invalid"; readonly problems: readonly string[] };

/** `name`: of the file, without its folder and `.yaml`: the scenario must bear it. */
export function readScenario(text: string, name: string): ReadScenario {
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    return { kind: "invalid", problems: [(error as Error).message] };
  }
  const read = scenario.safeParse(document);
  if (!read.success)
    return {
      kind: "invalid",
      problems: read.error.issues.map(({ path, message }) => `${path.join(".") || "the file"}: ${message}`),
    };
  const problems = whatContradicts(read.data);
  if (read.data.name !== name) problems.unshift(`name: ${read.data.name}, but the file is ${name}.yaml`);
  return problems.length === 0 ? { kind: "valid", scenario: read.data } : { kind: "invalid", problems };
}

function whatContradicts({ topology, faults, expect }: Scenario): string[] {
  const problems: string[] = [];
  const kinds = faults.map(({ fault }) => fault);
  // Logs of the lab lie on the disk of a region, too: it could start nothing again.
  if (kinds.includes("power-cut") && kinds.some(isDiskFault))
    problems.push("faults: no other fault of a disk beside power-cut, where everything lies on that disk");
  if (expect.promotion === "forbidden" && expect.leaderChangesMax !== 0)
    problems.push("expect.leaderChangesMax: 0, where no promotion may come");
  if (expect.promotion === "required" && expect.leaderChangesMax === 0)
    problems.push("expect.leaderChangesMax: at least 1, where a promotion must come");
  if (expect.lostMax > 0 && topology.replication === "synchronous")
    problems.push("expect.lostMax: 0, where the data is synchronous");
  return problems;
}
