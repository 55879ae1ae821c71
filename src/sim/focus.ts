/** Plans that aim: at what P1 promises a figure for, at disks, at promotions, at the store; what chance alone seldom meets. */
import { type Fault, type FaultKind, forGood } from "./fault.ts";
import { millis, seconds } from "./kernel.ts";
import { isFair, type Plan } from "./plan.ts";
import { Random } from "./random.ts";
import { plainShape, type Shape } from "./shapes.ts";
import { nothingAblated, type WorldOptions } from "./world.ts";

/** Tried in order; `share` of all seeds. */
export const focusedPlans: readonly {
  readonly share: number;
  readonly plan: (chance: Random, world: WorldOptions) => Plan;
}[] = [
  { share: 0.1, plan: plainPlan },
  { share: 0.06, plan: lostDiskPlan },
  { share: 0.07, plan: badPromotionPlan },
  { share: 0.05, plan: deafPlan },
  { share: 0.02, plan: staleSealPlan },
  { share: 0.05, plan: asynchronousPlan },
  { share: 0.04, plan: handoverPlan },
  { share: 0.04, plan: slowStorePlan },
  { share: 0.02, plan: lostLeasePlan },
  { share: 0.03, plan: restartedAgentsPlan },
  { share: 0.02, plan: restoredStorePlan },
  { share: 0.02, plan: leaderlessStorePlan },
];

/** One fault of the primary's region and nothing else: what P1 and P2 promise a figure for. */
function plainPlan(chance: Random, world: WorldOptions): Plan {
  const { shape, ablation } = world;
  const at = seconds(15) + chance.below(seconds(5));
  // A region that is cut off reaches an embedded store none the less: that is not what P1 is about.
  const silent = world.store === "etcd" ? (["isolate"] as const) : [];
  const kinds = [
    ...silent,
    "kill-region",
    "pause-region",
    "kill-postgres",
    "pause-agent",
    // These two cost at most one change of leader, and mostly none (S7, S12).
    "cut-one-way",
    "clock-jump",
  ] as const;
  const kind = chance.pick(kinds.filter((each) => isFair(each, ablation, 1)));
  const fast = shape.profile === "fast";
  const plain =
    shape.members >= 3 && shape.mode === "auto" && !shape.foreignRegion && !ablation.fencer && !ablation.gate;
  // With the region may go the store's leader (S8): its election comes on top.
  const election = world.store === "etcd" ? seconds(1.5) : 0;
  const spans = { silence: seconds(fast ? 3 : 8) + election, crash: seconds(2) };
  const promised = plain && kind !== "cut-one-way";
  return {
    world: { ...world, thinkMs: 50 },
    faults: [{ kind, at, a: 0, b: 1, lasts: seconds(30), size: kind === "clock-jump" ? 3_600_000 : 0 }],
    healAt: at + seconds(30),
    broken: null,
    resumesWithin: promised
      ? { after: at, span: kind === "kill-postgres" ? spans.crash : spans.silence }
      : null,
    changesMax: 1,
  };
}

/** A disk is lost, or is as it once was, about when the others fail (traps 4 and 6). */
function lostDiskPlan(chance: Random, world: WorldOptions): Plan {
  const { shape } = world;
  const at = seconds(14) + chance.below(seconds(4));
  const fault = (kind: FaultKind, a: number, afterMs: number): Fault => ({
    kind,
    at: at + millis(afterMs),
    a,
    b: 0,
    lasts: seconds(chance.between(5, 40)),
    size: 0,
  });
  const faults: Fault[] = [];
  const others = chance.shuffled(Array.from({ length: shape.members - 1 }, (_, index) => index + 1));
  const style = chance.below(3);
  if (style === 0) {
    const kind = chance.pick(["pause-postgres", "kill-region", "disk-hung"] as const);
    for (const other of others) if (chance.chance(0.85)) faults.push(fault(kind, other, chance.below(20)));
    faults.push(fault("rollback", 0, 30));
  } else if (style === 1) {
    faults.push(fault("wipe", others[0] as number, 0));
    if (chance.chance(0.3)) faults.push(fault("kill-region", chance.pick(others), chance.skewed(1, 10_000)));
    const kind = chance.pick(["kill-region", "kill-postgres", "pause-region", "wipe"] as const);
    faults.push(fault(kind, chance.chance(0.8) ? 0 : -1, chance.skewed(1, 12_000)));
  } else {
    // One copy is behind and one is somebody's old backup, when the primary is lost.
    for (const other of others.slice(1))
      faults.push({
        ...fault("delay", 0, -chance.between(500, 3000)),
        b: other,
        size: chance.skewed(100, 3000),
      });
    faults.push(fault("restore", others[0] as number, -chance.below(50)));
    faults.push(fault("kill-region", 0, 0));
  }
  const fair = faults.filter(({ kind }) => isFair(kind, world.ablation, 0));
  return {
    world,
    faults: fair,
    healAt: at + seconds(20),
    broken: null,
    resumesWithin: null,
    changesMax: null,
  };
}

