/** Classes and levels as they are written, to and from what the model has. */
import type { Level, LevelMode, Levels, TrafficClass, Treatment } from "../model/degradation.ts";
import type { SpecOf } from "./language.ts";
import { formatDuration } from "./units.ts";

type WrittenClass = SpecOf<"Service">["classes"][number];
type WrittenLevels = SpecOf<"Service">["levels"];

/** What is not written is left out, so that tables stay small. */
export function classesOf(written: readonly WrittenClass[]): { readonly classes?: readonly TrafficClass[] } {
  return written.length === 0 ? {} : { classes: written.map(classOf) };
}

function classOf({ name, match, priority, latencyTarget, divertTo }: WrittenClass): TrafficClass {
  const { methods, paths, header } = match;
  return {
    name,
    priority,
    ...(methods.length === 0 ? {} : { methods }),
    ...(paths.length === 0 ? {} : { paths }),
    ...(header === null ? {} : { header: { name: header.name.toLowerCase(), value: header.value } }),
    ...(latencyTarget === null ? {} : { latencyTargetMs: latencyTarget }),
    ...(divertTo.length === 0 ? {} : { divertTo }),
  };
}

export function writtenClass({ name, priority, ...rest }: TrafficClass): object {
  const { methods = [], paths = [], header, latencyTargetMs, divertTo = [] } = rest;
  const value = header === undefined || header.value === null ? {} : { value: header.value };
  return {
    name,
    match: { methods, paths, ...(header === undefined ? {} : { header: { name: header.name, ...value } }) },
    priority,
    ...(latencyTargetMs === undefined ? {} : { latencyTarget: formatDuration(latencyTargetMs) }),
    divertTo,
  };
}

/** Each level is written out whole: who reads a table needs not to know those below. */
export function levelsOf({ automatic, flags, page, steps }: WrittenLevels): { readonly levels?: Levels } {
  if (steps.length === 0) return {};
  let mode: LevelMode = "rw";
  let saves = 0;
  let features = flags;
  let classes: Readonly<Record<string, Treatment>> = {};
  const whole = steps.map((step): Level => {
    mode = step.mode ?? mode;
    saves = step.saves ?? saves;
    features = { ...features, ...step.flags };
    classes = { ...classes, ...step.classes };
    return { name: step.name, mode, flags: features, classes, saves };
  });
  return { levels: { automatic, flags, page, steps: whole } };
}

export function writtenLevels({ automatic, flags, page, steps }: Levels): object {
  return { automatic, flags, ...(page === null ? {} : { page }), steps };
}
