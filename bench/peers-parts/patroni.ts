/** Patroni on etcd: a member, an etcd and a proxy in each of three regions. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stringify } from "yaml";
import { etcdArguments } from "../../src/lab/etcd-arguments.ts";
import { prepareDatabase, untilStreaming } from "./peer-database.ts";
import { startFronts, systemRegions } from "./peer-fronts.ts";
import { PeerLab, type PeerRegion, ports } from "./peer-lab.ts";
import { postgresPrograms } from "./requirements.ts";
import type { RunningSystem, Surroundings, System } from "./system.ts";

interface PatroniSettings {
  /** `default`: as it comes. `fastest`: the least that its rule `loop_wait + 2 * retry_timeout <= ttl` and its floor permit. */
  readonly pace: "default" | "fastest";
  readonly mode: "asynchronous" | "synchronous" | "strict";
}

const paces = {
  default: { ttl: 30, loop_wait: 10, retry_timeout: 10 },
  fastest: { ttl: 20, loop_wait: 1, retry_timeout: 3, primary_start_timeout: 0 },
} as const;
const knownWithinMs = 60_000;
const words = { asynchronous: "async", synchronous: "sync", strict: "strict" } as const;

export function patroni(settings: PatroniSettings): System {
  const { pace, mode } = settings;
  const told = Object.entries(paces[pace]).map(([name, value]) => `${name} ${value}`);
  return {
    name: `patroni-${pace}-${words[mode]}`,
    settings: `${told.join(", ")}, ${mode === "strict" ? "synchronous_mode_strict" : mode}`,
    family: "patroni",
    replication: mode === "asynchronous" ? "asynchronous" : "synchronous",
    rpoMs: null,
    patienceMs: pace === "default" ? 90_000 : 60_000,
    start: (surroundings) => start(settings, surroundings),
  };
}

async function start(settings: PatroniSettings, { say, signal }: Surroundings): Promise<RunningSystem> {
  const { pace, mode } = settings;
  const lab = new PeerLab();
  try {
    for (const region of lab.regions) addEtcd(lab, region).start();
    const [first] = lab.regions;
    if (!first) throw new Error("there is no region");
    for (const region of lab.regions) addPatroni(lab, region, settings);
    manager(lab, first.name).start();
    say(`Patroni makes the first primary in ${first.name}`);
    await manager(lab, first.name).ready(signal);
    for (const { name } of lab.regions) manager(lab, name).start();
    say("its standbys are seeded");
    await untilStreaming(first, mode === "asynchronous" ? mode : "synchronous", signal);
    await untilKnown(first, signal);
    await prepareDatabase(lab, first);
    await startFronts(lab, { ask: "patroni", pace: pace === "fastest" ? "fast" : "manual" }, signal);
  } catch (error) {
    const explained = lab.explain(error as Error);
    await lab.close();
    throw signal.aborted ? error : explained;
  }
  return {
    network: lab.network,
    folder: lab.root,
    regions: systemRegions(lab),
    processes: (region) => lab.of(region),
    managers: (region) => {
      const { pid } = manager(lab, region);
      return pid === null ? [] : [pid];
    },
    switchOver: (from, within) => switchOver(lab.region(from), within),
    keepLogs: (to) => lab.keepLogs(to),
    returnRegion: async (region) => {
      for (const one of lab.of(region)) one.start();
    },
    close: () => lab.close(),
  };
}

/** Every member is known to every other by its state: Patroni promotes nobody whom it has not heard of, or who lags. */
async function untilKnown({ address }: PeerRegion, signal: AbortSignal): Promise<void> {
  const until = performance.now() + knownWithinMs;
  for (;;) {
    const answer = await fetch(`http://${address}:${ports.patroni}/cluster`, { signal });
    const { members } = (await answer.json()) as {
      readonly members: readonly { readonly role: string; readonly state: string; readonly lag?: number }[];
    };
    const isWell = ({ role, state, lag }: (typeof members)[number]) =>
      ["running", "streaming"].includes(state) && (role === "leader" || lag === 0);
    if (members.length === 3 && members.every(isWell)) return;
    if (until < performance.now()) throw new Error(`Patroni is not well: ${JSON.stringify(members)}`);
    await sleep(200, undefined, { signal });
  }
}

function manager(lab: PeerLab, region: string) {
  const found = lab.of(region).find((one) => one.spec.role === "agent");
  if (!found) throw new Error(`${region} has no Patroni`);
  return found;
}

/** Elections as with Holdfast's profile `fast`: the same etcd for all. */
function addEtcd(lab: PeerLab, region: PeerRegion) {
  const member = ({ name, dir, address }: PeerRegion) => ({
    name,
    dataDir: join(dir, "etcd"),
    client: `http://${address}:${ports.etcdClient}`,
    peer: `http://${address}:${ports.etcdPeer}`,
  });
  return lab.add(region, "etcd", "etcd", {
    program: "etcd",
    args: etcdArguments(member(region), lab.regions.map(member), "fast"),
    readyText: "ready to serve client requests",
  });
}

function addPatroni(lab: PeerLab, region: PeerRegion, settings: PatroniSettings) {
  const file = join(region.dir, "patroni.yml");
  writeFileSync(file, stringify(configFor(lab, region, settings)), { mode: 0o644 });
  // Whether it leads or follows: it says "I am (pg-west)" from its first loop on.
  const command = { program: "patroni", args: [file], readyText: "I am (" };
  return lab.add(region, "agent", "patroni", command);
}

function configFor(lab: PeerLab, region: PeerRegion, { pace, mode }: PatroniSettings) {
  const listen = (port: number) => `${region.address}:${port}`;
  return {
    scope: "orders",
    name: region.member,
    restapi: { listen: listen(ports.patroni), connect_address: listen(ports.patroni) },
    etcd3: { hosts: lab.regions.map(({ address }) => `${address}:${ports.etcdClient}`) },
    bootstrap: {
      dcs: {
        ...paces[pace],
        synchronous_mode: mode !== "asynchronous",
        synchronous_mode_strict: mode === "strict",
        postgresql: { use_pg_rewind: true, use_slots: true },
      },
      initdb: [{ encoding: "UTF8" }, { auth: "trust" }, "data-checksums"],
    },
    postgresql: {
      listen: listen(ports.postgres),
      connect_address: listen(ports.postgres),
      data_dir: region.dataDir,
      bin_dir: postgresPrograms,
      pgpass: join(region.dir, "pgpass"),
      authentication: {
        superuser: { username: "postgres" },
        replication: { username: "replicator" },
      },
      pg_hba: ["local all all trust", "host all all all trust", "host replication all all trust"],
      parameters: { unix_socket_directories: region.dir, dynamic_shared_memory_type: "mmap" },
    },
  };
}

async function switchOver(from: PeerRegion, signal: AbortSignal): Promise<void> {
  const answer = await fetch(`http://${from.address}:${ports.patroni}/switchover`, {
    method: "POST",
    body: JSON.stringify({ leader: from.member }),
    signal: AbortSignal.any([signal, AbortSignal.timeout(60_000)]),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`Patroni answered the switchover with ${answer.status}: ${text}`);
}