/** The primary's region is lost, and whoever takes over is hit while it does (traps 3, 7 and 10). */
function badPromotionPlan(chance: Random, world: WorldOptions): Plan {
  const at = seconds(14) + chance.below(seconds(4));
  const fair = (kind: FaultKind) => isFair(kind, world.ablation, 1);
  const first = chance.pick((["kill-region", "pause-region", "kill-postgres"] as const).filter(fair));
  const kinds: readonly FaultKind[] = [
    "pause-postgres",
    "disk-hung",
    "kill-postgres",
    "crash-agent",
    "pause-agent",
    "kill-region",
    "pause-region",
  ];
  const faults: Fault[] = [{ kind: first, at, a: 0, b: 0, lasts: seconds(chance.between(10, 60)), size: 0 }];
  const hits = chance.between(1, 2);
  for (let hit = 0; hit < hits; hit++) {
    const kind = chance.pick(kinds.filter(fair));
    const moment = chance.pick(["claimed", "promoted", "committed"] as const);
    faults.push({
      kind,
      at: millis(chance.skewed(1, 1000)) - millis(1),
      after: { moment, count: 2 + hit },
      a: -1,
      b: 0,
      lasts: hits === 1 && chance.chance(0.6) ? forGood : seconds(chance.between(1, 40)),
      size: 0,
    });
  }
  return { world, faults, healAt: at + seconds(45), broken: null, resumesWithin: null, changesMax: null };
}

/** The store answers some and not others, the holder not among them: what peers promise each other must hold (L6). */
function deafPlan(chance: Random, world: WorldOptions): Plan {
  const at = seconds(14) + chance.below(seconds(2));
  const regions = world.shape.members + world.shape.witnesses;
  const faults: Fault[] = [
    { kind: "store-deaf", at, a: 0, b: 0, lasts: seconds(chance.between(2, 25)), size: 0 },
  ];
  for (let other = 1; other < regions; other++)
    for (let round = chance.below(4); round > 0; round--)
      faults.push({
        kind: "store-deaf",
        at: at + (round === 1 ? chance.below(millis(200)) : chance.below(seconds(15))),
        a: other,
        b: 0,
        lasts: millis(chance.skewed(500, 20_000)),
        size: 0,
      });
  if (chance.chance(0.3))
    faults.push({ kind: "pause-agent", at: at + seconds(1), a: 0, b: 0, lasts: seconds(6), size: 0 });
  return { world, faults, healAt: at + seconds(27), broken: null, resumesWithin: null, changesMax: null };
}

/**
 * A copy seals, follows again, and cannot say so: whoever counts on its old seal counts on a copy that has gone on (trap of
 * the basis). Two witnesses, so that the others are a majority without it.
 */
function staleSealPlan(chance: Random, world: WorldOptions): Plan {
  const shape = { ...plainShape, profile: world.shape.profile, witnesses: 2 };
  const at = seconds(14);
  const blind = shape.profile === "fast" ? seconds(3) : seconds(8);
  const deaf = (a: number, from: number, lasts: number): Fault => ({
    kind: "store-deaf",
    at: from,
    a,
    b: 0,
    lasts,
    size: 0,
  });
  const later = at + blind;
  const faults: Fault[] = [
    // The holder, another member and a witness are blind together: promises carry the holder on, while 2 seals.
    deaf(0, at, blind),
    deaf(1, at, blind),
    deaf(3, at, blind),
    { kind: "store-mute", at: later, a: 2, b: 0, lasts: seconds(20), size: 0 },
    { kind: "delay", at: later, a: 0, b: 1, lasts: seconds(20), size: chance.between(50, 400) },
    {
      kind: "kill-region",
      at: later + millis(chance.between(1000, 3000)),
      a: 0,
      b: 0,
      lasts: seconds(25),
      size: 0,
    },
  ];
  return {
    world: { ...world, shape, ablation: nothingAblated },
    faults,
    healAt: later + seconds(22),
    broken: null,
    resumesWithin: null,
    changesMax: null,
  };
}

