/** pg_auto_failover: a member and a proxy in each of three regions, the monitor in the third. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { processesIn } from "../../src/lab/net/network.ts";
import type { LabProcess } from "../../src/lab/process.ts";
import { ask, prepareDatabase, untilRow, untilStreaming } from "./peer-database.ts";
import { startFronts, systemRegions } from "./peer-fronts.ts";
import { PeerLab, type PeerRegion, ports } from "./peer-lab.ts";
import { postgresPrograms } from "./requirements.ts";
import type { RunningSystem, Surroundings, System } from "./system.ts";

interface AutoFailoverSettings {
  readonly pace: "default" | "tuned";
  readonly replication: System["replication"];
}

/**
 * Of the monitor; spans in ms. A primary that is cut off ends itself before `primary_demote_timeout` lets another begin,
 * as the manual wants it: longer than the member's `network_partition_timeout`.
 */
const tuned = {
  health_check_period: 1000,
  health_check_timeout: 500,
  health_check_max_retries: 1,
  health_check_retry_delay: 500,
  node_considered_unhealthy_timeout: 2000,
  primary_demote_timeout: 2500,
} as const;
/** Of each member, s. */
const tunedPartitionTimeout = 2;

export function autoFailover(settings: AutoFailoverSettings): System {
  const { pace, replication } = settings;
  const told = [
    ...Object.entries(tuned).map(([name, value]) => `${name} ${value}`),
    `network_partition_timeout ${tunedPartitionTimeout} s`,
  ];
  return {
    name: `pg_auto_failover-${pace}-${replication === "synchronous" ? "sync" : "async"}`,
    settings: `${pace === "tuned" ? told.join(", ") : "as it comes"}, ${replication}`,
    family: "pg_auto_failover",
    replication,
    rpoMs: null,
    patienceMs: pace === "default" ? 150_000 : 60_000,
    start: (surroundings) => start(settings, surroundings),
  };
}

async function start(settings: AutoFailoverSettings, { say, signal }: Surroundings): Promise<RunningSystem> {
  const { pace, replication } = settings;
  const lab = new PeerLab();
  try {
    const [first] = lab.regions;
    const third = lab.regions.at(-1);
    if (!first || !third) throw new Error("there are no regions");
    const monitorUrl = `postgres://autoctl_node@${third.address}:${ports.monitor}/pg_auto_failover?sslmode=disable`;
    addMonitor(lab, third, pace).start();
    await untilRow(monitorUrl, "SELECT 1", signal);
    for (const region of lab.regions) {
      say(`pg_auto_failover makes ${region.member}`);
      addMember(lab, region, monitorUrl, settings).start();
      await untilRow(
        monitorUrl,
        `SELECT 1 FROM pgautofailover.node WHERE nodename = '${region.member}'
         AND reportedstate = goalstate AND reportedstate IN ('single', 'primary', 'secondary')`,
        signal,
      );
    }
    await untilStreaming(first, replication, signal);
    await untilRow(
      monitorUrl,
      "SELECT 1 FROM pgautofailover.node WHERE reportedstate = goalstate HAVING count(*) = 3",
      signal,
    );
    await prepareDatabase(lab, first);
    await startFronts(lab, { ask: "postgres", pace: pace === "tuned" ? "fast" : "manual" }, signal);
    return {
      network: lab.network,
      folder: lab.root,
      regions: systemRegions(lab),
      processes: (region) => lab.of(region),
      managers: (region) => managersIn(lab, region),
      // What `pg_autoctl perform switchover` asks of the monitor; it answers at once.
      switchOver: async () =>
        void (await ask(monitorUrl, "SELECT pgautofailover.perform_failover('default', 0)")),
      keepLogs: (to) => lab.keepLogs(to),
      returnRegion: async (region) => {
        for (const one of lab.of(region)) one.start();
      },
      close: () => lab.close(),
    };
  } catch (error) {
    const explained = lab.explain(error as Error);
    await lab.close();
    throw signal.aborted ? error : explained;
  }
}

