/** Arbitrary classes and levels that are valid. */
import fc from "fast-check";
import type { Level, Levels, TrafficClass } from "../../../src/core/model/degradation.ts";

const nameArb = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$/).filter((name) => name !== "other");
const flagArb = fc.stringMatching(/^[a-z][a-z0-9_.-]{0,10}$/);

export function classesArb(endpoints: readonly string[]): fc.Arbitrary<readonly TrafficClass[]> {
  const oneArb = (name: string): fc.Arbitrary<TrafficClass> =>
    fc.record(
      {
        name: fc.constant(name),
        priority: fc.constantFrom("critical", "standard", "sheddable"),
        // Never without a condition: none behind it would be reached.
        paths: fc.uniqueArray(fc.constantFrom("/a", "/b/*", "/*.png", "/c/*/d"), { minLength: 1 }),
        methods: fc.uniqueArray(fc.constantFrom("GET", "POST", "PUT"), { minLength: 1 }),
        header: fc.record(
          { name: fc.constantFrom("x-tier", "x-crawler"), value: fc.constantFrom(null, "gold", "1") },
          { noNullPrototype: true },
        ),
        latencyTargetMs: fc.integer({ min: 1, max: 90_000 }),
        divertTo: fc.shuffledSubarray([...endpoints], { minLength: 1 }),
      },
      { requiredKeys: ["name", "priority", "paths"], noNullPrototype: true },
    );
  return fc
    .uniqueArray(nameArb, { maxLength: 4 })
    .chain((names) => fc.tuple(...names.map(oneArb)) as fc.Arbitrary<readonly TrafficClass[]>);
}

/** `null`: none are written. */
export function levelsArb(
  classes: readonly TrafficClass[],
  keepsAnswers: boolean,
): fc.Arbitrary<Levels | null> {
  return fc.gen().map((gen): Levels | null => {
    const flags = gen(() => fc.dictionary(flagArb, fc.boolean(), { maxKeys: 3, noNullPrototype: true }));
    const modes = (["rw", "ro", "static"] as const).slice();
    let rank = 0;
    let saves = 0;
    let features = flags;
    let treatments: Level["classes"] = {};
    const steps = gen(() => fc.uniqueArray(nameArb, { maxLength: 4 })).map((name): Level => {
      rank = gen(() => fc.integer({ min: rank, max: 2 }));
      saves = gen(() => fc.constantFrom(0, 0.25, 0.5, 0.9, 1).filter((share) => saves <= share));
      features = { ...features };
      for (const flag of Object.keys(flags)) features = { ...features, [flag]: gen(() => fc.boolean()) };
      for (const { name: of, divertTo } of classes) {
        const fitting = [
          "serve",
          "queue",
          "refuse",
          ...(keepsAnswers ? ["stale"] : []),
          ...(divertTo ? ["divert"] : []),
        ];
        const treatment = gen(() => fc.constantFrom(...fitting)) as Level["classes"][string];
        if (Object.hasOwn(treatments, of) || gen(() => fc.boolean()))
          treatments = { ...treatments, [of]: treatment };
      }
      return { name, mode: modes[rank] as Level["mode"], flags: features, classes: treatments, saves };
    });
    if (steps.length === 0) return null;
    const automatic = gen(() => fc.integer({ min: 0, max: steps.length }));
    const page = gen(() =>
      fc.option(fc.constantFrom({ status: 200, contentType: "text/plain", body: "back: soon\n" })),
    );
    return { automatic, flags, page, steps };
  });
}
