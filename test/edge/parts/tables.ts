/** Signed routing tables for tests, with a key pair of their own. */
import { generateKeyPairSync } from "node:crypto";
import type { RoutingTable, ServiceRoute, SignedTable, Target } from "../../../src/core/model/routing.ts";
import { digestOf } from "../../../src/core/traffic/accept.ts";
import { sha256, signTable } from "../../../src/edge/signature.ts";

const pair = generateKeyPairSync("ed25519");
const privatePem = pair.privateKey.export({ type: "pkcs8", format: "pem" }) as string;
export const keyId = "test-key";
export const keys = {
  [keyId]: pair.publicKey.export({ type: "spki", format: "der" }).toString("base64"),
};
export const adminToken = "a-token-for-tests-only";

export const rules: ServiceRoute["rules"] = {
  holdMaxMs: 8000,
  holdMaxCount: 1000,
  tryTimeoutMs: 500,
  retryBudget: 0.2,
  staleMaxMs: 0,
  ttlMs: 5000,
};

export function target(region: string, port: number, weight = 1): Target {
  return { region, url: `http://127.0.0.1:${port}`, healthPath: "/healthz", weight };
}

export function service(targets: readonly Target[], more: Partial<ServiceRoute> = {}): ServiceRoute {
  return {
    mode: "rw",
    dataStores: [],
    targets,
    allow: ["west", "central", "east"],
    rules,
    ...more,
  };
}

export function table(
  generation: number,
  content: Partial<RoutingTable> & Pick<RoutingTable, "services">,
): RoutingTable {
  const draft: RoutingTable = {
    schema: 1,
    topology: "t1",
    epoch: 1,
    generation,
    digest: "",
    digestBefore: "",
    issuedAt: 0,
    issuedBy: "west",
    because: `generation ${generation} of a test`,
    regions: { west: "active", central: "active", east: "standby" },
    stores: {},
    ...content,
  };
  return { ...draft, digest: digestOf(draft, sha256) };
}

export function signed(unsigned: RoutingTable): SignedTable {
  return signTable(unsigned, keyId, privatePem);
}
