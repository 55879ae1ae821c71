/** What lies on disk before HAProxy starts: layout out of a topology, configuration, map and states of servers. */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ForeignRouter, Topology } from "../../core/model/topology.ts";
import { writeWhole } from "./files.ts";
import { mapText } from "./haproxy-router.ts";
import { configText, type HaproxyLayout, mapPathOf, slotsOf, socketPathOf, statePathOf } from "./layout.ts";

/** Slots for every target that a table of this topology may name. */
export function layoutFor(topology: Topology, router: ForeignRouter): HaproxyLayout {
  return {
    name: router.name,
    region: router.region,
    bind: router.http,
    folder: router.stateDir,
    services: topology.services.map(({ name, endpoints, allow, rules }) => ({
      name,
      targets: endpoints.filter(({ region }) => allow.includes(region)),
      tryTimeoutMs: rules.tryTimeoutMs,
    })),
  };
}

export const configPathOf = (layout: HaproxyLayout): string => join(layout.folder, "haproxy.cfg");

/** sun_path of unix(7) has 108 bytes with its end, and HAProxy binds `<path>.<pid>.tmp` before it renames it. */
const socketPathMaxBytes = 107 - ".4194304.tmp".length;

/**
 * `written`: the configuration is new; a HAProxy that runs must be reloaded once to have the slots. `unchanged`: it stands.
 * Map and states are only written where there are none: they are what HAProxy starts into its last table with.
 */
export async function prepareFiles(layout: HaproxyLayout): Promise<"written" | "unchanged"> {
  if (slotsOf(layout).length === 0)
    throw new Error(`${layout.name}: no service has an endpoint, so that HAProxy would serve nothing`);
  const socket = socketPathOf(layout);
  if (socketPathMaxBytes < Buffer.byteLength(socket))
    throw new Error(
      `${layout.name}: the runtime socket ${socket} has a longer path than ${socketPathMaxBytes} bytes: choose a shorter stateDir`,
    );
  if (/[\s#"'\\$]/.test(layout.folder))
    throw new Error(
      `${layout.name}: stateDir ${layout.folder} has a character that HAProxy reads as its own`,
    );
  await mkdir(layout.folder, { recursive: true, mode: 0o700 });
  const begin = new Map(layout.services.map(({ name }) => [`service/${name}`, "off"]));
  await writeIfNone(mapPathOf(layout), mapText(begin));
  await writeIfNone(statePathOf(layout), "1\n");
  const text = configText(layout);
  if ((await readIfAny(configPathOf(layout))) === text) return "unchanged";
  await writeWhole(configPathOf(layout), text);
  return "written";
}

async function writeIfNone(path: string, text: string): Promise<void> {
  if ((await readIfAny(path)) === null) await writeWhole(path, text);
}

async function readIfAny(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
