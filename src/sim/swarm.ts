/** A seed in, a world and its faults out: each seed has its own mix, so that rare combinations are somebody's everyday. */
import type { ProfileName } from "../core/model/profile.ts";
import type { Fault, FaultKind } from "./fault.ts";
import { faultKinds } from "./fault.ts";
import { focusedPlans } from "./focus.ts";
import { millis, seconds } from "./kernel.ts";
import { isFair, type Plan } from "./plan.ts";
import { Random } from "./random.ts";
import { plainShape, type Shape } from "./shapes.ts";
import { type Ablation, nothingAblated, type WorldOptions } from "./world.ts";

/** What is drawn elsewhere: in plans of its own, by `withDamage`, or by `withoutRoom`. */
const leftOut: ReadonlySet<FaultKind> = new Set(["store-restored", "damage", "reseed", "disk-full"]);
const lastsLong: ReadonlySet<FaultKind> = new Set(["kill-region", "isolate", "cut", "store-down"]);

export function planFor(seed: number, tellStory = false): Plan {
  const chance = new Random(seed, "plan");
  const ablation = ablationFor(chance);
  const drawn = shapeFor(chance);
  const shape: Shape = seed % 20 === 7 ? { ...drawn, mode: "approve" } : drawn;
  const world: WorldOptions = {
    seed,
    shape,
    store: chance.chance(0.5) ? "etcd" : "embedded",
    clients: chance.between(4, 12),
    thinkMs: chance.pick([20, 50, 200]),
    ablation,
    tellStory,
    drift: chance.chance(0.5) ? 0.0049 : 0,
    asText: seed % 10 === 0,
  };
  const plan = drawPlan(chance, world);
  if (plan.resumesWithin !== null) return plan;
  if (seed % 25 === 8) return withDamage(plan);
  return seed % 25 === 16 && plan.changesMax === null ? withoutRoom(plan) : plan;
}

/** Beside what was drawn without it, from a stream of its own: what every other seed draws stays as it was. */
function withoutRoom(plan: Plan): Plan {
  const { seed, shape } = plan.world;
  const chance = new Random(seed, "disk-full");
  const from = seconds(3);
  const faults = [...plan.faults];
  for (let disks = chance.between(1, 3); disks > 0; disks--)
    faults.push({
      kind: "disk-full",
      at: from + chance.below(plan.healAt - from),
      a: chance.chance(0.5) ? -1 : chance.below(shape.members),
      b: 0,
      lasts: millis(chance.skewed(100, 30_000)),
      size: 0,
    });
  return { ...plan, faults };
}

/** The same. */
function withDamage(plan: Plan): Plan {
  const { seed, shape } = plan.world;
  const chance = new Random(seed, "damage");
  const from = seconds(5);
  const faults = [...plan.faults];
  for (let copy = chance.between(1, 2); copy > 0; copy--) {
    const fault = { a: chance.below(shape.members), b: 0, lasts: 0, size: 0 };
    const at = from + chance.below(plan.healAt - from);
    faults.push({ kind: "damage", at, ...fault });
    for (let wish = chance.below(3); wish > 0; wish--)
      faults.push({ kind: "reseed", at: at + seconds(chance.between(1, 10)), ...fault });
  }
  return { ...plan, faults };
}

function drawPlan(chance: Random, world: WorldOptions): Plan {
  const { ablation, shape } = world;
  // A third of the seeds aims at what pure chance seldom meets.
  let style = chance.fraction();
  for (const { share, plan } of focusedPlans) {
    if (style < share) return plan(chance, world);
    style -= share;
  }
  const span = seconds(chance.between(10, 40));
  const healAt = seconds(8) + span;
  // Mostly after the first start is over; now and then in its middle.
  const from = chance.chance(0.15) ? seconds(0.3) : seconds(8);
  const faults: Fault[] = [];
  const kinds = (Object.keys(faultKinds) as FaultKind[]).filter(
    (kind) => !leftOut.has(kind) && chance.chance(0.3) && isFair(kind, ablation, chance.fraction()),
  );
  if (kinds.length === 0) kinds.push("kill-region");
  const count = chance.skewed(1, 25);
  for (let index = 0; index < count; index++)
    faults.push(faultFor(chance, chance.pick(kinds), shape, from, span));
  const broken = chance.chance(0.3) ? brokenFor(chance, world) : null;
  return { world, faults, healAt, broken, resumesWithin: null, changesMax: null };
}

function brokenFor(chance: Random, { shape, ablation, store }: WorldOptions): Fault {
  const kinds = (
    ["kill-region", "isolate", "pause-region", "pause-postgres", "disk-hung", "crash-agent"] as const
  ).filter((kind) => isFair(kind, ablation, 1) && (kind !== "isolate" || store === "etcd"));
  return { kind: chance.pick(kinds), at: 0, a: chance.below(shape.members), b: 0, lasts: 0, size: 0 };
}

function faultFor(chance: Random, kind: FaultKind, shape: Shape, from: number, span: number): Fault {
  const regions = shape.members + shape.witnesses;
  const reactive = chance.chance(0.25);
  const fault = {
    kind,
    a: reactive && chance.chance(0.5) ? -1 : chance.chance(0.4) ? 0 : chance.below(regions),
    b: chance.below(regions),
    lasts: millis(lastsLong.has(kind) ? chance.skewed(200, 20_000) : chance.skewed(20, 15_000)),
    size: sizeFor(chance, kind),
  };
  if (!reactive) return { ...fault, at: from + chance.below(span) };
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
