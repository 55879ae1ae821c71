/** Faults of the network by their names: whom each keeps from whom, and in which direction. */
import type { SpanMs } from "../../core/model/time.ts";
import { type Direction, swallow } from "./filter.ts";
import type { Network } from "./network.ts";
import type { NetworkPlace } from "./place.ts";

export type Cut =
  /** Nothing in, nothing out: as if the region were gone, to everybody. */
  | { readonly kind: "blackhole"; readonly region: string }
  /** What the region sends arrives, what is sent to it does not. */
  | { readonly kind: "cut-in"; readonly region: string }
  /** What is sent to the region arrives, what it sends does not. */
  | { readonly kind: "cut-out"; readonly region: string }
  /** Two regions do not reach one another; everybody else reaches both. */
  | { readonly kind: "link"; readonly region: string; readonly to: string }
  /** Only this TCP port of the region, for other regions. */
  | { readonly kind: "port"; readonly region: string; readonly port: number }
  /** Packets to and from the region are lost, each with this chance. */
  | { readonly kind: "loss"; readonly region: string; readonly percent: number }
  /** Clients elsewhere do not reach the region; regions do. */
  | { readonly kind: "clients-cut"; readonly region: string };

/** Those that can be asked for by hand. */
export const cutNames = ["blackhole", "cut-in", "cut-out", "link", "loss", "clients-cut"] as const;

/** Holds when it returns, and ends by itself; what it does, for people. */
export function cut(network: Network, what: Cut, forMs: SpanMs): string {
  const all = { kind: "all", port: null } as const;
  const { region } = what;
  switch (what.kind) {
    case "blackhole":
      swallow(both(around(network, region)), all, forMs);
      return `${region} reaches nobody, and nobody reaches it`;
    case "cut-in":
      swallow(around(network, region), all, forMs);
      return `nothing arrives in ${region}; what it sends arrives`;
    case "cut-out":
      swallow(around(network, region).map(turned), all, forMs);
      return `nothing that ${region} sends arrives; what is sent to it does`;
    case "link":
      swallow(both([{ from: placeOf(network, what.to), to: placeOf(network, region) }]), all, forMs);
      return `${region} and ${what.to} do not reach one another`;
    case "port": {
      const others = around(network, region).filter(({ from }) => from !== network.clients);
      swallow(both(others), { kind: "all", port: what.port }, forMs);
      return `port ${what.port} of ${region} is cut for other regions; everything else passes`;
    }
    case "loss":
      swallow(both(around(network, region)), { kind: "loss", percent: what.percent }, forMs);
      return `${what.percent} % of what ${region} sends and is sent gets lost`;
    case "clients-cut":
      swallow(both([{ from: network.clients, to: placeOf(network, region) }]), all, forMs);
      return `clients do not reach ${region}; regions do`;
    default:
      return what satisfies never;
  }
}

/** From everybody else to the region. */
function around(network: Network, region: string): Direction[] {
  const to = placeOf(network, region);
  return [...network.regions, network.clients].filter((place) => place !== to).map((from) => ({ from, to }));
}

function both(directions: readonly Direction[]): Direction[] {
  return [...directions, ...directions.map(turned)];
}

function turned({ from, to }: Direction): Direction {
  return { from: to, to: from };
}

function placeOf(network: Network, region: string): NetworkPlace {
  const found = network.regions.find(({ name }) => name === region);
  if (!found)
    throw new Error(`no region ${region}; there is: ${network.regions.map(({ name }) => name).join(", ")}`);
  return found;
}
