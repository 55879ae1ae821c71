/** A service in three regions on one machine, of real processes: started, watched over, broken on purpose, cleaned up. */
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { endTree, fencerArguments, findTree } from "../adapters/adapters.ts";
import { membersIn, writeEdgeConfig, writeFencerConfig } from "../agent/units.ts";
import type { Topology } from "../core/model/topology.ts";
import { etcdArguments } from "./etcd-arguments.ts";
import type { LabLayout, RegionLayout } from "./layout.ts";
import { removeDisksBelow } from "./net/disk.ts";
import type { NetworkRecord } from "./net/network.ts";
import { endForGood } from "./postgres-end.ts";
import { LabProcess, type ProcessSpec, type Role } from "./process.ts";
import { type Reaper, startReaper } from "./reaper-process.ts";
import { type LabState, writeState } from "./state-file.ts";

const source = dirname(dirname(fileURLToPath(import.meta.url)));
const cli = join(source, "cli", "cli.ts");
const edgeMain = join(source, "edge", "main.ts");
const serviceMain = join(dirname(source), "examples", "orders", "main.ts");

/** What the lab needs of the secrets that the product makes for itself. */
export interface LabSecrets {
  readonly token: string;
  /** Key id -> public key (SPKI, base64), as edges know them. */
  readonly publicKeys: Readonly<Record<string, string>>;
  /** Role `app` of PostgreSQL. */
  readonly appPassword: string;
}

export interface WorldOptions {
  readonly layout: LabLayout;
  readonly topology: Topology;
  readonly secrets: LabSecrets;
  readonly withService: boolean;
  /** Of each instance of it with the writer; none: the service's own choice. */
  readonly serviceSessions?: number;
  readonly say: (text: string) => void;
  /** Where others may read what runs here; null: nowhere but in the lab's own folder. */
  readonly stateFile: string | null;
  readonly control: string;
  /** Whether the lab's folder goes with it, also when the lab itself is killed. */
  readonly removeFolder: boolean;
  /** Namespaces that the processes run in, to be removed with them. */
  readonly network?: NetworkRecord;
  /** Only where the lab is not root's: the word by which its processes are known. */
  readonly enclosure?: string;
}

export class World {
  readonly layout: LabLayout;
  readonly #options: WorldOptions;
  readonly #processes: LabProcess[] = [];
  #reaper: Reaper | null = null;
  readonly #publishing: NodeJS.Timeout;

  constructor(options: WorldOptions) {
    this.layout = options.layout;
    this.#options = options;
    for (const region of this.layout.regions)
      this.#processes.push(...this.#specs(region).map((spec) => new LabProcess(spec)));
    // Processes are started again when they die: who reads the state wants their present ids.
    this.#publishing = setInterval(() => this.publish(), 500);
    this.#publishing.unref();
  }

  async start(signal: AbortSignal): Promise<void> {
    this.publish();
    const { removeFolder, stateFile } = this.#options;
    this.#reaper = startReaper(this.ownStateFile, removeFolder ? this.layout.root : "", stateFile ?? "");
    await Promise.all(this.layout.regions.map((region) => this.startRegion(region.name, signal)));
  }

  /** In the order in which each finds what it needs. */
  async startRegion(name: string, signal: AbortSignal): Promise<void> {
    const own = this.of(name);
    const guards = own.filter((one) => one.spec.role === "fencer" || one.spec.role === "edge");
    // A member of etcd is ready when most of them are: nobody waits for it here, or the regions would wait for one another.
    for (const each of [...guards, ...own.filter((one) => one.spec.role === "etcd")]) each.start();
    await Promise.all(guards.map((one) => one.ready(signal)));
    for (const each of own) each.start();
    this.publish();
    await Promise.all(own.filter((one) => one.spec.role === "agent").map((one) => one.ready(signal)));
    this.publish();
  }

  /** A region that comes back, one process after the other: started at once, they would starve the other regions of CPU. */
  async returnRegion(name: string, signal: AbortSignal): Promise<void> {
    const order: readonly Role[] = ["etcd", "fencer", "edge", "agent", "service"];
    for (const one of this.of(name).toSorted(
      (a, b) => order.indexOf(a.spec.role) - order.indexOf(b.spec.role),
    )) {
      one.start();
      if (!(await one.ready(signal))) break;
    }
    this.publish();
  }

