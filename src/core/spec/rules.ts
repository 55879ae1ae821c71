/** What no single field can show: equal names, ports and folders, places that are not allowed, counts of kinds. */
import type { Address } from "../model/topology.ts";
import type { KindName, SpecOf } from "./language.ts";
import { kindNames } from "./language.ts";
import type { Place } from "./problem.ts";
import type { Path } from "./read.ts";
import { quote } from "./scalar.ts";
import type { Rough } from "./shape.ts";
import { absolutePath, formatAddress, formatDuration, parseOrigin } from "./units.ts";

/** One document, as far as it could be decoded. */
export interface Draft<K extends KindName> {
  readonly kind: K;
  /** undefined: it has none that could be read. */
  readonly name: string | undefined;
  readonly spec: Rough<SpecOf<K>>;
  readonly at: (path: Path) => Place;
}

export type Drafts = { readonly [K in KindName]: readonly Draft<K>[] };

export interface Breach {
  readonly draft: Draft<KindName>;
  readonly path: Path;
  readonly message: string;
  readonly hint: string;
  readonly first?: { readonly draft: Draft<KindName>; readonly path: Path; readonly label: string };
}

export function breaches(drafts: Drafts, baseDir: string): readonly Breach[] {
  return [
    ...kindNames.flatMap((kind) => doubles(namesOf(drafts, kind))),
    ...doubles(membersOf(drafts)),
    ...drafts.Topology.slice(1).map((draft) => second(drafts, draft)),
    ...doubles(addressesOf(drafts)),
    ...drafts.Service.flatMap((service) => [
      ...doubles(endpointsOf(service)),
      ...doubles(urlsOf(service)),
      ...doubles(journeysOf(service)),
    ]),
    ...folders(drafts, baseDir),
    ...placements(drafts),
    ...services(drafts),
  ];
}

/** Something of which there may be one only. */
interface Unique {
  readonly draft: Draft<KindName>;
  readonly path: Path;
  readonly key: string;
  /** As in `port 127.0.0.1:5401`. */
  readonly what: string;
  readonly hint: string;
}

function doubles(uniques: readonly Unique[]): readonly Breach[] {
  const seen = new Map<string, Unique>();
  const found: Breach[] = [];
  for (const unique of uniques) {
    const first = seen.get(unique.key);
    if (first === undefined) seen.set(unique.key, unique);
    else {
      const { draft, path, what, hint } = unique;
      const label = `${what} is taken here first`;
      found.push({ draft, path, message: `${what} is taken twice`, hint, first: { ...first, label } });
    }
  }
  return found;
}

function namesOf(drafts: Drafts, kind: KindName): readonly Unique[] {
  return drafts[kind].flatMap((draft) =>
    draft.name === undefined
      ? []
      : [
          {
            draft,
            path: ["metadata", "name"],
            key: draft.name,
            what: `the name ${quote(draft.name)} of a ${kind}`,
            hint: "give each its own name",
          },
        ],
  );
}

function second(drafts: Drafts, draft: Draft<"Topology">): Breach {
  const first = { draft: drafts.Topology[0]!, path: ["kind"], label: "the first Topology" };
  return { draft, path: ["kind"], message: "found a second Topology", hint: "one file describes one", first };
}

function membersOf(drafts: Drafts): readonly Unique[] {
  return drafts.DataStore.flatMap((draft) =>
    (draft.spec.members ?? []).flatMap((member, index) =>
      member?.name === undefined
        ? []
        : [
            {
              draft,
              path: ["spec", "members", index, "name"],
              key: member.name,
              what: `the member name ${quote(member.name)}`,
              hint: "members are unique within the topology, also across data stores",
            },
          ],
    ),
  );
}

