/** Which processes a region needs, and what each is told: topology in, configurations out. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execve } from "node:process";
import type { Member, Topology } from "../core/model/topology.ts";

export interface UnitPlace {
  readonly topology: Topology;
  readonly region: string;
  /** What the agent, the edge and the fencers of this region keep between starts. */
  readonly stateDir: string;
}

export function membersIn(topology: Topology, region: string): Member[] {
  return topology.dataStores.flatMap((store) => store.members.filter((member) => member.region === region));
}

/** Names and addresses of everybody whom a process of this topology may have to reach. */
export function hostsOf({ regions, dataStores, services, edges, store }: Topology): ReadonlySet<string> {
  const urls = [
    ...services.flatMap(({ endpoints }) => endpoints.map(({ url }) => url)),
    ...(store.kind === "etcd" ? store.endpoints : []),
  ];
  const addresses = [
    ...regions.map(({ agent }) => agent),
    ...dataStores.flatMap(({ members }) => members.flatMap(({ address, gate }) => [address, gate])),
    ...edges.flatMap(({ http, admin, tcp }) => [http, admin, ...Object.values(tcp)]),
  ];
  // A URL writes an IPv6 address in brackets.
  const named = urls.map((url) => new URL(url).hostname.replace(/^\[|\]$/g, ""));
  return new Set([...named, ...addresses.map(({ host }) => host)]);
}

export function fencerSocket(place: UnitPlace, member: string): string {
  return join(place.stateDir, `fencer-${member}.sock`);
}

/** Written to the state folder; returns the path of the file. */
export function writeFencerConfig(place: UnitPlace, member: Member): string {
  return writeConfig(place, `fencer-${member.name}.json`, {
    member: member.name,
    dataDir: member.dataDir,
    socket: fencerSocket(place, member.name),
    stateFile: join(place.stateDir, `fencer-${member.name}.state.json`),
    graceMs: Math.min(place.topology.profile.leaseMs, 600_000),
    aheadMaxMs: place.topology.profile.leaseMs,
  });
}

/**
 * `secrets`: what edges of this topology believe. `name`: which edge, where a region has several. `clients`: how clients
 * are served as far as the topology does not say; what both say must be said in one place.
 */
export function writeEdgeConfig(
  place: UnitPlace,
  secrets: { readonly token: string; readonly publicKeys: Readonly<Record<string, string>> },
  name: string | null,
  clients: object = {},
): string {
  const { topology, region } = place;
  const edges = topology.edges.filter(
    (edge) => edge.region === region && (name === null || edge.name === name),
  );
  const edge = edges[0];
  if (!edge || edges.length > 1)
    throw new Error(
      edge
        ? `${region} has ${edges.length} edges (${edges.map((one) => one.name).join(", ")}): name one with --edge`
        : `no edge ${name ?? ""} in region ${region} of topology ${topology.name}`,
    );
  const { processes, tls, cache, concurrency, trustedProxies } = edge;
  const serving = Object.fromEntries(
    Object.entries({ processes, tls, cache, concurrency, trustedProxies }).filter(
      ([, value]) => value !== undefined,
    ),
  );
  const twice = Object.keys(serving).filter((field) => Object.hasOwn(clients, field));
  if (twice.length > 0)
    throw new Error(
      `${twice.join(" and ")} of ${edge.name} stands in the topology and in the file of --clients: say it in one of them`,
    );
  // The gates of a region stand in its first edge.
  const isFirst = topology.edges.find((candidate) => candidate.region === region)?.name === edge.name;
  return writeConfig(place, `${edge.name}.json`, {
    ...clients,
    ...serving,
    name: edge.name,
    region,
    http: edge.http,
    admin: edge.admin,
    tcp: edge.tcp,
    gates: isFirst
      ? topology.dataStores.flatMap((store) =>
          store.members
            .filter((member) => member.region === region)
            .map((member) => ({
              member: member.name,
              dataStore: store.name,
              listen: member.gate,
              target: member.address,
            })),
        )
      : [],
    stateDir: edge.stateDir,
    names: [...hostsOf(topology)],
    keys: secrets.publicKeys,
    adminToken: secrets.token,
  });
}

function writeConfig(place: UnitPlace, file: string, config: object): string {
  mkdirSync(place.stateDir, { recursive: true });
  const path = join(place.stateDir, file);
  // It carries the token. A torn one is refused at the start and written anew.
  writeFileSync(path, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
  return path;
}

/** Becomes the light process itself: same process id, none of the command line's memory. `args`: of Node. */
export function become(args: readonly string[]): never {
  if (!execve) throw new Error(`this Node has no process.execve; start it as: node ${args.join(" ")}`);
  // Standard streams are inherited as they are.
  execve(process.execPath, [process.execPath, ...args], process.env as Record<string, string>);
  throw new Error("execve came back");
}