function addMonitor(lab: PeerLab, region: PeerRegion, pace: AutoFailoverSettings["pace"]): LabProcess {
  const dataDir = join(lab.makeFolder(region.name, "monitor"), "data");
  lab.addDataDir(dataDir);
  const settings = pace === "tuned" ? Object.entries(tuned) : [];
  return addService(lab, region, "monitor", dataDir, {
    create: [
      "pg_autoctl create monitor --no-ssl --skip-pg-hba",
      `--pgdata ${dataDir} --pgport ${ports.monitor} --hostname ${region.address}`,
    ],
    postgres: settings.map(([name, value]) => `pgautofailover.${name} = ${value}`),
    further: [],
  });
}

function addMember(
  lab: PeerLab,
  region: PeerRegion,
  monitorUrl: string,
  { pace, replication }: AutoFailoverSettings,
): LabProcess {
  const { dataDir, address, member } = region;
  return addService(lab, region, "member", dataDir, {
    create: [
      "pg_autoctl create postgres --no-ssl --skip-pg-hba",
      `--pgdata ${dataDir} --pgport ${ports.postgres} --hostname ${address} --name ${member}`,
      `--monitor '${monitorUrl}' --replication-quorum ${replication === "synchronous"}`,
    ],
    postgres: [],
    further:
      pace === "tuned"
        ? [
            `pg_autoctl config set --pgdata ${dataDir} timeout.network_partition_timeout ${tunedPartitionTimeout}`,
          ]
        : [],
  });
}

/** Made at its first start, then run: a region that returns starts it again. */
function addService(
  lab: PeerLab,
  region: PeerRegion,
  title: "monitor" | "member",
  dataDir: string,
  how: {
    /** Parts of one command. */
    readonly create: readonly string[];
    /** Lines for postgresql.conf; a standby gets those of the primary. */
    readonly postgres: readonly string[];
    /** Commands after it was made. */
    readonly further: readonly string[];
  },
): LabProcess {
  const dir = lab.makeFolder(region.name, title);
  const settings = [
    // Files in the data folder rather than segments in /dev/shm: what a killed server leaves goes with the folder.
    "dynamic_shared_memory_type = mmap",
    ...how.postgres,
  ];
  const script = [
    "set -e",
    `if [ ! -e ${dir}/made ]; then`,
    how.create.join(" "),
    `cat >> ${dataDir}/postgresql.conf <<'END'\n${settings.join("\n")}\nEND`,
    `printf '%s all all%s trust\\n' local '' host ' all' > ${dataDir}/pg_hba.conf`,
    `echo 'host replication all all trust' >> ${dataDir}/pg_hba.conf`,
    ...how.further,
    `touch ${dir}/made`,
    "fi",
    `exec pg_autoctl run --pgdata ${dataDir}`,
  ].join("\n");
  const role = title === "member" ? "agent" : "etcd";
  const command = { program: "sh", args: ["-c", script], readyText: "" };
  return lab.add(region, role, title, command, {
    PATH: `${postgresPrograms}:${process.env.PATH}`,
    XDG_CONFIG_HOME: join(dir, "config"),
    XDG_DATA_HOME: join(dir, "share"),
    XDG_RUNTIME_DIR: dir,
    // Three servers of one port must not share one folder of sockets.
    PG_REGRESS_SOCK_DIR: dir,
    PGHOST: dir,
  });
}

/** Every `pg_autoctl` of the member, none of the monitor. */
function managersIn(lab: PeerLab, region: string): number[] {
  const top = lab.of(region).find((one) => one.spec.role === "agent")?.pid;
  const { namespace } = lab.region(region).place;
  const found = processesIn({ ...lab.network.record, namespaces: [namespace] }).flatMap((pid) => {
    try {
      const [, name, parent] = /^\d+ \((.*)\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? [];
      return name === "pg_autoctl" ? [{ pid, parent: Number(parent) }] : [];
    } catch {
      // Gone in the meantime.
      return [];
    }
  });
  const mine = new Set(top === null || top === undefined ? [] : [top]);
  for (let size = -1; size !== mine.size; ) {
    size = mine.size;
    for (const { pid, parent } of found) if (mine.has(parent)) mine.add(pid);
  }
  return [...mine];
}
