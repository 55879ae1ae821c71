/** The main job in one command: a service in three regions, load, a fault, and the proof that nobody noticed. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { loadOrMakeSecrets, openStore } from "../adapters/adapters.ts";
import { timing } from "../core/machine/timing.ts";
import type { ProfileName } from "../core/model/profile.ts";
import type { Topology } from "../core/model/topology.ts";
import { DrillControl } from "./control.ts";
import type { FaultName } from "./faults.ts";
import { layOut } from "./layout.ts";
import { type Load, startLoad } from "./load.ts";
import type { LiveStats } from "./load-stats.ts";
import { Observer } from "./observer.ts";
import { placesOf, rehearse, untilRedundant } from "./rehearsal.ts";
import type { DrillReport } from "./report.ts";
import { prepareFolders, World } from "./world.ts";

export interface DemoOptions {
  readonly profile: ProfileName;
  readonly witness: boolean;
  readonly store: "embedded" | "etcd";
  readonly rtoMs: number;
  /** 0: synchronous data; more: asynchronous. */
  readonly rpoMs: number;
  /** null: a folder of its own below the system's temporary one, removed at the end. */
  readonly folder: string | null;
  readonly stateFile: string | null;
  readonly withLoad: boolean;
  readonly rates: { readonly orders: number; readonly reads: number };
  readonly version: string;
  readonly say: (text: string) => void;
  /** Text in, topology out; throws with everything that is wrong. */
  readonly compile: (text: string, file: string) => Topology;
  readonly signal: AbortSignal;
}

export interface Demo {
  readonly world: World;
  readonly observer: Observer;
  readonly topology: Topology;
  readonly control: DrillControl;
  readonly load: Load | null;
  stats(): LiveStats | null;
  rehearse(drill: {
    readonly fault: FaultName;
    readonly region: string | null;
    readonly durationMs: number | null;
  }): Promise<DrillReport>;
  close(): Promise<void>;
}

/** Everything up, redundant and routed; rejects, with everything ended, when that does not come. */
export async function startDemo(options: DemoOptions): Promise<Demo> {
  const { say, signal } = options;
  const root = options.folder ?? mkdtempSync(join(tmpdir(), "holdfast-"));
  const layout = await layOut({
    root,
    profile: options.profile,
    witness: options.witness,
    store: options.store,
    rtoMs: options.rtoMs,
    rpoMs: options.rpoMs,
  });
  prepareFolders(layout);
  const topology = options.compile(layout.topologyText, layout.topologyFile);
  const secrets = loadOrMakeSecrets(layout.secretsDir);
  const control = new DrillControl();
  const controlUrl = await control.listen();
  if (options.stateFile) mkdirSync(dirname(options.stateFile), { recursive: true });
  const world = new World({
    layout,
    topology,
    secrets: { token: secrets.token, publicKeys: secrets.publicKeys, appPassword: secrets.postgres.app },
    withService: true,
    say,
    stateFile: options.stateFile,
    control: controlUrl,
    removeFolder: options.folder === null,
  });
  let observer: Observer | null = null;
  let load: Load | null = null;
  const close = async () => {
    await load?.[Symbol.asyncDispose]();
    await observer?.close();
    await control.close();
    await world.close();
    if (options.folder !== null) rmSync(join(root, "state.json"), { force: true });
  };
  try {
    say(`starting three regions in ${root}`);
    await world.start(signal);
    observer = new Observer(
      await openStore(topology, layout.secretsDir, timing(topology.profile).storeTimeoutMs),
    );
    say("processes are up; the first primary is made, its standbys are seeded");
    await untilRedundant(observer, topology, 120_000, signal);
    const lease = observer.seen.leases.get(topology.dataStores[0]?.name ?? "");
    say(
      `redundant: ${lease?.holder} leads epoch ${lease?.epoch}, every standby streams, all edges are routed`,
    );
    control.serve({ world, observer, topology, token: secrets.token, signal, say });
    if (options.withLoad)
      load = startLoad({
        run: "demo",
        places: placesOf(world),
        ordersPerSecond: options.rates.orders,
        readsPerSecond: options.rates.reads,
        recordFile: join(root, "demo-load.json"),
      });
    world.publish();
    const watching = observer;
    let latest: LiveStats | null = null;
    return {
      world,
      observer,
      topology,
      control,
      load,
      stats: () => load?.latest() ?? latest,
      rehearse: (drill) =>
        rehearse({
          world,
          observer: watching,
          topology,
          ...drill,
          rates: options.rates,
          version: options.version,
          say,
          signal,
          onLive: (stats) => {
            latest = stats;
          },
        }),
      close,
    };
  } catch (error) {
    const tails = world
      .processes()
      .filter((one) => one.pid === null)
      .map((one) => `--- the end of ${one.spec.logFile}\n${one.logTail(5)}`);
    await close();
    throw tails.length > 0 && !signal.aborted
      ? new Error(`${(error as Error).message}\n${tails.join("\n")}`, { cause: error })
      : error;
  }
}

/** Written whole: a report that is half there would be worse than none. */
export function writeReport(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}
