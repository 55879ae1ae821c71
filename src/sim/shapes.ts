/** The worlds that are simulated: how many regions, members and voters, and what is asked of them. */
import { leaseProfiles, type ProfileName } from "../core/model/profile.ts";
import type { DataStore, PolicyMode, Topology } from "../core/model/topology.ts";

export interface Shape {
  readonly profile: ProfileName;
  readonly mode: PolicyMode;
  /** Regions that hold a member; the first is made the first primary. */
  readonly members: number;
  /** Regions that only vote. */
  readonly witnesses: number;
  readonly replication: DataStore["replication"];
  readonly acknowledgements: number;
  readonly strict: boolean;
  readonly rpoMs: number;
  /** The last member's region is in a jurisdiction that the rows may not be in. */
  readonly foreignRegion: boolean;
  readonly edges: number;
}

export const plainShape: Shape = {
  profile: "balanced",
  mode: "auto",
  members: 3,
  witnesses: 0,
  replication: "synchronous",
  acknowledgements: 1,
  strict: false,
  rpoMs: 0,
  foreignRegion: false,
  edges: 2,
};

const places = ["west", "central", "east", "north", "south", "far"];

export const storeName = "orders-db";

export function topologyOf(shape: Shape): Topology {
  const count = shape.members + shape.witnesses;
  const regions = places.slice(0, count).map((name, index) => ({
    name,
    jurisdiction: shape.foreignRegion && index === shape.members - 1 ? "elsewhere" : "here",
    role: index < shape.members ? ("active" as const) : ("witness" as const),
    failureDomains: {},
    capacityRps: 0,
    agent: { host: name, port: 7000 },
  }));
  const serving = regions.slice(0, shape.members).map((region) => region.name);
  const dataStore: DataStore = {
    name: storeName,
    engine: "postgresql",
    replication: shape.replication,
    acknowledgements: shape.replication === "synchronous" ? shape.acknowledgements : 0,
    strict: shape.strict,
    rpoMs: shape.rpoMs,
    jurisdictions: shape.foreignRegion ? ["here"] : [],
    members: serving.map((region) => ({
      name: `pg-${region}`,
      region,
      address: { host: region, port: 5432 },
      gate: { host: region, port: 6432 },
      dataDir: `/var/lib/holdfast/${region}`,
      promotable: true,
    })),
  };
  return {
    name: "simulated",
    digest: `simulated-${shape.members}-${shape.witnesses}-${shape.profile}`,
    mode: shape.mode,
    profile: leaseProfiles[shape.profile],
    store: { kind: "embedded", path: "/var/lib/holdfast/store.db" },
    failback: { mode: "manual", stableForMs: 60_000, perDayMax: 1 },
    regions,
    dataStores: [dataStore],
    services: [
      {
        name: "orders",
        tier: 0,
        objectives: { availability: 0.999, rtoMs: 30_000, rpoMs: shape.rpoMs },
        dataStores: [storeName],
        allow: serving,
        demandRps: 0,
        endpoints: serving.map((region) => ({
          region,
          url: `http://${region}:8080`,
          healthPath: "/health",
          weight: 1,
        })),
        journeys: [],
        rules: {
          holdMaxMs: 10_000,
          holdMaxCount: 1000,
          tryTimeoutMs: 2000,
          retryBudget: 0.2,
          staleMaxMs: 0,
          ttlMs: 5000,
        },
      },
    ],
    edges: serving.slice(0, shape.edges).map((region) => ({
      name: `edge-${region}`,
      region,
      http: { host: region, port: 8443 },
      admin: { host: region, port: 7001 },
      tcp: { [storeName]: { host: region, port: 5433 } },
      stateDir: `/var/lib/holdfast/edge-${region}`,
    })),
  };
}