function addressesOf(drafts: Drafts): readonly Unique[] {
  const all: Unique[] = [];
  const add = (draft: Draft<KindName>, path: Path, address: Rough<Address> | null | undefined) => {
    if (address?.host === undefined || address.port === undefined) return;
    const text = formatAddress({ host: address.host, port: address.port });
    const key = formatAddress({ host: hostKey(address.host), port: address.port });
    all.push({
      draft,
      path,
      key,
      what: `the address ${text}`,
      hint: "each listener needs a port of its own",
    });
  };
  for (const draft of drafts.Region) add(draft, ["spec", "agent"], draft.spec.agent);
  for (const draft of drafts.DataStore) {
    for (const [index, member] of (draft.spec.members ?? []).entries()) {
      add(draft, ["spec", "members", index, "address"], member?.address);
      add(draft, ["spec", "members", index, "gate"], member?.gate);
    }
  }
  for (const draft of drafts.Edge) {
    add(draft, ["spec", "http"], draft.spec.http);
    add(draft, ["spec", "admin"], draft.spec.admin);
    for (const [store, address] of Object.entries(draft.spec.tcp ?? {})) {
      add(draft, ["spec", "tcp", store], address);
    }
  }
  // Two services may stand behind one ingress; none may stand on a listener of ours.
  const ours = new Set(all.map((unique) => unique.key));
  for (const draft of drafts.Service) {
    for (const [index, endpoint] of (draft.spec.endpoints ?? []).entries()) {
      const address = endpoint?.url === undefined ? null : parseOrigin(endpoint.url);
      if (address && ours.has(formatAddress({ ...address, host: hostKey(address.host) }))) {
        add(draft, ["spec", "endpoints", index, "url"], address);
      }
    }
  }
  return all;
}

function hostKey(host: string): string {
  const lower = host.toLowerCase();
  return lower === "localhost" || lower === "::1" ? "127.0.0.1" : lower;
}

function endpointsOf(draft: Draft<"Service">): readonly Unique[] {
  return (draft.spec.endpoints ?? []).flatMap((endpoint, index) =>
    endpoint?.region === undefined
      ? []
      : [
          {
            draft,
            path: ["spec", "endpoints", index, "region"],
            key: endpoint.region,
            what: `an endpoint in region ${quote(endpoint.region)}`,
            hint: "a service has one endpoint a region; balance instances behind it",
          },
        ],
  );
}

function urlsOf(draft: Draft<"Service">): readonly Unique[] {
  return (draft.spec.endpoints ?? []).flatMap((endpoint, index) =>
    endpoint?.url === undefined
      ? []
      : [
          {
            draft,
            path: ["spec", "endpoints", index, "url"],
            key: endpoint.url.toLowerCase(),
            what: `the endpoint ${endpoint.url}`,
            hint: "one instance in two regions would not survive the loss of either",
          },
        ],
  );
}

function journeysOf(draft: Draft<"Service">): readonly Unique[] {
  return (draft.spec.journeys ?? []).flatMap((journey, index) =>
    journey?.name === undefined
      ? []
      : [
          {
            draft,
            path: ["spec", "journeys", index, "name"],
            key: journey.name,
            what: `the journey ${quote(journey.name)}`,
            hint: "journeys are unique within their service",
          },
        ],
  );
}

interface Folder {
  readonly draft: Draft<KindName>;
  readonly path: Path;
  readonly host: string;
  readonly folder: string;
}

/** The same folder on two hosts is two folders. One inside another is taken twice too: seeding empties a folder. */
function folders(drafts: Drafts, baseDir: string): readonly Breach[] {
  const all: Folder[] = [];
  for (const draft of drafts.DataStore) {
    for (const [index, member] of (draft.spec.members ?? []).entries()) {
      if (member?.dataDir === undefined || member.address?.host === undefined) continue;
      const folder = absolutePath(baseDir, member.dataDir);
      all.push({
        draft,
        path: ["spec", "members", index, "dataDir"],
        host: hostKey(member.address.host),
        folder,
      });
    }
  }
  for (const draft of drafts.Edge) {
    const { stateDir, admin } = draft.spec;
    if (stateDir === undefined || admin?.host === undefined) continue;
    const folder = absolutePath(baseDir, stateDir);
    all.push({ draft, path: ["spec", "stateDir"], host: hostKey(admin.host), folder });
  }
  return all.flatMap((later, index) => {
    const first = all
      .slice(0, index)
      .find((earlier) => earlier.host === later.host && overlap(earlier, later));
    if (first === undefined) return [];
    const same = first.folder === later.folder;
    const message = same
      ? `the folder ${later.folder} on ${later.host} is taken twice`
      : `the folders ${later.folder} and ${first.folder} on ${later.host} lie in one another`;
    const hint = "each member and each edge needs a folder of its own: seeding a member empties its folder";
    return [{ draft: later.draft, path: later.path, message, hint, first: { ...first, label: "the first" } }];
  });
}

function overlap(a: Folder, b: Folder): boolean {
  return `${a.folder}/`.startsWith(`${b.folder}/`) || `${b.folder}/`.startsWith(`${a.folder}/`);
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
  }
  return found;
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
