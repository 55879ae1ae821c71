/** Signed tables for the bench: N services with a target in each of two regions. */
import type { RoutingTable, ServiceRoute, SignedTable, Target } from "../../src/core/model/routing.ts";
import { digestOf } from "../../src/core/traffic/accept.ts";
import { inCanonicalOrder } from "../../src/core/traffic/canonical.ts";
import { sha256 } from "../../src/edge/signature.ts";
import { signed } from "../parts/edge.ts";

export const regions = ["west", "central"] as const;
export type Region = (typeof regions)[number];
export type Ports = Readonly<Record<Region, number>>;

export function serviceNames(count: number): readonly string[] {
  return Array.from({ length: count }, (_, n) => `service-${n}`);
}

export function targetsOf(ports: Ports): readonly Target[] {
  return regions.map((region) => ({
    region,
    url: `http://127.0.0.1:${ports[region]}`,
    healthPath: "/",
    weight: 1,
  }));
}

export interface TableArguments {
  readonly generation: number;
  readonly drained: Region | null;
  readonly ports: Ports;
  readonly services: readonly string[];
  /** What differs from table to table, by service. */
  readonly holdMaxMs?: (at: number) => number;
}

export function makeTable({ generation, drained, ports, services, holdMaxMs }: TableArguments): SignedTable {
  const route = (at: number): ServiceRoute => ({
    mode: "rw",
    dataStores: [],
    targets: targetsOf(ports),
    allow: regions,
    rules: {
      holdMaxMs: holdMaxMs?.(at) ?? 10_000,
      holdMaxCount: 1000,
      tryTimeoutMs: 2000,
      retryBudget: 0.2,
      staleMaxMs: 0,
      ttlMs: 5000,
    },
  });
  const draft: RoutingTable = {
    schema: 1,
    topology: "bench",
    epoch: 1,
    generation,
    digest: "",
    digestBefore: "",
    issuedAt: 0,
    issuedBy: "west",
    because: "bench",
    regions: {
      west: drained === "west" ? "drained" : "active",
      central: drained === "central" ? "drained" : "active",
    },
    stores: {},
    services: Object.fromEntries(services.map((name, at) => [name, route(at)])),
  };
  // As the compiler leaves them.
  const table = inCanonicalOrder(draft);
  return signed({ ...table, digest: digestOf(table, sha256) });
}
