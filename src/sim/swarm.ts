/** A seed in, a world and its faults out: each seed has its own mix, so that rare combinations are somebody's everyday. */
import type { ProfileName } from "../core/model/profile.ts";
import type { Fault, FaultKind } from "./fault.ts";
import { faultKinds, forGood } from "./fault.ts";
import { millis, seconds } from "./kernel.ts";
import { Random } from "./random.ts";
import { plainShape, type Shape } from "./shapes.ts";
import { type Ablation, nothingAblated, type WorldOptions } from "./world.ts";

export interface Plan {
  readonly world: WorldOptions;
  readonly faults: readonly Fault[];
  /** When faults end, and the liveness phase begins. */
  readonly healAt: number;
  /** A region that is not healed but breaks for good then, in this way; null: all is healed. */
  readonly broken: Fault | null;
  /** Writes must flow again within `span` of `after` (P1, P2); null: too much goes wrong to promise that. */
  readonly resumesWithin: { readonly after: number; readonly span: number } | null;
}

const lastsLong: ReadonlySet<FaultKind> = new Set(["kill-region", "isolate", "cut", "store-down"]);

export function planFor(seed: number, tellStory = false): Plan {
  const chance = new Random(seed, "plan");
  const ablation = ablationFor(chance);
  const shape = shapeFor(chance);
  const world: WorldOptions = {
    seed,
    shape,
    store: chance.chance(0.5) ? "etcd" : "embedded",
    clients: chance.between(4, 12),
    thinkMs: chance.pick([20, 50, 200]),
    ablation,
    tellStory,
    drift: chance.chance(0.5) ? 0.0049 : 0,
  };
  const style = chance.fraction();
  if (style < 0.12) return plainPlan(chance, world);
  if (style < 0.2) return lostDiskPlan(chance, world);
  if (style < 0.3) return badPromotionPlan(chance, world);
  const span = seconds(chance.between(10, 40));
  const healAt = seconds(8) + span;
  const faults: Fault[] = [];
  const kinds = (Object.keys(faultKinds) as FaultKind[]).filter(
    (kind) => chance.chance(0.3) && isFair(kind, ablation, chance.fraction()),
  );
  if (kinds.length === 0) kinds.push("kill-region");
  const count = chance.skewed(1, 25);
  for (let index = 0; index < count; index++) faults.push(faultFor(chance, chance.pick(kinds), shape, span));
  const broken = chance.chance(0.3) ? brokenFor(chance, world) : null;
  return { world, faults, healAt, broken, resumesWithin: null };
}

/** One fault of the primary's region and nothing else: what P1 and P2 promise a figure for. */
function plainPlan(chance: Random, world: WorldOptions): Plan {
  const { shape, ablation } = world;
  const at = seconds(15) + chance.below(seconds(5));
  // A region that is cut off reaches an embedded store none the less: that is not what P1 is about.
  const silent = world.store === "etcd" ? (["isolate"] as const) : [];
  const kind = chance.pick([
    ...silent,
    "kill-region",
    "pause-region",
    "kill-postgres",
    "pause-agent",
  ] as const);
  const fast = shape.profile === "fast";
  const plain = shape.members >= 3 && !shape.foreignRegion && !ablation.fencer && !ablation.gate;
  // With the region may go the store's leader (S8): its election comes on top.
  const election = world.store === "etcd" ? seconds(1.5) : 0;
  const spans = { silence: seconds(fast ? 3 : 8) + election, crash: seconds(2) };
  return {
    world: { ...world, thinkMs: 50 },
    faults: [{ kind, at, a: 0, b: 0, lasts: seconds(30), size: 0 }],
    healAt: at + seconds(30),
    broken: null,
    resumesWithin: plain ? { after: at, span: kind === "kill-postgres" ? spans.crash : spans.silence } : null,
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
  const others = Array.from({ length: shape.members - 1 }, (_, index) => index + 1);
  if (chance.chance(0.5)) {
    const kind = chance.pick(["pause-postgres", "kill-region", "disk-hung"] as const);
    for (const other of others) if (chance.chance(0.85)) faults.push(fault(kind, other, chance.below(20)));
    faults.push(fault("rollback", 0, 30));
  } else {
    faults.push(fault("wipe", chance.pick(others), 0));
    if (chance.chance(0.3)) faults.push(fault("kill-region", chance.pick(others), chance.skewed(1, 10_000)));
    const kind = chance.pick(["kill-region", "kill-postgres", "pause-region", "wipe"] as const);
    faults.push(fault(kind, chance.chance(0.8) ? 0 : -1, chance.skewed(1, 12_000)));
  }
  const fair = faults.filter(
    ({ kind }) => kind === "wipe" || kind === "rollback" || isFair(kind, world.ablation, 1),
  );
  return { world, faults: fair, healAt: at + seconds(20), broken: null, resumesWithin: null };
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
    const stands = kind === "pause-postgres" || kind === "disk-hung";
    faults.push({
      kind,
      at: millis(chance.skewed(1, 1000)) - millis(1),
      after: { moment, count: 2 + hit },
      a: -1,
      b: 0,
      lasts: stands && hits === 1 ? forGood : seconds(chance.between(1, 40)),
      size: 0,
    });
  }
  return { world, faults, healAt: at + seconds(45), broken: null, resumesWithin: null };
}

