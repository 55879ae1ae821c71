/** The ground that peers stand on: the same networks as Holdfast's lab, a folder, processes, and their end. */
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { findAccount } from "../../src/adapters/postgres/account.ts";
import { regionNames } from "../../src/lab/layout.ts";
import { folderPrefix, labsFolder, stateFileOf } from "../../src/lab/net/labs.ts";
import {
  describeNetwork,
  makeNetwork,
  type Network,
  removeNetwork,
  takeSlot,
} from "../../src/lab/net/network.ts";
import type { NetworkPlace } from "../../src/lab/net/place.ts";
import { endForGood } from "../../src/lab/postgres-end.ts";
import { LabProcess, type ProcessSpec, type Role } from "../../src/lab/process.ts";
import { type Reaper, startReaper } from "../../src/lab/reaper-process.ts";
import { writeState } from "../../src/lab/state-file.ts";

export interface PeerRegion {
  readonly name: string;
  readonly place: NetworkPlace;
  readonly address: string;
  /** Of the unprivileged user, as everything in it. */
  readonly dir: string;
  readonly member: string;
  readonly dataDir: string;
}

/** Every region has an address of its own, so the ports are the well-known ones. */
export const ports = {
  postgres: 5432,
  monitor: 5431,
  writer: 5000,
  http: 8000,
  patroni: 8008,
  service: 8080,
  etcdClient: 2379,
  etcdPeer: 2380,
} as const;

export class PeerLab {
  readonly root: string;
  readonly network: Network;
  readonly regions: readonly PeerRegion[];
  readonly #account = findAccount(undefined);
  readonly #stateFile: string;
  readonly #dataDirs: string[] = [];
  readonly #processes: LabProcess[] = [];
  readonly #reaper: Reaper;

  constructor() {
    mkdirSync(labsFolder, { recursive: true, mode: 0o755 });
    this.network = describeNetwork(takeSlot(), regionNames);
    this.root = mkdtempSync(join(tmpdir(), folderPrefix));
    chmodSync(this.root, 0o755);
    this.#stateFile = stateFileOf(this.network.record.slot);
    this.regions = this.network.regions.map((place) => {
      const dir = this.makeFolder(place.name);
      const dataDir = join(dir, "data");
      this.#dataDirs.push(dataDir);
      const member = `pg-${place.name.split("-")[1]}`;
      return { name: place.name, place, address: place.address, dir, member, dataDir };
    });
    this.#writeState();
    this.#reaper = startReaper(this.#stateFile, this.root, this.#stateFile);
    makeNetwork(this.network);
  }

  /** Below the root, for the unprivileged user; its path. */
  makeFolder(...names: string[]): string {
    const path = join(this.root, ...names);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chownSync(path, this.#account.uid, this.#account.gid);
    return path;
  }

  /** PostgreSQL elsewhere than in a region's `dataDir`, to be ended with the rest. */
  addDataDir(path: string): void {
    this.#dataDirs.push(path);
    this.#writeState();
  }

  /** A process of the unprivileged user in the region's network; not started yet. */
  add(
    region: PeerRegion,
    role: Role,
    title: string,
    command: { readonly program: string; readonly args: readonly string[]; readonly readyText: string },
    env: Readonly<Record<string, string>> = {},
  ): LabProcess {
    const { name, place, dir } = region;
    const spec: ProcessSpec = {
      name: `${title} ${name}`,
      role,
      region: name,
      command: command.program,
      args: command.args,
      env: { HOME: dir, TMPDIR: dir, ...env },
      logFile: join(dir, `${title}.log`),
      readyText: command.readyText,
      // `nsenter` again: where, and as whom.
      prefix: [
        ...place.prefix,
        `--wd=${dir}`,
        `--setuid=${this.#account.uid}`,
        `--setgid=${this.#account.gid}`,
      ],
    };
    const process = new LabProcess(spec);
    this.#processes.push(process);
    return process;
  }

  of(region: string): readonly LabProcess[] {
    return this.#processes.filter((one) => one.spec.region === region);
  }

  region(name: string): PeerRegion {
    const found = this.regions.find((region) => region.name === name);
    if (!found) throw new Error(`no region ${name}; there is: ${regionNames.join(", ")}`);
    return found;
  }

  keepLogs(to: string): void {
    for (const { spec } of this.#processes)
      if (existsSync(spec.logFile)) cpSync(spec.logFile, join(to, spec.region, basename(spec.logFile)));
  }

  /** With what the processes said last that have ended unasked. */
  explain(error: Error): Error {
    const tails = this.#processes.map(
      (one) => `--- ${one.spec.name}${one.pid === null ? " (it has ended)" : ""}\n${one.logTail(6)}`,
    );
    return new Error([error.message, ...tails].join("\n"), { cause: error });
  }

  /** Everything ended and removed; resolves when it is so. */
  async close(): Promise<void> {
    // Who would start PostgreSQL again goes first.
    for (const one of this.#processes) one.kill("SIGKILL");
    await Promise.all(this.#processes.map((one) => one.gone()));
    await Promise.all(this.#dataDirs.map((dataDir) => endForGood(dataDir)));
    removeNetwork(this.network.record);
    rmSync(this.root, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    this.#reaper.dismiss();
    rmSync(this.#stateFile, { force: true });
  }

  /** For the reaper, and for "holdfast lab down". */
  #writeState(): void {
    writeState(this.#stateFile, {
      schema: 1,
      pid: process.pid,
      topologyFile: join(this.root, "none"),
      profile: "",
      control: "",
      tokenFile: "",
      network: this.network.record,
      regions: [],
      members: this.#dataDirs.map((dataDir) => ({ name: "", region: "", dataDir, gate: "", direct: "" })),
      processes: [],
    });
  }
}
