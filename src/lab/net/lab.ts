/** A lab of network regions: namespaces, etcd, PostgreSQL, agents, fencers, edges and the service; up, and down again. */
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { discover, findAccount, loadOrMakeSecrets, openStore } from "../../adapters/adapters.ts";
import { timing } from "../../core/machine/timing.ts";
import type { ProfileName } from "../../core/model/profile.ts";
import type { Topology } from "../../core/model/topology.ts";
import { type LabLayout, layOut, regionNames } from "../layout.ts";
import { Observer } from "../observer.ts";
import { untilRedundant } from "../rehearsal.ts";
import { type LabState, writeState } from "../state-file.ts";
import { prepareFolders, World } from "../world.ts";
import { clockFileOf } from "./break.ts";
import { type LabDisks, makeDisk, removeDisksBelow, settle } from "./disk.ts";
import { asPlainUser, ownEnclosure, ownUserId } from "./enclosure.ts";
import { areLinksPlain, makeDistantNetwork } from "./hub.ts";
import { claim, folderPrefix, makeLabsFolder, stateFileOf } from "./labs.ts";
import { nameThem } from "./names.ts";
import {
  describeNetwork,
  makeNetwork,
  type Network,
  nobodyAddress,
  removeNetwork,
  takeSlot,
} from "./network.ts";
import type { NetworkPlace } from "./place.ts";
import type { Scenario } from "./scenario.ts";
import { clockPrefix, dropClocksOfTheDead, findFaketime, setClock, wrapPostgres } from "./wall-clock.ts";

const storeWithinMs = 180_000;
/** An order takes some four round trips of a session; eight sessions carry 25 a second at 80 ms each. */
const sessionsFromAfar = 8;
/** Two copies at once leave most of a hub in user space to the leases: it carries some 20 MB/s, and all pass through it. */
const seedThroughHubMegabytesPerSecond = 2;

export interface LabOptions {
  readonly topology: Scenario["topology"];
  readonly links: Scenario["links"];
  /** What has a disk of its own, to be broken; null: nothing. */
  readonly disks: LabDisks | null;
  /** Whether the wall clocks of regions can be set wrong. */
  readonly withClocks: boolean;
  /** Whether the topology has names of regions for their addresses, which can be lost. */
  readonly withNames: boolean;
  /** Whether the topology asks for backups, to be taken and tested. */
  readonly withBackups?: boolean;
  /** What the service of the topology is to be judged by. */
  readonly rtoMs: number;
  readonly say: (text: string) => void;
  /** Text in, topology out; throws with everything that is wrong. */
  readonly compile: (text: string, file: string) => Topology;
  readonly signal: AbortSignal;
}

export interface Lab {
  readonly network: Network;
  readonly world: World;
  readonly observer: Observer;
  readonly topology: Topology;
  /** Where it is written down what runs here. */
  readonly stateFile: string;
  /** Everything ended and removed; resolves when it is so. */
  close(): Promise<void>;
}

