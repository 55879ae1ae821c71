/**
 * Networks of their own for regions and clients: made, described, and removed without a trace.
 *
 *     region   10.77.1.2  ──┐
 *     region   10.77.2.2  ──┤  bridge, in a namespace     the machine's own network,
 *     region   10.77.3.2  ──┼── of its own (hub) ──────── 10.77.0.1: for looking only
 *     clients  10.77.100.2 ─┘
 *
 * - N1. Nothing but one link (`hfSLOT`) stands in the machine's own network; no address leaves this machine, and nothing is
 *   forwarded. The bridge has a namespace of its own, or the machine's firewall (Docker's, for one) would judge its frames.
 * - N2. A namespace is ours alone: whatever runs in it was started by this lab, and ends with it.
 * - N3. The machine's own link is never cut: what runs in a region that nobody reaches can still be looked at.
 */
import { readFileSync } from "node:fs";
import { signalTo } from "../signal.ts";
import { installFilter } from "./filter.ts";
import type { NetworkPlace } from "./place.ts";
import { runTool, tryTool, waitHere } from "./tool.ts";

/** Enough to remove all of it, by whoever: it is written down before anything is made. */
export interface NetworkRecord {
  readonly slot: number;
  /** Names in /run/netns. */
  readonly namespaces: readonly string[];
  /** In the machine's own network. */
  readonly link: string;
}

export interface Network {
  readonly record: NetworkRecord;
  readonly regions: readonly NetworkPlace[];
  readonly clients: NetworkPlace;
}

/** So many labs at a time on one machine, each in a 10.N.0.0/16 of its own. */
const slotCount = 8;
const firstNet = 77;
const clientsNumber = 100;

export function describeNetwork(slot: number, regionNames: readonly string[]): Network {
  const net = `10.${firstNet + slot}`;
  const place = (name: string, number: number): NetworkPlace => {
    const namespace = `hf${slot}-${name}`;
    return {
      name,
      namespace,
      address: `${net}.${number}.2`,
      prefix: ["nsenter", `--net=/run/netns/${namespace}`],
    };
  };
  const regions = regionNames.map((name, index) => place(name, index + 1));
  const clients = place("clients", clientsNumber);
  return {
    record: {
      slot,
      namespaces: [hubOf(slot), ...[...regions, clients].map(({ namespace }) => namespace)],
      link: `hf${slot}`,
    },
    regions,
    clients,
  };
}

/** By which the machine itself is seen from the places (N3). */
export function machineAddress(slot: number): string {
  return `10.${firstNet + slot}.0.1`;
}

/** Where packets find nobody. */
export function nobodyAddress(slot: number): string {
  return `10.${firstNet + slot}.0.253`;
}

export function subnetOf(slot: number): string {
  return `10.${firstNet + slot}.0.0/16`;
}

/** The namespace of the bridge. Its name is what a slot is taken by: the kernel gives it to one of us only. */
export function hubOf(slot: number): string {
  return `hf${slot}-hub`;
}

/**
 * Takes a free slot; throws when there is none. Whoever takes it must write it down before anything else. `claim`: where
 * networks alone do not tell, false when it is somebody's.
 */
export function takeSlot(claim: (slot: number) => boolean = () => true): number {
  const why: string[] = [];
  for (let slot = 0; slot < slotCount; slot++) {
    if (!claim(slot)) {
      why.push(`lab ${slot} is there already`);
      continue;
    }
    const subnet = subnetOf(slot);
    const routes = ["root", "match"]
      .map((how) => runTool("ip", ["-4", "route", "show", how, subnet]))
      .join("")
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("default"));
    if (routes[0] !== undefined) {
      why.push(`${subnet} is routed already: ${routes[0].trim()}`);
      continue;
    }
    const taken = tryTool("ip", ["netns", "add", hubOf(slot)]);
    if (taken.kind === "done") return slot;
    if (!taken.because.includes("File exists")) throw new Error(taken.because);
    why.push(`${hubOf(slot)} is there already`);
  }
  throw new Error(
    `no network is free for another lab (${why.join("; ")}); "holdfast lab down --all" removes what other labs have left`,
  );
}

