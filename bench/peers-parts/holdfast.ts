/** Holdfast, as `holdfast lab` starts it: etcd, PostgreSQL, agent, fencer, edge and service in each of three regions. */
import { randomUUID } from "node:crypto";
import { sha256 } from "../../src/cli/topology-file.ts";
import type { ProfileName } from "../../src/core/model/profile.ts";
import { compileTopology } from "../../src/core/spec/spec.ts";
import { dataStoreName } from "../../src/lab/layout.ts";
import { keepLogs } from "../../src/lab/net/keep-logs.ts";
import { type Lab, startLab } from "../../src/lab/net/lab.ts";
import { postgresPrograms } from "./requirements.ts";
import type { RunningSystem, Surroundings, System, SystemRegion } from "./system.ts";

interface HoldfastSettings {
  readonly profile: ProfileName;
  readonly replication: System["replication"];
}

/** Of asynchronous data: how much may be lost, and how old a copy may be that is promoted. */
const asynchronousRpoMs = 2000;

export function holdfast(settings: HoldfastSettings): System {
  const { profile, replication } = settings;
  const isSynchronous = replication === "synchronous";
  return {
    name: `holdfast-${profile}-${isSynchronous ? "sync" : "async"}`,
    settings: `profile ${profile}, ${replication}${isSynchronous ? "" : `, RPO ${asynchronousRpoMs / 1000} s`}`,
    family: "holdfast",
    replication,
    rpoMs: isSynchronous ? 0 : asynchronousRpoMs,
    patienceMs: 40_000,
    start: (surroundings) => start(settings, surroundings),
  };
}

async function start(
  { profile, replication }: HoldfastSettings,
  { say, signal }: Surroundings,
): Promise<RunningSystem> {
  // The PostgreSQL of the peers, or its speed would be compared as well.
  process.env.HOLDFAST_PG_BIN = postgresPrograms;
  const lab = await startLab({
    topology: { profile, witness: false, replication, rpo: asynchronousRpoMs },
    links: { delay: 0, jitter: 0, lossPercent: 0, rateMbit: 0 },
    disks: null,
    withClocks: false,
    withNames: false,
    rtoMs: 60_000,
    say,
    signal,
    compile: (text, file) => {
      const compiled = compileTopology({ text, file, baseDir: "/" }, sha256);
      if (compiled.kind === "valid") return compiled.topology;
      throw new Error(`the topology is not valid: ${compiled.problems.map((one) => one.message).join("; ")}`);
    },
  });
  const { world, network } = lab;
  const closing = new AbortController();
  return {
    network,
    folder: world.layout.root,
    regions: regionsOf(lab),
    processes: (region) => world.of(region),
    managers: (region) => {
      const { pid } = world.one(region, "agent");
      return pid === null ? [] : [pid];
    },
    switchOver: (from, within) => switchOver(lab, from, within),
    keepLogs: (to) => keepLogs(world.layout, to),
    // On its way, as the peers' are: what it may do wrong it does before it is whole.
    returnRegion: async (region) =>
      void world.returnRegion(region, closing.signal).catch((error: Error) => {
        if (!closing.signal.aborted) say(error.message);
      }),
    close: () => {
      closing.abort();
      return lab.close();
    },
  };
}

function regionsOf({ world }: Lab): SystemRegion[] {
  return world.layout.regions.flatMap(({ name, host, ports, member }) =>
    member === null
      ? []
      : [
          {
            name,
            member: member.name,
            dataDir: member.dataDir,
            writerUrl: world.databaseUrl(ports.edgeTcp, host),
            directUrl: world.databaseUrl(ports.postgres, host),
            httpUrl: `http://${host}:${ports.edge}`,
          },
        ],
  );
}

async function switchOver({ observer, world }: Lab, from: string, signal: AbortSignal): Promise<void> {
  const to = world.layout.regions.find(({ name }) => name !== from);
  const id = `switchover-${randomUUID().slice(0, 8)}`;
  await observer.submit({
    id,
    kind: "switchover",
    dataStore: dataStoreName,
    toRegion: to?.name ?? "",
    ifEpoch: observer.seen.leases.get(dataStoreName)?.epoch ?? 0,
    by: "bench",
    why: "bench:peers",
    at: Date.now(),
  });
  await observer.until(
    "the switchover",
    60_000,
    ({ requests }) => !["pending", "running"].includes(requests.get(id)?.status ?? "pending"),
    signal,
  );
  const answer = observer.seen.requests.get(id);
  if (answer?.status !== "succeeded")
    throw new Error(`the switchover was not done: ${answer?.status}: ${answer?.detail}`);
}