/** Copies of an asynchronous primary fall behind, and then it is lost, or they are (trap 1). */
function asynchronousPlan(chance: Random, world: WorldOptions): Plan {
  const shape: Shape = {
    ...plainShape,
    profile: world.shape.profile,
    witnesses: chance.pick([0, 2]),
    replication: "asynchronous",
    rpoMs: chance.pick([1000, 3000]),
  };
  const at = seconds(14) + chance.below(seconds(2));
  const faults: Fault[] = [];
  for (const other of [1, 2])
    for (let round = chance.between(1, 3); round > 0; round--)
      faults.push({
        kind: chance.pick(["cut", "delay", "pause-postgres", "disk-hung"] as const),
        at: at + chance.below(seconds(6)),
        a: chance.chance(0.5) ? other : 0,
        b: other,
        lasts: millis(chance.skewed(300, 15_000)),
        size: chance.skewed(100, 4000),
      });
  const last = at + chance.between(millis(500), seconds(12));
  const first = chance.pick(["kill-region", "kill-postgres", "pause-region", "kill-postgres"] as const);
  faults.push({ kind: first, at: last, a: 0, b: 0, lasts: seconds(chance.between(1, 25)), size: 0 });
  if (chance.chance(0.5))
    faults.push({
      kind: chance.pick(["kill-region", "pause-postgres"] as const),
      at: last + millis(chance.below(100)),
      a: chance.pick([1, 2]),
      b: 0,
      lasts: seconds(25),
      size: 0,
    });
  return {
    world: { ...world, shape, ablation: nothingAblated },
    faults,
    healAt: last + seconds(20),
    broken: null,
    resumesWithin: null,
    changesMax: null,
  };
}

/** A switchover in whose middle somebody is lost: the target, the one left over, the edge that holds, or the agent that runs it. */
function handoverPlan(chance: Random, world: WorldOptions): Plan {
  const at = seconds(15) + chance.below(seconds(2));
  const others = world.shape.members + world.shape.witnesses - 1;
  const faults: Fault[] = [{ kind: "switchover", at, a: 1, b: 0, lasts: 0, size: 0 }];
  if (chance.chance(0.5) && others >= 2) {
    // The third copy stops a moment before the orderly end, and the target right after it: who is left may be behind.
    const hit = at + millis(chance.between(-250, 60));
    const lasts = millis(chance.between(200, 2000));
    faults.push({ kind: "pause-agent", at: hit, a: 2, b: 0, lasts, size: 0 });
    faults.push({ kind: "kill-postgres", at: hit + millis(2), a: 2, b: 0, lasts: 0, size: 0 });
    faults.push({
      kind: "kill-region",
      at: millis(chance.below(50)),
      after: { moment: "vacant", count: 1 },
      a: 1,
      b: 0,
      lasts: seconds(25),
      size: 0,
    });
    faults.push({
      kind: "pause-agent",
      at: millis(chance.between(5, 60)),
      after: { moment: "vacant", count: 1 },
      a: 0,
      b: 0,
      lasts: seconds(chance.between(4, 12)),
      size: 0,
    });
    return { world, faults, healAt: at + seconds(20), broken: null, resumesWithin: null, changesMax: null };
  }
  const kinds: readonly FaultKind[] = [
    "kill-region",
    "pause-region",
    "crash-agent",
    "kill-postgres",
    "store-down",
    "kill-edge",
    "pause-agent",
  ];
  const fair = kinds.filter((kind) => isFair(kind, world.ablation, 1));
  const hits = chance.between(1, 2);
  for (let hit = 0; hit < hits; hit++) {
    const kind = chance.chance(0.4) ? "kill-region" : chance.pick(fair);
    const fault = {
      kind,
      a: chance.pick([0, 1, 1, 1, 2]),
      b: 0,
      lasts: seconds(chance.between(1, 30)),
      size: 0,
    };
    if (chance.chance(0.6))
      faults.push({
        ...fault,
        at: millis(chance.skewed(1, 300)) - millis(1),
        after: { moment: "vacant", count: 1 },
      });
    else faults.push({ ...fault, at: at + millis(chance.skewed(1, 1500)) });
  }
  return { world, faults, healAt: at + seconds(20), broken: null, resumesWithin: null, changesMax: null };
}

/** The store takes about as long as a call may take: answers come late, or are given up and come true none the less. */
function slowStorePlan(chance: Random, world: WorldOptions): Plan {
  const at = seconds(12);
  const faults: Fault[] = [];
  for (let index = 0; index < 4; index++)
    faults.push({
      kind: "store-slow",
      at: at + seconds(6 * index),
      a: 0,
      b: 0,
      lasts: seconds(chance.between(1, 5)),
      size: chance.skewed(50, 1500),
    });
  faults.push({
    kind: "store-loses-replies",
    at,
    a: 0,
    b: 0,
    lasts: seconds(24),
    size: chance.pick([0, 0.2, 0.6]),
  });
  if (chance.chance(0.5))
    faults.push({
      kind: "store-deaf",
      at: at + chance.below(seconds(20)),
      a: 0,
      b: 0,
      lasts: seconds(9),
      size: 0,
    });
  return { world, faults, healAt: at + seconds(26), broken: null, resumesWithin: null, changesMax: null };
}

