/** A topology and tables for tests of routing. */
import { createHash } from "node:crypto";
import { leaseProfiles } from "../../../src/core/model/profile.ts";
import type { RoutingTable } from "../../../src/core/model/routing.ts";
import type { Topology } from "../../../src/core/model/topology.ts";
import { digestOf } from "../../../src/core/traffic/accept.ts";
import { type CompileArguments, compileTable, type RoutingFacts } from "../../../src/core/traffic/compile.ts";

export const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

const at = (port: number) => ({ host: "127.0.0.1", port });
const member = (name: string, region: string, port: number) => ({
  name,
  region,
  address: at(port),
  gate: at(port + 1),
  dataDir: `/tmp/${name}`,
  promotable: true,
});
const endpoint = (region: string, port: number) => ({
  region,
  url: `http://127.0.0.1:${port}`,
  healthPath: "/healthz",
  weight: 1,
});
const region = (name: string, role: "active" | "standby" | "witness") => ({
  name,
  jurisdiction: "eu",
  role,
  failureDomains: {},
  capacityRps: 0,
  agent: at(1),
});

export const topology: Topology = {
  name: "test",
  digest: "topology-1",
  mode: "auto",
  profile: leaseProfiles.fast,
  store: { kind: "embedded", path: "/tmp/store" },
  failback: { mode: "manual", stableForMs: 0, perDayMax: 1 },
  regions: [
    region("west", "active"),
    region("central", "active"),
    region("east", "standby"),
    region("watch", "witness"),
  ],
  dataStores: [
    {
      name: "orders-db",
      engine: "postgresql",
      replication: "synchronous",
      acknowledgements: 1,
      strict: true,
      rpoMs: 0,
      jurisdictions: [],
      members: [member("pg-west", "west", 5001), member("pg-central", "central", 5003)],
    },
  ],
  services: [
    {
      name: "orders",
      tier: 0,
      objectives: { availability: 0.999, rtoMs: 3000, rpoMs: 0 },
      dataStores: ["orders-db"],
      allow: ["west", "central", "east"],
      demandRps: 0,
      // Not in the order of the plan: the table's targets are.
      endpoints: [endpoint("east", 8003), endpoint("west", 8001), endpoint("central", 8002)],
      journeys: [],
      rules: {
        holdMaxMs: 8000,
        holdMaxCount: 1000,
        tryTimeoutMs: 2000,
        retryBudget: 0.2,
        staleMaxMs: 0,
        ttlMs: 5000,
      },
    },
  ],
  edges: [],
};

export const facts: RoutingFacts = {
  stores: { "orders-db": { epoch: 3, writer: "pg-west", changing: false } },
  regions: {},
  health: {},
  modes: {},
};

export function compile(more: Partial<CompileArguments> = {}): RoutingTable {
  return compileTable({
    topology,
    facts,
    previous: null,
    issuedAt: 1000,
    issuedBy: "west",
    digest: sha256,
    ...more,
  });
}

/** Changed as an attacker or a bug might, but with a digest that fits. */
export function altered(table: RoutingTable, change: Partial<RoutingTable>): RoutingTable {
  const draft = { ...table, ...change };
  return { ...draft, digest: digestOf(draft, sha256) };
}
