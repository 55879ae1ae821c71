/** Regions, ports and folders in, the text of a `holdfast.yaml` out: what the demo, the lab and tests start from. */
import { leaseProfiles, type ProfileName } from "../model/profile.ts";
import type { ServiceRules } from "../model/rules.ts";
import type {
  ControlStore,
  DataStore,
  JourneyStep,
  Objectives,
  PolicyMode,
  Region,
  Topology,
} from "../model/topology.ts";
import { writeTopology } from "./write.ts";

export interface Composition {
  readonly name?: string;
  readonly mode?: PolicyMode;
  readonly profile?: ProfileName;
  readonly store: ControlStore;
  readonly replication?:
    | { readonly kind: "synchronous"; readonly acknowledgements: number; readonly strict: boolean }
    | { readonly kind: "asynchronous"; readonly rpoMs: number };
  readonly service?: string;
  readonly dataStore?: string;
  readonly objectives?: Objectives;
  readonly demandRps?: number;
  /** Jurisdictions that the rows of the data store may be in; empty: any. */
  readonly jurisdictions?: readonly string[];
  /** What seeding a standby may take; none: all there is. */
  readonly seedMegabytesPerSecondMax?: number;
  readonly backups?: DataStore["backups"];
  readonly rules?: Partial<ServiceRules>;
  /** Steps of the one journey; none: no journey. */
  readonly journey?: readonly JourneyStep[];
  /** In the order of the failover plan and of preference. */
  readonly regions: readonly ComposedRegion[];
  /** First lines of the text. */
  readonly comment?: string;
}

/** A region with all that is in it; every port on `host`. */
export interface ComposedRegion {
  readonly name: string;
  readonly host?: string;
  readonly jurisdiction?: string;
  readonly role?: Region["role"];
  readonly failureDomains?: Readonly<Record<string, string>>;
  readonly capacityRps?: number;
  readonly agentPort: number;
  /** The member of the data store here. */
  readonly member?: {
    readonly name: string;
    readonly port: number;
    readonly gatePort: number;
    readonly dataDir: string;
    readonly promotable?: boolean;
  };
  /** The instance of the service here. */
  readonly servicePort?: number;
  readonly edge?: {
    readonly name: string;
    readonly httpPort: number;
    readonly adminPort: number;
    readonly tcpPort: number;
    readonly stateDir: string;
  };
}

const defaultRules: ServiceRules = {
  holdMaxMs: 10_000,
  holdMaxCount: 1000,
  tryTimeoutMs: 2000,
  retryBudget: 0.2,
  staleMaxMs: 0,
  ttlMs: 5000,
};

/** Relative folders stay relative: the text can be read wherever it is written. */
export function composeTopology(composition: Composition): string {
  const { service = "orders", dataStore = "orders-db", regions } = composition;
  const { kind: replication, ...promise } = composition.replication ?? {
    kind: "synchronous",
    acknowledgements: 1,
    strict: false,
  };
  const steps = composition.journey ?? [];
  const topology: Omit<Topology, "digest"> = {
    name: composition.name ?? service,
    mode: composition.mode ?? "auto",
    profile: leaseProfiles[composition.profile ?? "balanced"],
    store: composition.store,
    failback: { mode: "manual", stableForMs: 600_000, perDayMax: 1 },
    regions: regions.map((region) => ({
      name: region.name,
      jurisdiction: region.jurisdiction ?? "eu",
      role: region.role ?? "active",
      failureDomains: region.failureDomains ?? {},
      capacityRps: region.capacityRps ?? 0,
      agent: at(region, region.agentPort),
    })),
    dataStores: [
      {
        name: dataStore,
        engine: "postgresql",
        replication,
        acknowledgements: 0,
        strict: false,
        rpoMs: 0,
        ...promise,
        jurisdictions: composition.jurisdictions ?? [],
        ...(composition.seedMegabytesPerSecondMax !== undefined && {
          seedMegabytesPerSecondMax: composition.seedMegabytesPerSecondMax,
        }),
        ...(composition.backups && { backups: composition.backups }),
        members: regions.flatMap((region) => {
          if (region.member === undefined) return [];
          const { name, port, gatePort, dataDir, promotable = true } = region.member;
          const [address, gate] = [at(region, port), at(region, gatePort)];
          return [{ name, region: region.name, address, gate, dataDir, promotable }];
        }),
      },
    ],
    services: [
      {
        name: service,
        tier: 0,
        objectives: composition.objectives ?? { availability: 0.9999, rtoMs: 15_000, rpoMs: 0 },
        dataStores: [dataStore],
        allow: [],
        demandRps: composition.demandRps ?? 0,
        endpoints: regions.flatMap((region) => {
          if (region.servicePort === undefined) return [];
          const { host, port } = at(region, region.servicePort);
          return [{ region: region.name, url: `http://${host}:${port}`, healthPath: "/healthz", weight: 1 }];
        }),
        journeys:
          steps.length === 0 ? [] : [{ name: `use-${service}`, everyMs: 5000, timeoutMs: 2000, steps }],
        rules: { ...defaultRules, ...composition.rules },
      },
    ],
    edges: regions.flatMap((region) => {
      if (region.edge === undefined) return [];
      const { name, httpPort, adminPort, tcpPort, stateDir } = region.edge;
      const [http, admin] = [at(region, httpPort), at(region, adminPort)];
      return [
        { name, region: region.name, http, admin, tcp: { [dataStore]: at(region, tcpPort) }, stateDir },
      ];
    }),
  };
  return writeTopology(topology, composition.comment);
}

function at(region: ComposedRegion, port: number) {
  return { host: region.host ?? "127.0.0.1", port };
}
