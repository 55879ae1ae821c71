/** A route and a level in, what holds there out: mode, features, and what becomes of each class. */
import type { ClassName, Level, Treatment } from "../model/degradation.ts";
import type { ServiceMode, ServiceRoute } from "../model/routing.ts";

/** What a service goes by now. */
export interface Stand {
  readonly level: number;
  /** As people named it; empty: level 0. */
  readonly name: string;
  readonly mode: ServiceMode;
  readonly classes: Readonly<Record<ClassName, Treatment>>;
  /** A structured field (RFC 9651), such as `recommendations=?0, search=?1`; empty: the topology names no features. */
  readonly flags: string;
}

/** `automatic`: the level that an edge takes by itself; it never goes below what was ordered, nor above what is allowed. */
export function standAt(route: ServiceRoute, automatic: number): Stand {
  const { levels } = route;
  if (levels === undefined) return { level: 0, name: "", mode: route.mode, classes: {}, flags: "" };
  const ordered = route.level ?? 0;
  const level = Math.min(levels.steps.length, Math.max(ordered, Math.min(automatic, levels.automatic)));
  const step = levels.steps[level - 1];
  return {
    level,
    name: step?.name ?? "",
    mode: step ? stricter(route.mode, step.mode) : route.mode,
    classes: step?.classes ?? {},
    flags: fieldOf(step?.flags ?? levels.flags),
  };
}

export function treatmentOf({ classes }: Stand, name: ClassName): Treatment {
  return Object.hasOwn(classes, name) ? (classes[name] as Treatment) : "serve";
}

const strictness: Readonly<Record<ServiceMode, number>> = { rw: 0, ro: 1, static: 2, off: 3 };

export function stricter(a: ServiceMode, b: ServiceMode): ServiceMode {
  return strictness[a] < strictness[b] ? b : a;
}

/** The level that stands in the table, for a topology that may have fewer than the one it was ordered with. */
export function orderedStep(steps: readonly Level[], ordered: number): number {
  return Math.max(0, Math.min(steps.length, Math.trunc(ordered)));
}

function fieldOf(flags: Readonly<Record<string, boolean>>): string {
  return Object.entries(flags)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, isOn]) => `${name}=?${isOn ? 1 : 0}`)
    .join(", ");
}
