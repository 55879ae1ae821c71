/** Schedules that tell most, each with the sentence that it must bear out: their transcripts are kept beside this file. */
import type { Fault } from "../../src/sim/fault.ts";
import { millis, seconds } from "../../src/sim/kernel.ts";
import type { Plan } from "../../src/sim/plan.ts";
import { plainShape, type Shape } from "../../src/sim/shapes.ts";
import { nothingAblated } from "../../src/sim/world.ts";

export interface Story {
  /** Name of the transcript. */
  readonly name: string;
  readonly moral: string;
  readonly plan: Plan;
  /** What the transcript must say, and what it must not. */
  readonly says: readonly RegExp[];
  readonly never: readonly RegExp[];
  /** Longest time without an acknowledged write, in milliseconds. */
  readonly gapMaxMs: number;
}

const at = seconds(10);

function plan(
  faults: readonly Partial<Fault>[],
  more: {
    readonly shape?: Partial<Shape>;
    readonly store?: "etcd" | "embedded";
    readonly untilS?: number;
  } = {},
): Plan {
  return {
    world: {
      seed: 7,
      shape: { ...plainShape, ...more.shape },
      store: more.store ?? "etcd",
      clients: 6,
      thinkMs: 50,
      ablation: nothingAblated,
      tellStory: true,
      drift: 0,
    },
    faults: faults.map((fault) => ({ kind: "cut", at, a: 0, b: 0, lasts: 0, size: 0, ...fault })),
    healAt: at + seconds(more.untilS ?? 20),
    broken: null,
    resumesWithin: null,
    changesMax: null,
  };
}

