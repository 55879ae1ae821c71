/** What is wrong between a service's classes and its levels. */
import type { LevelMode } from "../model/degradation.ts";
import type { Breach, Draft, Drafts } from "./draft.ts";
import type { Path } from "./read.ts";
import { offer, quote } from "./scalar.ts";

/** Each is a label of metrics, and looked at for every request. */
const classesMax = 16;
/** One digit for who types it at night. */
const levelsMax = 9;

const modeRanks: Readonly<Record<LevelMode, number>> = { rw: 0, ro: 1, static: 2 };

export function degradations(drafts: Drafts): readonly Breach[] {
  return drafts.Service.flatMap((draft) => [...classBreaches(draft), ...levelBreaches(draft)]);
}

type Tell = (path: Path, message: string, hint: string) => void;

function collector(draft: Draft<"Service">): { readonly found: Breach[]; readonly tell: Tell } {
  const found: Breach[] = [];
  return { found, tell: (path, message, hint) => found.push({ draft, path, message, hint }) };
}

function classBreaches(draft: Draft<"Service">): readonly Breach[] {
  const { found, tell } = collector(draft);
  const classes = draft.spec.classes ?? [];
  if (classes.length > classesMax)
    tell(["spec", "classes"], `it has ${classes.length} classes`, `${classesMax} at most`);
  const endpoints = (draft.spec.endpoints ?? []).map((endpoint) => endpoint?.region);
  const isWhole = endpoints.every((region) => region !== undefined);
  for (const [index, each] of classes.entries()) {
    if (each?.name === "other")
      tell(["spec", "classes", index, "name"], `no class is called "other"`, "what no class matches is");
    // Where it does not run, nothing can be sent.
    for (const [at, region] of (each?.divertTo ?? []).entries())
      if (region !== undefined && isWhole && !endpoints.includes(region))
        tell(
          ["spec", "classes", index, "divertTo", at],
          `${quote(draft.name ?? "this service")} has no endpoint in ${quote(region)}`,
          offer(region, endpoints as readonly string[], "endpoint"),
        );
    const match = each?.match;
    const takesAll = match?.methods?.length === 0 && match.paths?.length === 0 && match.header === null;
    const next = classes[index + 1];
    if (takesAll && next !== undefined)
      tell(
        ["spec", "classes", index, "name"],
        `class ${quote(each?.name ?? String(index))} matches everything, and none after it is ever reached`,
        `give it a match, or put it last, behind ${quote(next.name ?? String(index + 1))}`,
      );
  }
  return found;
}

function levelBreaches(draft: Draft<"Service">): readonly Breach[] {
  const { found, tell } = collector(draft);
  const { classes = [], levels = {}, rules } = draft.spec;
  const { steps = [], flags = {}, automatic } = levels;
  const path = (...rest: Path): Path => ["spec", "levels", ...rest];
  if (steps.length > levelsMax)
    tell(path("steps"), `it has ${steps.length} levels`, `${levelsMax} at most, besides level 0`);
  if (automatic !== undefined && steps.length < automatic)
    tell(
      path("automatic"),
      `there is no level ${automatic}`,
      `it has ${steps.length}: add steps, or say less`,
    );
  const names = classes.map((each) => each?.name);
  let mode: LevelMode = "rw";
  let saves = 0;
  for (const [index, step] of steps.entries()) {
    const at = (...rest: Path): Path => path("steps", index, ...rest);
    const level = `level ${index + 1}`;
    for (const [name, treatment] of Object.entries(step?.classes ?? {})) {
      const known = names.filter((each) => each !== undefined);
      const named = classes.find((each) => each?.name === name);
      if (named === undefined && known.length === names.length)
        tell(at("classes", name), `unknown class ${quote(name)}`, offer(name, known, "class"));
      if (named !== undefined && treatment === "divert" && named.divertTo?.length === 0)
        tell(
          at("classes", name),
          `class ${quote(name)} does not say where it is diverted to`,
          `add "divertTo: [REGION]" to the class`,
        );
      if (treatment === "stale" && rules?.staleMax === 0)
        tell(
          at("classes", name),
          `nothing is kept of ${quote(draft.name ?? "this service")}`,
          "set rules.staleMax: how old an answer may be that is served",
        );
    }
    for (const flag of Object.keys(step?.flags ?? {}))
      if (!Object.hasOwn(flags, flag))
        tell(at("flags", flag), `unknown flag ${quote(flag)}`, flagHint(flag, Object.keys(flags)));
    if (step?.mode && modeRanks[step.mode] < modeRanks[mode])
      tell(
        at("mode"),
        `${level} is ${step.mode}, and the one below is ${mode}`,
        "a higher level gives nothing back: put it below, or name the stricter mode",
      );
    if (step?.mode) mode = step.mode;
    if (step?.saves !== undefined && step.saves !== null && step.saves < saves)
      tell(
        at("saves"),
        `${level} saves less than the one below`,
        "it is a share of the load at level 0, and levels only leave out more",
      );
    saves = step?.saves ?? saves;
  }
  return found;
}

function flagHint(flag: string, known: readonly string[]): string {
  if (known.length === 0) return `say under levels.flags what it is at level 0: "${flag}: true"`;
  return `${offer(flag, known, "flag")}; levels.flags says what each is at level 0`;
}