/** Somebody deletes the lease: nobody may take that for an expired one (L2), nor for none, every copy lost or not (F5). */
function lostLeasePlan(chance: Random, world: WorldOptions): Plan {
  const at = seconds(12);
  const faults: Fault[] = [{ kind: "lose-lease", at, a: 0, b: 0, lasts: 0, size: 0 }];
  const hits: readonly FaultKind[] = ["crash-agent", "kill-postgres", "store-loses-replies"];
  if (chance.chance(0.6))
    faults.push({
      kind: chance.pick(hits),
      at: at + chance.below(seconds(2)) - seconds(1),
      a: 0,
      b: 0,
      lasts: seconds(3),
      size: 0.5,
    });
  if (chance.chance(0.3))
    for (let a = 0; a < world.shape.members; a++)
      faults.push({ kind: "wipe", at: at - chance.below(seconds(2)), a, b: 0, lasts: 0, size: 0 });
  return { world, faults, healAt: at + seconds(10), broken: null, resumesWithin: null, changesMax: null };
}

/** Several agents are started anew at about the same time, as when a new version is rolled out in haste. */
function restartedAgentsPlan(chance: Random, world: WorldOptions): Plan {
  const regions = world.shape.members + world.shape.witnesses;
  const faults: Fault[] = [];
  for (let round = 0; round < 4; round++) {
    const at = seconds(12 + 6 * round);
    const lasts = millis(chance.between(100, 2000));
    for (let region = 0; region < regions; region++)
      if (region > 0 || chance.chance(0.4))
        faults.push({
          kind: "crash-agent",
          at,
          a: region,
          b: 0,
          lasts: lasts + chance.below(millis(300)),
          size: 0,
        });
  }
  return { world, faults, healAt: seconds(38), broken: null, resumesWithin: null, changesMax: null };
}

/** A standby goes and comes back, and the store that is restored knows of the time between: its promise rests on too few. */
function restoredWithinEpochPlan(chance: Random, world: WorldOptions): Plan {
  const at = seconds(12);
  const lasts = seconds(chance.between(12, 25));
  const restoredAt = at + lasts + seconds(chance.between(2, 8));
  const backupAt = at + lasts - chance.below(seconds(4));
  return {
    world: { ...world, ablation: nothingAblated },
    faults: [
      { kind: "kill-region", at, a: chance.between(1, world.shape.members - 1), b: 0, lasts, size: 0 },
      {
        kind: "store-restored",
        at: restoredAt,
        a: 0,
        b: 0,
        lasts: 0,
        size: (restoredAt - backupAt) / 1000,
      },
    ],
    healAt: restoredAt + seconds(20),
    broken: null,
    resumesWithin: null,
    changesMax: null,
  };
}

/** A change of primary that the store, restored from a backup, knows nothing of: what it says of copies is no evidence any more. */
function restoredStorePlan(chance: Random, world: WorldOptions): Plan {
  // From a stream of its own: what the others draw stays as it was.
  const own = new Random(world.seed, "restored within an epoch");
  if (own.chance(0.4)) return restoredWithinEpochPlan(own, world);
  const at = seconds(14);
  const change = chance.pick(["kill-postgres", "kill-region", "switchover"] as const);
  const restoredAt = at + seconds(chance.between(8, 20));
  const since = chance.chance(0.8) ? restoredAt - at + seconds(1) : millis(chance.skewed(100, 5000));
  const faults: Fault[] = [
    {
      kind: change,
      at,
      a: change === "switchover" ? 1 : 0,
      b: 0,
      lasts: seconds(chance.between(1, 7)),
      size: 0,
    },
    { kind: "store-restored", at: restoredAt, a: 0, b: 0, lasts: 0, size: since / 1000 },
  ];
  return {
    world: { ...world, ablation: nothingAblated },
    faults,
    healAt: restoredAt + seconds(20),
    broken: null,
    resumesWithin: null,
    changesMax: null,
  };
}

/** Nobody is elected for a while, and voters that are left go on saying that nothing is new: nobody is promoted for that (L6). */
function leaderlessStorePlan(chance: Random, world: WorldOptions): Plan {
  const at = seconds(14) + chance.below(seconds(1));
  const electedAfterMs = chance.between(200, 4000);
  return {
    world: { ...world, store: "etcd", ablation: nothingAblated },
    faults: [{ kind: "store-leader", at, a: 0, b: 0, lasts: seconds(6), size: electedAfterMs }],
    healAt: at + seconds(15),
    broken: null,
    resumesWithin: null,
    changesMax: 0,
  };
}