/** Everything up, redundant and routed; rejects, with everything ended and removed, when that does not come. */
export async function startLab(options: LabOptions): Promise<Lab> {
  const { say, signal } = options;
  makeLabsFolder();
  const enclosure = ownEnclosure();
  const slot = enclosure ? takeSlot(claim) : takeSlot();
  const stateFile = stateFileOf(slot);
  const network = describeNetwork(slot, regionNames);
  const root = mkdtempSync(join(tmpdir(), folderPrefix));
  const known = { network: network.record, ...(enclosure ? { enclosure: enclosure.id } : {}) };
  writeState(stateFile, emptyState(known, root, options.topology.profile));
  let world: World | null = null;
  let observer: Observer | null = null;
  let hub: ChildProcess | null = null;
  const close = async () => {
    await observer?.close();
    await world?.close();
    hub?.kill("SIGKILL");
    removeNetwork(network.record);
    removeDisksBelow(root);
    dropClocksOfTheDead();
    rmSync(root, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    rmSync(stateFile, { force: true });
  };
  try {
    if (areLinksPlain(options.links)) makeNetwork(network);
    else hub = await makeDistantNetwork(network, options.links, join(root, "hub.json"));
    const named = options.withNames ? nameThem(network.regions, nobodyAddress(slot), root) : network.regions;
    const own = enclosure
      ? named.map((place) => ({ ...place, prefix: [...place.prefix, ...asPlainUser] }))
      : named;
    const places = options.withClocks ? await onClocks(own, root) : own;
    const layout = await layOut({
      root,
      profile: options.topology.profile,
      witness: options.topology.witness,
      store: "etcd",
      rtoMs: options.rtoMs,
      rpoMs: options.topology.replication === "asynchronous" ? options.topology.rpo : 0,
      withBackups: options.withBackups ?? false,
      ...(hub ? { seedMegabytesPerSecondMax: seedThroughHubMegabytesPerSecond } : {}),
      networks: Object.fromEntries(places.map((place) => [place.name, place])),
    });
    prepareFolders(layout);
    const { disks: wanted } = options;
    const disks = layout.regions.flatMap(({ member, dir }) => {
      if (wanted?.of === "regions") return dir;
      return wanted && member ? dirname(member.dataDir) : [];
    });
    for (const disk of disks) makeDisk(disk, wanted?.canBeSlow);
    const topology = options.compile(layout.topologyText, layout.topologyFile);
    const secrets = loadOrMakeSecrets(layout.secretsDir);
    world = new World({
      layout,
      topology,
      secrets: { token: secrets.token, publicKeys: secrets.publicKeys, appPassword: secrets.postgres.app },
      withService: true,
      ...(hub ? { serviceSessions: sessionsFromAfar } : {}),
      say,
      stateFile,
      control: "",
      removeFolder: true,
      ...known,
    });
    // What the lab itself wrote to a disk: a region that comes back would write it anew.
    for (const disk of disks) settle(disk);
    say(`three regions: ${network.regions.map(({ name, address }) => `${name} ${address}`).join(", ")}`);
    await world.start(signal);
    observer = new Observer(await openStorePatiently(byAddress(topology, layout), layout.secretsDir, signal));
    say("processes are up; the first primary is made, its standbys are seeded");
    await untilRedundant(observer, topology, 300_000, signal);
    world.publish();
    return { network, world, observer, topology, stateFile, close };
  } catch (error) {
    const tails = (world?.processes() ?? [])
      .filter((one) => one.pid === null)
      .map((one) => `--- the end of ${one.spec.logFile}\n${one.logTail(5)}`);
    await close();
    throw tails.length > 0 && !signal.aborted
      ? new Error(`${(error as Error).message}\n${tails.join("\n")}`, { cause: error })
      : error;
  }
}

/** Whatever is started there goes by a clock that may be set wrong. */
async function onClocks(places: readonly NetworkPlace[], root: string): Promise<readonly NetworkPlace[]> {
  const library = findFaketime();
  if (library === null)
    throw new Error("wall clocks are to be wrong, and libfaketime is not installed (Debian: libfaketime)");
  const { found, advice } = await discover({ account: accountOfMembers() });
  if (found === null) throw new Error(advice);
  return places.map((place) => {
    const file = clockFileOf({ root }, place.name);
    setClock(file, 0);
    const prefix = clockPrefix(library, file);
    const programs = wrapPostgres(join(root, `${place.name}.pg`), found.binDir, prefix);
    return { ...place, prefix: [...place.prefix, ...prefix, `HOLDFAST_PG_BIN=${programs}`] };
  });
}

/** As their agents will find it. */
function accountOfMembers() {
  return ownEnclosure() === null
    ? findAccount(undefined)
    : { name: String(ownUserId()), uid: ownUserId(), gid: -1, switches: false };
}

/** Names of regions are known in regions only. */
function byAddress(topology: Topology, { regions }: LabLayout): Topology {
  const endpoints = regions.map(({ host, ports }) => `http://${host}:${ports.etcdClient}`);
  return { ...topology, store: { kind: "etcd", endpoints } };
}

/** On a busy machine etcd elects for a while before it answers. */
async function openStorePatiently(topology: Topology, secretsDir: string, signal: AbortSignal) {
  const until = performance.now() + storeWithinMs;
  for (;;) {
    try {
      return await openStore(topology, secretsDir, timing(topology.profile).storeTimeoutMs);
    } catch (error) {
      if (signal.aborted || until < performance.now()) throw error;
      await sleep(500);
    }
  }
}

function emptyState(
  known: Pick<LabState, "network" | "enclosure">,
  root: string,
  profile: ProfileName,
): LabState {
  return {
    schema: 1,
    pid: process.pid,
    topologyFile: join(root, "holdfast.yaml"),
    profile,
    control: "",
    tokenFile: join(root, "secrets", "token"),
    ...known,
    regions: [],
    members: [],
    processes: [],
  };
}