function brokenFor(chance: Random, { shape, ablation, store }: WorldOptions): Fault {
  const kinds = (
    ["kill-region", "isolate", "pause-region", "pause-postgres", "disk-hung", "crash-agent"] as const
  ).filter((kind) => isFair(kind, ablation, 1) && (kind !== "isolate" || store === "etcd"));
  return { kind: chance.pick(kinds), at: 0, a: chance.below(shape.members), b: 0, lasts: 0, size: 0 };
}

function faultFor(chance: Random, kind: FaultKind, shape: Shape, span: number): Fault {
  const regions = shape.members + shape.witnesses;
  const reactive = chance.chance(0.25);
  const fault = {
    kind,
    a: reactive && chance.chance(0.5) ? -1 : chance.chance(0.4) ? 0 : chance.below(regions),
    b: chance.below(regions),
    lasts: millis(lastsLong.has(kind) ? chance.skewed(200, 20_000) : chance.skewed(20, 15_000)),
    size: sizeFor(chance, kind),
  };
  if (!reactive) return { ...fault, at: seconds(8) + chance.below(span) };
  return {
    ...fault,
    at: millis(chance.skewed(1, 2000)) - millis(1),
    after: {
      moment: chance.pick(["claimed", "promoted", "committed", "vacant"] as const),
      count: chance.between(2, 4),
    },
  };
}

function sizeFor(chance: Random, kind: FaultKind): number {
  switch (kind) {
    case "delay":
      return chance.skewed(10, 3000);
    case "loss":
      return chance.pick([0.01, 0.1, 0.5]);
    case "flap":
      return chance.skewed(20, 2000);
    case "store-slow":
      return chance.skewed(5, 2000);
    case "store-loses-replies":
      return chance.pick([0.1, 0.5, 1]);
    case "disk-slow":
      return chance.skewed(3, 100);
    case "clock-jump":
      return chance.pick([-3_600_000, 3_600_000, 1000]);
    default:
      return 0;
  }
}

/** With a guard taken away, what only that guard can hold is not asked of the others. */
function isFair(kind: FaultKind, ablation: Ablation, seedShare: number): boolean {
  // Rare on purpose: after them nothing can be proven any more, and a run that is stuck proves little.
  if (kind === "lose-lease" || kind === "rollback" || kind === "wipe") return seedShare < 0.1;
  const guards: readonly FaultKind[] = ["kill-fencer", "pause-fencer", "kill-gate", "pause-gate"];
  if (ablation.fencer || ablation.gate) {
    if (guards.includes(kind)) return false;
    if (ablation.gate && (kind === "pause-region" || kind === "disk-hung")) return false;
  }
  return true;
}

function ablationFor(chance: Random): Ablation {
  if (!chance.chance(0.35)) return nothingAblated;
  const guard = chance.pick(["fencer", "fencer", "gate", "seal", "synchronousSet"] as const);
  return { ...nothingAblated, [guard]: true };
}

function shapeFor(chance: Random): Shape {
  const profile: ProfileName = chance.pick(["fast", "balanced"]);
  const shape = { ...plainShape, profile };
  switch (chance.below(8)) {
    case 0:
      return { ...shape, members: 2, witnesses: 1 };
    case 1:
      return { ...shape, members: 5, witnesses: 0, acknowledgements: 2 };
    case 2:
      return { ...shape, members: 3, witnesses: 2 };
    case 3:
      return { ...shape, replication: "asynchronous", rpoMs: 2000 };
    case 4:
      return { ...shape, foreignRegion: true };
    case 5:
      return { ...shape, strict: true };
    default:
      return shape;
  }
}