export const stories: readonly Story[] = [
  {
    name: "region-lost",
    moral:
      "A region vanishes without a word: two others agree, seal, and one of them leads; the lost one comes back as a standby.",
    plan: plan([{ kind: "kill-region", lasts: seconds(15) }]),
    says: [/epoch 2 is committed/, /pg-west joins .* as a standby/],
    never: [/epoch 3/],
    gapMaxMs: 9500,
  },
  {
    name: "github-2018-43-seconds",
    moral:
      "GitHub, 21 October 2018: 43 seconds without the network became 24 hours, as writes were accepted on both sides. Here the side that is cut off holds its writes, then ends its primary; the other side has one change of leader; and when the network is back the old primary returns as a standby, its tail kept, with nothing acknowledged lost.",
    plan: plan([{ kind: "isolate", lasts: seconds(43) }], { untilS: 60 }),
    says: [/writes are held/, /end pg-west/, /epoch 2 is committed/, /pg-west joins .* as a standby/],
    never: [/epoch 3/, /is promoted in epoch 1$.*is promoted in epoch 1$/],
    gapMaxMs: 9500,
  },
  {
    name: "postgres-crash",
    moral:
      "PostgreSQL dies and its agent lives: nobody waits for the lease, since the agent fences, confirms and says so (L4).",
    plan: plan([{ kind: "kill-postgres" }], { untilS: 10 }),
    says: [/PostgreSQL of pg-west is stopped/, /epoch 1 is vacant/, /epoch 2 is committed/],
    never: [/has expired/],
    gapMaxMs: 2000,
  },
  {
    name: "frozen-agent",
    moral:
      "The agent stands still and its PostgreSQL runs on: the fencer beside it ends it before anybody else may claim (S6).",
    plan: plan([{ kind: "pause-agent", lasts: seconds(15) }]),
    says: [/ends pg-west: not petted in epoch 1/, /epoch 2 is committed/],
    never: [/epoch 3/],
    gapMaxMs: 9500,
  },
  {
    name: "frozen-region",
    moral:
      "A whole host stands still for 15 seconds and wakes up believing itself primary: gate and fencer go by the clock, not by belief.",
    plan: plan([{ kind: "pause-region", lasts: seconds(15) }]),
    says: [/epoch 2 is committed/, /pg-west leads no more|giving up epoch 1/],
    never: [/epoch 3/],
    gapMaxMs: 9500,
  },
  {
    name: "store-lost",
    moral:
      "The whole control store is gone for 20 seconds: no traffic moves, nobody is promoted, and writes flow on, as the regions promise each other to wait (L6, S9).",
    plan: plan([{ kind: "store-down", lasts: seconds(20) }], { store: "embedded", untilS: 25 }),
    says: [/store-down/],
    never: [/epoch 2/, /writes are held/],
    gapMaxMs: 600,
  },
  {
    name: "store-leader-lost",
    moral: "The store's leader stops: its election costs less than the freeze, and nobody notices (S8).",
    plan: plan([{ kind: "store-leader", lasts: seconds(10) }]),
    says: [/leads the store/],
    never: [/epoch 2/, /writes are held/],
    gapMaxMs: 2500,
  },
  {
    name: "store-elects-late",
    moral:
      "The store's leader stops and nobody is elected for twice the lease: the voters that are left say that nothing is new, which is no sign that anything can be written. The other agents promise the primary to wait, and writes go on (L6).",
    plan: plan([{ kind: "store-leader", lasts: seconds(10), size: 3000 }], { shape: { profile: "fast" } }),
    says: [/leads the store/],
    never: [/epoch 2/, /writes are held/],
    gapMaxMs: 1000,
  },
  {
    name: "switchover",
    moral: "A planned change: announce, hold, drain, stop in order, and the one who is named leads.",
    plan: plan([{ kind: "switchover", a: 2 }], { untilS: 10 }),
    says: [/handed over to pg-east/, /epoch 2 is committed: pg-east/],
    never: [/epoch 3/, /has expired/],
    gapMaxMs: 2000,
  },
  {
    name: "target-lost-in-switchover",
    moral:
      "The target of a switchover is lost at the worst moment, after the old primary has stopped: somebody with the last position leads all the same.",
    plan: plan(
      [
        { kind: "switchover", a: 2 },
        {
          kind: "kill-region",
          a: 2,
          at: millis(1),
          after: { moment: "vacant", count: 1 },
          lasts: seconds(30),
        },
      ],
      { untilS: 30 },
    ),
    says: [/epoch 1 is vacant/, /epoch \d is committed: pg-(west|central)/],
    never: [],
    gapMaxMs: 12000,
  },
  {
    name: "claimant-lost",
    moral:
      "Whoever takes over is lost between its promotion and its commit: the claim ends by its lease, the evidence of the old primary still counts, and nobody follows what never committed (traps 3, 7 and 10).",
    plan: plan(
      [
        { kind: "kill-region", lasts: seconds(20) },
        {
          kind: "kill-region",
          a: -1,
          at: 0,
          after: { moment: "promoted", count: 2 },
          lasts: seconds(40),
        },
      ],
      { shape: { members: 5, acknowledgements: 2 }, untilS: 45 },
    ),
    says: [/is promoted in epoch 2/, /epoch 3 is committed/],
    never: [/epoch 2 is committed/],
    gapMaxMs: 25000,
  },
  {
    name: "damaged-standby",
    moral:
      "Pages of a standby's copy fail their checksum: it is no published copy any more, and when the primary's region is lost the other standby leads without it. It is made anew when a person asks (C1).",
    plan: plan(
      [
        { kind: "damage", a: 1 },
        { kind: "kill-region", at: at + seconds(5), lasts: seconds(15) },
        { kind: "reseed", a: 2, at: at + seconds(25) },
        { kind: "reseed", a: 1, at: at + seconds(26) },
      ],
      { untilS: 40 },
    ),
    says: [
      /the copy of pg-central is damaged/,
      /epoch 2 is committed: pg-east/,
      /pg-central joins pg-east \(epoch 2\) as a standby, its copy made anew/,
    ],
    never: [/claimed for pg-central/, /pg-east joins .* anew/, /epoch 3/],
    gapMaxMs: 9500,
  },
];