  of(region: string): LabProcess[] {
    return this.#processes.filter((one) => one.spec.region === region);
  }

  one(region: string, role: ProcessSpec["role"]): LabProcess {
    const found = this.of(region).find((one) => one.spec.role === role);
    if (!found)
      throw new Error(
        `${region} has no ${role}; there is: ${this.of(region)
          .map((one) => one.spec.role)
          .join(", ")}`,
      );
    return found;
  }

  region(name: string): RegionLayout {
    const found = this.layout.regions.find((region) => region.name === name);
    if (!found)
      throw new Error(
        `no region ${name}; there is: ${this.layout.regions.map((region) => region.name).join(", ")}`,
      );
    return found;
  }

  /** Processes of the region's PostgreSQL, as they are now. */
  postgresOf(name: string): readonly number[] {
    const { member } = this.region(name);
    return member ? findTree(treeOf(member.dataDir)).map((one) => one.pid) : [];
  }

  async endPostgres(name: string): Promise<void> {
    const { member } = this.region(name);
    if (member) await endTree(treeOf(member.dataDir), AbortSignal.timeout(5000));
  }

  /** For the application's role. */
  databaseUrl(port: number, host = "127.0.0.1"): string {
    return `postgres://app:${encodeURIComponent(this.#options.secrets.appPassword)}@${host}:${port}/orders`;
  }

  get restarts(): number {
    return this.#processes.reduce((sum, one) => sum + one.restarts, 0);
  }

  processes(): readonly LabProcess[] {
    return this.#processes;
  }

