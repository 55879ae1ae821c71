/** Sound drafts in, the topology out: units are already compiled, here they get the names that the model uses. */
import { leaseProfiles } from "../model/profile.ts";
import type {
  ControlStore,
  DataStore,
  Edge,
  ForeignRouter,
  Region,
  Service,
  Topology,
} from "../model/topology.ts";
import { classesOf, levelsOf } from "./degradation.ts";
import type { Draft, Drafts } from "./draft.ts";
import { assembleServing, servingFields } from "./edge.ts";
import type { KindName, SpecOf } from "./language.ts";
import { mayServe } from "./rules.ts";
import { assembleTraffic, trafficFields } from "./traffic.ts";
import { absolutePath } from "./units.ts";

/** Every draft is whole: no problem was told of any. */
export function assemble(drafts: Drafts, baseDir: string, digest: (text: string) => string): Topology {
  const [topology] = drafts.Topology as readonly [Draft<"Topology">];
  const { mode, leaseProfile, store, failback } = whole(topology);
  return {
    name: nameOf(topology),
    digest: digest(canonical(drafts)),
    mode,
    profile: leaseProfiles[leaseProfile],
    store: controlStore(store, baseDir),
    failback: { mode: failback.mode, stableForMs: failback.stableFor, perDayMax: failback.perDayMax },
    regions: drafts.Region.map(region),
    dataStores: drafts.DataStore.map((draft) => dataStore(draft, baseDir)),
    services: drafts.Service.map((draft) => service(draft, drafts.Region)),
    edges: drafts.Edge.map((draft) => edge(draft, baseDir)),
    routers: drafts.Router.map((draft) => router(draft, baseDir)),
  };
}

function controlStore(store: SpecOf<"Topology">["store"], baseDir: string): ControlStore {
  if (store.kind === "etcd") return { kind: "etcd", endpoints: store.endpoints };
  return { kind: "embedded", path: absolutePath(baseDir, store.path) };
}

function region(draft: Draft<"Region">): Region {
  const { jurisdiction, role, failureDomains, capacity, agent } = whole(draft);
  const capacityRps = capacity.requestsPerSecond;
  return { name: nameOf(draft), jurisdiction, role, failureDomains, capacityRps, agent };
}

function dataStore(draft: Draft<"DataStore">, baseDir: string): DataStore {
  const { engine, replication, sovereignty, seeding, backups, members } = whole(draft);
  const promise =
    replication.kind === "synchronous"
      ? { acknowledgements: replication.acknowledgements, strict: replication.strict, rpoMs: 0 }
      : { acknowledgements: 0, strict: false, rpoMs: replication.rpo };
  return {
    name: nameOf(draft),
    engine,
    replication: replication.kind,
    ...promise,
    jurisdictions: sovereignty.jurisdictions,
    ...(seeding.megabytesPerSecondMax > 0 && { seedMegabytesPerSecondMax: seeding.megabytesPerSecondMax }),
    ...(backups && {
      backups: {
        region: backups.region,
        folder: absolutePath(baseDir, backups.folder),
        maxAgeMs: backups.maxAge,
        testMaxAgeMs: backups.testMaxAge,
      },
    }),
    members: members.map((member) => ({ ...member, dataDir: absolutePath(baseDir, member.dataDir) })),
  };
}

function service(draft: Draft<"Service">, regions: readonly Draft<"Region">[]): Service {
  const spec = whole(draft);
  const { availability, rto, rpo } = spec.objectives;
  const { holdMax, tryTimeout, staleMax, ttl, ...counts } = spec.rules;
  const allow = regions.filter((candidate) =>
    mayServe(candidate, spec.sovereignty.regions, spec.sovereignty.jurisdictions),
  );
  const traffic = assembleTraffic(spec, spec.sovereignty.requests, (limit) =>
    allow.filter((candidate) => mayServe(candidate, limit.regions, limit.jurisdictions)).map(nameOf),
  );
  return {
    name: nameOf(draft),
    tier: spec.tier,
    objectives: { availability, rtoMs: rto, rpoMs: rpo },
    dataStores: spec.dataStores,
    allow: allow.map(nameOf),
    demandRps: spec.demand.requestsPerSecond,
    endpoints: spec.endpoints,
    journeys: spec.journeys.map(({ name, every, timeout, steps }) => ({
      name,
      everyMs: every,
      timeoutMs: timeout,
      steps,
    })),
    rules: { ...counts, holdMaxMs: holdMax, tryTimeoutMs: tryTimeout, staleMaxMs: staleMax, ttlMs: ttl },
    ...(traffic && { traffic }),
    ...classesOf(spec.classes),
    ...levelsOf(spec.levels),
  };
}

function edge(draft: Draft<"Edge">, baseDir: string): Edge {
  const { region, http, admin, tcp, stateDir, ...rest } = whole(draft);
  const serving = assembleServing(rest, baseDir);
  return {
    name: nameOf(draft),
    region,
    http,
    admin,
    tcp,
    stateDir: absolutePath(baseDir, stateDir),
    ...serving,
  };
}

function router(draft: Draft<"Router">, baseDir: string): ForeignRouter {
  const { region, plane } = whole(draft);
  const { kind, http, stateDir } = plane;
  return { name: nameOf(draft), region, kind, http, stateDir: absolutePath(baseDir, stateDir) };
}

/** `Rough` is a value with holes, and this one has none. */
function whole<K extends KindName>(draft: Draft<K>): SpecOf<K> {
  return draft.spec as unknown as SpecOf<K>;
}

function nameOf(draft: Draft<KindName>): string {
  return draft.name as string;
}

/** Words that the language did not have at first: unused, they leave the digest of a file as it was for older agents. */
const cameLater: ReadonlySet<string> = new Set([
  ...Object.keys(trafficFields),
  ...Object.keys(servingFields),
  "requests",
  "backups",
]);

/** A file that does not use words which came later has the digest that it had before: agents of two versions agree. */
function withoutNewWords(spec: object): object {
  const added = {
    classes: [],
    levels: { automatic: 0, flags: {}, page: null, steps: [] },
    seeding: { megabytesPerSecondMax: 0 },
  };
  return Object.fromEntries(
    Object.entries(spec).filter(
      ([key, value]) =>
        !Object.hasOwn(added, key) ||
        JSON.stringify(value) !== JSON.stringify(added[key as keyof typeof added]),
    ),
  );
}

/**
 * What the digest is taken of: all values with defaults filled in, without comments, layout and the order of keys.
 * Paths stand as written, so that agents on several hosts, each with its own folder, run with the same topology.
 */
function canonical(drafts: Drafts): string {
  const documents = (Object.values(drafts) as readonly (readonly Draft<KindName>[])[])
    .flat()
    .map(({ kind, name, spec }) => ({ kind, name, spec: withoutNewWords(spec) }));
  return JSON.stringify(documents, (_key, value: unknown) =>
    value !== null && typeof value === "object" && !Array.isArray(value)
      ? Object.fromEntries(
          Object.entries(value)
            .filter(([key, below]) => below !== null || !cameLater.has(key))
            .sort(([a], [b]) => (a < b ? -1 : 1)),
        )
      : value,
  );
}
