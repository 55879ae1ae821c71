/** Where everything of a lab is: folders, ports, names, and the topology text that says so. */
import { join } from "node:path";
import { findFreePorts } from "../adapters/adapters.ts";
import type { ProfileName } from "../core/model/profile.ts";
import { composeTopology } from "../core/spec/compose.ts";

export interface LabLayout {
  readonly root: string;
  readonly profile: ProfileName;
  readonly topologyFile: string;
  readonly topologyText: string;
  readonly secretsDir: string;
  readonly storeFile: string;
  readonly regions: readonly RegionLayout[];
}

export interface RegionLayout {
  readonly name: string;
  readonly dir: string;
  /** Where everything of the region listens. */
  readonly host: string;
  /** What the topology calls it. */
  readonly hostName: string;
  /** Put before every command of the region; empty: it lives in the network of the lab itself. */
  readonly prefix: readonly string[];
  readonly ports: RegionPorts;
  readonly member: { readonly name: string; readonly dataDir: string } | null;
}

export interface RegionPorts {
  readonly agent: number;
  readonly edge: number;
  readonly edgeAdmin: number;
  readonly edgeTcp: number;
  readonly gate: number;
  readonly postgres: number;
  readonly service: number;
  readonly etcdClient: number;
  readonly etcdPeer: number;
}

export const dataStoreName = "orders-db";

/** An address of its own for a region, and what puts a process there. */
export interface RegionNetwork {
  readonly address: string;
  /** By which those in a region know it; without: by its address. */
  readonly hostName?: string;
  readonly prefix: readonly string[];
}

/** Two regions that serve and one that votes, or three that serve. */
export const regionNames = ["eu-west", "eu-central", "eu-north"] as const;
const failureDomains = [
  { power: "grid-ie", network: "carrier-1" },
  { power: "grid-de", network: "carrier-2" },
  { power: "grid-se", network: "carrier-3" },
] as const;

const portsEach = 9;

export async function layOut(options: {
  readonly root: string;
  readonly profile: ProfileName;
  /** The third region has no member: it only votes. */
  readonly witness: boolean;
  /** `etcd`: one member of it in each region. */
  readonly store: "embedded" | "etcd";
  readonly rtoMs: number;
  /** 0, or not said: synchronous data; more: asynchronous. */
  readonly rpoMs?: number;
  /** Region -> its network; without: all of them on loopback, told apart by their ports. */
  readonly networks?: Readonly<Record<string, RegionNetwork>>;
  readonly seedMegabytesPerSecondMax?: number;
  /** Whether the topology asks for backups. */
  readonly withBackups?: boolean;
}): Promise<LabLayout> {
  const { root, profile, rpoMs = 0 } = options;
  const ports = await findFreePorts(regionNames.length * portsEach);
  const regions = regionNames.map((name, index): RegionLayout => {
    const [agent, edge, edgeAdmin, edgeTcp, gate, postgres, service, etcdClient, etcdPeer] = ports.slice(
      index * portsEach,
      (index + 1) * portsEach,
    ) as [number, number, number, number, number, number, number, number, number];
    const dir = join(root, name);
    const short = name.split("-")[1] ?? name;
    const isWitness = options.witness && index === 2;
    const network = options.networks?.[name];
    return {
      name,
      dir,
      host: network?.address ?? "127.0.0.1",
      hostName: network?.hostName ?? network?.address ?? "127.0.0.1",
      prefix: network?.prefix ?? [],
      ports: { agent, edge, edgeAdmin, edgeTcp, gate, postgres, service, etcdClient, etcdPeer },
      member: isWitness ? null : { name: `pg-${short}`, dataDir: join(dir, `pg-${short}`, "data") },
    };
  });
  const storeFile = join(root, "control", "store.db");
  const topologyText = composeTopology({
    name: "orders-demo",
    profile,
    store:
      options.store === "embedded"
        ? { kind: "embedded", path: storeFile }
        : {
            kind: "etcd",
            endpoints: regions.map(({ hostName, ports }) => `http://${hostName}:${ports.etcdClient}`),
          },
    ...(rpoMs > 0 && { replication: { kind: "asynchronous", rpoMs } }),
    objectives: { availability: 0.9999, rtoMs: options.rtoMs, rpoMs },
    ...(options.seedMegabytesPerSecondMax !== undefined && {
      seedMegabytesPerSecondMax: options.seedMegabytesPerSecondMax,
    }),
    ...(options.withBackups && {
      backups: {
        region: regionNames[0],
        folder: join(root, "backups"),
        maxAgeMs: 3_600_000,
        testMaxAgeMs: 3_600_000,
      },
    }),
    // 300 requests a second for the 15 s that each may wait, at one edge if need be.
    rules: { holdMaxMs: 15_000, holdMaxCount: 5000, tryTimeoutMs: 1000 },
    demandRps: 300,
    journey: [
      {
        method: "POST",
        path: "/orders",
        headers: { "content-type": "application/json" },
        body: '{"item":"journey","quantity":1}',
        expectStatus: 201,
      },
      { method: "GET", path: "/orders?limit=1", headers: {}, body: null, expectStatus: 200 },
    ],
    comment: "Written by `holdfast demo`: a service in three regions of one machine.",
    regions: regions.map((region, index) => ({
      name: region.name,
      host: region.hostName,
      jurisdiction: "eu",
      role: region.member ? "active" : "witness",
      failureDomains: failureDomains[index] ?? {},
      capacityRps: 1000,
      agentPort: region.ports.agent,
      ...(region.member
        ? {
            member: {
              name: region.member.name,
              port: region.ports.postgres,
              gatePort: region.ports.gate,
              dataDir: region.member.dataDir,
            },
            servicePort: region.ports.service,
          }
        : {}),
      edge: {
        name: `edge-${region.name}`,
        httpPort: region.ports.edge,
        adminPort: region.ports.edgeAdmin,
        tcpPort: region.ports.edgeTcp,
        stateDir: join(region.dir, "edge"),
      },
    })),
  });
  return {
    root,
    profile,
    topologyFile: join(root, "holdfast.yaml"),
    topologyText,
    secretsDir: join(root, "secrets"),
    storeFile,
    regions,
  };
}