  /** Everything ended and, where it is to be, every file removed; resolves when it is so. */
  async close(): Promise<void> {
    clearInterval(this.#publishing);
    const running = [...this.#processes];
    for (const one of running) one.signal("SIGCONT");
    const roles = (...wanted: string[]) => running.filter((one) => wanted.includes(one.spec.role));
    await Promise.all(roles("service").map((one) => one.end(2000)));
    await Promise.all(roles("agent").map((one) => one.end(3000)));
    await Promise.all(this.layout.regions.map(async ({ member }) => member && endForGood(member.dataDir)));
    await Promise.all(roles("edge", "fencer", "etcd").map((one) => one.end(2000)));
    this.#reaper?.dismiss();
    this.#reaper = null;
    if (this.#options.stateFile) rmSync(this.#options.stateFile, { force: true });
    if (this.#options.removeFolder) {
      removeDisksBelow(this.layout.root);
      await removeTree(this.layout.root);
    }
  }

  publish(): void {
    const state = this.#state();
    writeState(this.ownStateFile, state);
    if (this.#options.stateFile) writeState(this.#options.stateFile, state);
  }

  /** Where commands find the agents of this very lab. */
  get ownStateFile(): string {
    return join(this.layout.root, "state.json");
  }

  #state(): LabState {
    const { regions, topologyFile, profile, secretsDir } = this.layout;
    const { network, enclosure } = this.#options;
    return {
      schema: 1,
      pid: process.pid,
      topologyFile,
      profile,
      control: this.#options.control,
      ...(network ? { network } : {}),
      ...(enclosure ? { enclosure } : {}),
      tokenFile: join(secretsDir, "token"),
      regions: regions.map(({ name, host, ports }) => ({
        name,
        agent: `http://${host}:${ports.agent}`,
        edge: `http://${host}:${ports.edge}`,
        edgeAdmin: `http://${host}:${ports.edgeAdmin}`,
        database: this.databaseUrl(ports.edgeTcp, host),
        service: `http://${host}:${ports.service}`,
      })),
      members: regions.flatMap(({ name, host, ports, member }) =>
        member
          ? [
              {
                name: member.name,
                region: name,
                dataDir: member.dataDir,
                gate: this.databaseUrl(ports.gate, host),
                direct: this.databaseUrl(ports.postgres, host),
              },
            ]
          : [],
      ),
      processes: this.#processes.flatMap((one) =>
        one.pid === null
          ? []
          : [
              {
                name: one.spec.name,
                role: one.spec.role,
                region: one.spec.region,
                pid: one.pid,
                logFile: one.spec.logFile,
              },
            ],
      ),
    };
  }

  #specs(region: RegionLayout): ProcessSpec[] {
    const { layout } = this;
    const { withService, serviceSessions } = this.#options;
    const dir = (...parts: string[]) => join(region.dir, ...parts);
    mkdirSync(dir("logs"), { recursive: true });
    mkdirSync(dir("state"), { recursive: true, mode: 0o755 });
    const spec = (
      role: ProcessSpec["role"],
      args: readonly string[],
      readyText: string,
      env: Record<string, string> = {},
    ): ProcessSpec => ({
      name: `${role} ${region.name}`,
      role,
      region: region.name,
      args,
      // Sockets of members whose folder lies deep are put into the temporary one: it goes with the lab.
      env: { TMPDIR: layout.root, ...env },
      logFile: dir("logs", `${role}.log`),
      readyText,
      prefix: region.prefix,
    });
    const common = [
      "--topology",
      layout.topologyFile,
      "--region",
      region.name,
      "--state-dir",
      dir("state"),
      "--secrets-dir",
      layout.secretsDir,
      // Files in the data folder rather than segments in /dev/shm: what a killed server leaves goes with the folder.
      "--pg-setting",
      "dynamic_shared_memory_type=mmap",
    ];
    // The same configurations that `holdfast edge run` and `holdfast fencer` write before they become these processes.
    const place = { topology: this.#options.topology, region: region.name, stateDir: dir("state") };
    const edgeConfig = writeEdgeConfig(place, this.#options.secrets, null);
    const specs = [
      spec("agent", [cli, "agent", ...common], "agent-started"),
      spec("edge", [edgeMain, "--config", edgeConfig], "edge-started"),
    ];
    if (place.topology.store.kind === "etcd") specs.push(this.#etcdSpec(region, spec));
    const member = membersIn(place.topology, region.name)[0];
    if (region.member && member) {
      specs.unshift(spec("fencer", [...fencerArguments(writeFencerConfig(place, member))], '"ready":true'));
      if (withService) {
        specs.push(
          spec("service", [serviceMain], "listening", {
            HOST: region.host,
            PORT: String(region.ports.service),
            REGION: region.name,
            DATABASE_URL: this.databaseUrl(region.ports.edgeTcp, region.host),
            DATABASE_URL_READ: this.databaseUrl(region.ports.postgres, region.host),
            ...(serviceSessions ? { SESSIONS_MAX: String(serviceSessions) } : {}),
          }),
        );
      }
    }
    return specs;
  }

  #etcdSpec(
    region: RegionLayout,
    spec: (role: "etcd", args: readonly string[], readyText: string) => ProcessSpec,
  ): ProcessSpec {
    const member = ({ name, dir, host, ports }: RegionLayout) => ({
      name,
      dataDir: join(dir, "etcd"),
      client: `http://${host}:${ports.etcdClient}`,
      peer: `http://${host}:${ports.etcdPeer}`,
    });
    const args = etcdArguments(member(region), this.layout.regions.map(member), this.layout.profile);
    return { ...spec("etcd", args, "serving client traffic"), command: "etcd" };
  }
}

export function prepareFolders(layout: LabLayout): void {
  for (const folder of [
    layout.root,
    layout.secretsDir,
    dirname(layout.storeFile),
    ...layout.regions.map((region) => region.dir),
  ])
    mkdirSync(folder, { recursive: true });
  // PostgreSQL runs as another user when we are root: it must reach its data folder.
  chmodSync(layout.root, 0o755);
  writeFileSync(layout.topologyFile, layout.topologyText);
}

/** Members of other users may still be closing files: a moment, then it is gone, or the reason is thrown. */
async function removeTree(folder: string): Promise<void> {
  for (let attempt = 1; existsSync(folder); attempt++) {
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      if (attempt >= 20) throw error;
      await sleep(100);
    }
  }
}

function treeOf(dataDir: string) {
  return { dataDir, pidFile: join(dataDir, "postmaster.pid") };
}