/** The slot is taken. Every place reaches every other, and the machine reaches all of them. */
export function makeNetwork(network: Network): void {
  const { slot, link } = network.record;
  const hub = hubOf(slot);
  const ip = (...args: string[]) => runTool("ip", args);
  ip("-n", hub, "link", "add", "name", "bridge", "type", "bridge");
  ip("-n", hub, "link", "set", "bridge", "up");
  for (const [index, place] of [...network.regions, network.clients].entries()) {
    const port = `port${index + 1}`;
    ip("netns", "add", place.namespace);
    ip(
      "-n",
      hub,
      "link",
      "add",
      "name",
      port,
      "type",
      "veth",
      "peer",
      "name",
      "eth0",
      "netns",
      place.namespace,
    );
    ip("-n", hub, "link", "set", port, "master", "bridge", "up");
    ip("-n", place.namespace, "addr", "add", `${place.address}/16`, "dev", "eth0");
    ip("-n", place.namespace, "link", "set", "lo", "up");
    ip("-n", place.namespace, "link", "set", "eth0", "up");
    installFilter(place);
  }
  ip("link", "add", "name", link, "type", "veth", "peer", "name", "port0", "netns", hub);
  ip("-n", hub, "link", "set", "port0", "master", "bridge", "up");
  ip("addr", "add", `${machineAddress(slot)}/16`, "dev", link);
  ip("link", "set", link, "up");
}

/** Processes that live in these namespaces, whoever started them (N2). */
export function processesIn(record: NetworkRecord): number[] {
  return record.namespaces.flatMap((namespace) => {
    const told = tryTool("ip", ["netns", "pids", namespace]);
    return told.kind === "done" ? told.output.split(/\s+/).filter(Boolean).map(Number) : [];
  });
}

/** Ends what still runs in it, then takes it away; what is gone already does no harm. Throws when something stays. */
export function removeNetwork(record: NetworkRecord): void {
  for (const pid of processesIn(record)) signalTo(pid, "SIGKILL");
  // A namespace lives as long as a process in it: the kernel needs a moment to bury one.
  const until = performance.now() + 5000;
  while (processesIn(record).some(isAlive) && performance.now() < until) waitHere(20);
  const problems: string[] = [];
  const remove = (...args: string[]) => {
    const told = tryTool("ip", args);
    if (told.kind === "failed" && !/No such file|Cannot find device|does not exist/.test(told.because))
      problems.push(told.because);
  };
  remove("link", "del", record.link);
  // The hub last: while its name is there, nobody else takes the slot.
  for (const namespace of record.namespaces.toReversed()) remove("netns", "del", namespace);
  if (problems.length > 0) throw new Error(`not everything could be removed: ${problems.join("; ")}`);
}

/** What lies in this machine from labs, whether anybody remembers it or not. */
export function leftOverNetworks(): NetworkRecord[] {
  const told = tryTool("ip", ["netns", "list"]);
  if (told.kind === "failed") return [];
  const names = told.output.split("\n").flatMap((line) => /^(hf(\d+)-\S+)/.exec(line)?.slice(1, 3) ?? []);
  const bySlot = new Map<number, string[]>();
  for (let i = 0; i < names.length; i += 2) {
    const slot = Number(names[i + 1]);
    bySlot.set(slot, [...(bySlot.get(slot) ?? []), names[i] ?? ""]);
  }
  return [...bySlot].map(([slot, namespaces]) => ({
    slot,
    link: `hf${slot}`,
    namespaces: namespaces.toSorted((a, b) => Number(b === hubOf(slot)) - Number(a === hubOf(slot))),
  }));
}

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
