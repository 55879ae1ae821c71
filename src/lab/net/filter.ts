/**
 * What the network swallows: which packets, from where to where, until when.
 *
 * - X1. A packet is dropped where it arrives, never where it was sent: the sender's kernel would notice, and a lost packet
 *   is noticed by nobody.
 * - X2. Each entry carries its own end, kept by the kernel: it ends when the lab, its reaper and this command are long dead.
 */
import type { NetworkPlace } from "./place.ts";
import { runTool } from "./tool.ts";

/** From one place to another, one way. */
export interface Direction {
  readonly from: NetworkPlace;
  readonly to: NetworkPlace;
}

/** `port`: only what goes to or comes from this TCP port of either end; null: everything. */
export type Swallow =
  | { readonly kind: "all"; readonly port: number | null }
  /** More than 0 and at most 100. */
  | { readonly kind: "loss"; readonly percent: number };

const table = "inet holdfast";

export function installFilter(place: NetworkPlace): void {
  nft(
    place,
    `add table ${table}
add set ${table} cut { type ipv4_addr; flags timeout; }
add set ${table} cut_port { type ipv4_addr . inet_service; flags timeout; }
add chain ${table} arriving { type filter hook prerouting priority -300; policy accept; }
add rule ${table} arriving ip saddr @cut counter drop
add rule ${table} arriving ip saddr . tcp dport @cut_port counter drop
add rule ${table} arriving ip saddr . tcp sport @cut_port counter drop
`,
  );
}

/** Holds when it returns; ends by itself after `forMs`. One that is there already is replaced. */
export function swallow(directions: readonly Direction[], what: Swallow, forMs: number): void {
  const timeout = `timeout ${Math.max(1, Math.round(forMs))}ms`;
  for (const [to, own] of Map.groupBy(directions, (direction) => direction.to)) {
    const lines: string[] = [];
    for (const { from } of own) {
      // Added, removed and added: an element that is there would keep the end that it had.
      const put = (set: string, key: string) =>
        lines.push(
          `add element ${table} ${set} { ${key} timeout 1h }`,
          `delete element ${table} ${set} { ${key} }`,
          `add element ${table} ${set} { ${key} ${timeout} }`,
        );
      if (what.kind === "all" && what.port === null) put("cut", from.address);
      else if (what.kind === "all") put("cut_port", `${from.address} . ${what.port}`);
      else {
        // A set and a chain for each share: two at a time on one way add up.
        const permille = Math.round(what.percent * 10);
        const [set, chain] = [`lossy_${permille}`, `${table} loss_${permille}`];
        lines.push(
          `add set ${table} ${set} { type ipv4_addr; flags timeout; }`,
          `add chain ${chain} { type filter hook prerouting priority -300; policy accept; }`,
          `flush chain ${chain}`,
          `add rule ${chain} ip saddr @${set} numgen random mod 1000 < ${permille} counter drop`,
        );
        put(set, from.address);
      }
    }
    nft(to, `${lines.join("\n")}\n`);
  }
}

/** Everything passes again, at once. */
export function heal(places: readonly NetworkPlace[]): void {
  for (const place of places)
    nft(
      place,
      setsOf(place)
        .map(({ name }) => `flush set ${table} ${name}\n`)
        .join(""),
    );
}

/** How many entries still swallow something there. */
export function countSwallowing(place: NetworkPlace): number {
  return setsOf(place).reduce((sum, { elem }) => sum + (elem?.length ?? 0), 0);
}

interface FilterSet {
  readonly name: string;
  readonly elem?: readonly unknown[];
}

function setsOf(place: NetworkPlace): readonly FilterSet[] {
  const list = runTool("nsenter", [...place.prefix.slice(1), "nft", "-j", "list", "ruleset"]);
  const { nftables } = JSON.parse(list) as { nftables: readonly { readonly set?: FilterSet }[] };
  return nftables.flatMap(({ set }) => set ?? []);
}

function nft(place: NetworkPlace, script: string): void {
  runTool("nsenter", [...place.prefix.slice(1), "nft", "-f", "-"], { input: script });
}
