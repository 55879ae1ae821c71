/** What no single field can show: things that are there twice, and places that are not allowed. */
import { degradations } from "./degradation-rules.ts";
import { doubles } from "./doubles.ts";
import type { Breach, Draft, Drafts } from "./draft.ts";
import { servingBreaches } from "./edge-rules.ts";
import { folders } from "./folders.ts";
import { quote } from "./scalar.ts";
import { requestLimitBreaches } from "./traffic-rules.ts";
import { formatDuration } from "./units.ts";

export function breaches(drafts: Drafts, baseDir: string): readonly Breach[] {
  return [
    ...doubles(drafts),
    ...folders(drafts, baseDir),
    ...placements(drafts),
    ...services(drafts),
    ...degradations(drafts),
    ...servingBreaches(drafts),
  ];
}

/** Members only where their rows may be, and where there is more than a vote. */
function placements(drafts: Drafts): readonly Breach[] {
  const found: Breach[] = [];
  for (const draft of drafts.DataStore) {
    const jurisdictions = (draft.spec.sovereignty?.jurisdictions ?? []).filter(isThere);
    for (const [index, member] of (draft.spec.members ?? []).entries()) {
      const region = drafts.Region.find(({ name }) => name !== undefined && name === member?.region);
      if (region === undefined || member === undefined) continue;
      const path = ["spec", "members", index, "region"];
      const there = region.spec.jurisdiction;
      const member_ = `member ${quote(member.name ?? String(index))}`;
      if (region.spec.role === "witness") {
        const hint =
          "a witness only watches and votes: give the region another role, or the member another region";
        const first = { draft: region, path: ["spec", "role"], label: "a witness" };
        found.push({ draft, path, message: `${member_} is in witness ${quote(region.name!)}`, hint, first });
      }
      if (there !== undefined && jurisdictions.length > 0 && !jurisdictions.includes(there)) {
        const message = `${member_} is in jurisdiction ${quote(there)}`;
        const hint = `its rows may be in ${jurisdictions.join(", ")} only`;
        const first = { draft, path: ["spec", "sovereignty", "jurisdictions"], label: "the limit" };
        found.push({ draft, path, message, hint, first });
      }
    }
    found.push(...backupPlace(draft));
  }
  return found;
}

/** Only hosts of members may copy from members; and where a member may be, its rows may be. */
function backupPlace(draft: Draft<"DataStore">): readonly Breach[] {
  const region = draft.spec.backups?.region;
  const regions = (draft.spec.members ?? []).map((member) => member?.region);
  if (region === undefined || regions.includes(region) || regions.includes(undefined)) return [];
  const path = ["spec", "backups", "region"];
  const message = `backups are kept in ${quote(region)}, where the data store has no member`;
  const hint = `PostgreSQL lets only hosts of members copy its data: take one of ${[...new Set(regions)].join(", ")}`;
  return [{ draft, path, message, hint }];
}

function services(drafts: Drafts): readonly Breach[] {
  const found: Breach[] = [];
  const serving = drafts.Region.filter(({ spec }) => spec.role !== "witness");
  for (const draft of drafts.Service) {
    const regions = (draft.spec.sovereignty?.regions ?? []).filter(isThere);
    const jurisdictions = (draft.spec.sovereignty?.jurisdictions ?? []).filter(isThere);
    const allowed = serving
      .filter((region) => mayServe(region, regions, jurisdictions))
      .map(({ name }) => name);
    for (const [index, endpoint] of (draft.spec.endpoints ?? []).entries()) {
      const region = drafts.Region.find(({ name }) => name !== undefined && name === endpoint?.region);
      if (region === undefined || allowed.includes(region.name)) continue;
      const path = ["spec", "endpoints", index, "region"];
      const witness = region.spec.role === "witness";
      const message = `region ${quote(region.name!)} may not serve ${quote(draft.name ?? "this service")}`;
      const hint = witness
        ? "a witness only watches and votes"
        : `its sovereignty allows ${allowed.filter(isThere).join(", ") || "no region"}`;
      const first = witness
        ? { draft: region, path: ["spec", "role"], label: "a witness" }
        : { draft, path: ["spec", "sovereignty"], label: "the limit" };
      found.push({ draft, path, message, hint, first });
    }
    if (allowed.length === 0 && serving.length > 0 && regions.length + jurisdictions.length > 0) {
      const message = `no region may serve ${quote(draft.name ?? "this service")}`;
      const hint = "a region must pass both lists, and a witness serves nothing: widen one of them";
      found.push({ draft, path: ["spec", "sovereignty"], message, hint });
    }
    found.push(
      ...requestLimitBreaches(drafts, draft, (some, lawful) =>
        serving
          .filter((region) => allowed.includes(region.name) && mayServe(region, some, lawful))
          .map(({ name }) => name),
      ),
    );
    for (const [index, journey] of (draft.spec.journeys ?? []).entries()) {
      if (journey?.timeout === undefined || journey.every === undefined || journey.timeout <= journey.every)
        continue;
      const path = ["spec", "journeys", index, "timeout"];
      const message = `timeout ${formatDuration(journey.timeout)} is longer than every ${formatDuration(journey.every)}`;
      found.push({ draft, path, message, hint: "a journey ends before it begins again" });
    }
  }
  return found;
}

/** Empty lists allow all. */
export function mayServe(
  region: Draft<"Region">,
  regions: readonly string[],
  jurisdictions: readonly string[],
): boolean {
  const { role, jurisdiction } = region.spec;
  const named = regions.length === 0 || (region.name !== undefined && regions.includes(region.name));
  const lawful =
    jurisdictions.length === 0 || jurisdiction === undefined || jurisdictions.includes(jurisdiction);
  return role !== "witness" && named && lawful;
}

function isThere<T>(value: T | undefined): value is T {
  return value !== undefined;
}
