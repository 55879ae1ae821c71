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
add map ${table} loss { type ipv4_addr : verdict; flags timeout; }
add chain ${table} arriving { type filter hook prerouting priority -300; policy accept; }
add rule ${table} arriving ip saddr @cut counter drop
add rule ${table} arriving ip saddr . tcp dport @cut_port counter drop
add rule ${table} arriving ip saddr . tcp sport @cut_port counter drop
add rule ${table} arriving ip saddr vmap @loss
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
      const put = (set: string, key: string, value: string) =>
        lines.push(
          `add element ${table} ${set} { ${key} timeout 1h${value} }`,
          `delete element ${table} ${set} { ${key} }`,
          `add element ${table} ${set} { ${key} ${timeout}${value} }`,
        );
      if (what.kind === "all" && what.port === null) put("cut", from.address, "");
      else if (what.kind === "all") put("cut_port", `${from.address} . ${what.port}`, "");
      else {
        const permille = Math.round(what.percent * 10);
        const chain = `${table} loss_${permille}`;
        lines.push(
          `add chain ${chain}`,
          `flush chain ${chain}`,
          `add rule ${chain} numgen random mod 1000 < ${permille} counter drop`,
        );
        put("loss", from.address, ` : jump loss_${permille}`);
      }
    }
    nft(to, `${lines.join("\n")}\n`);
  }
}

/** Everything passes again, at once. */
export function heal(places: readonly NetworkPlace[]): void {
  for (const place of places)
    nft(place, `flush set ${table} cut\nflush set ${table} cut_port\nflush map ${table} loss\n`);
}

/** How many entries still swallow something there. */
export function countSwallowing(place: NetworkPlace): number {
  const list = runTool("nsenter", [...place.prefix.slice(1), "nft", "-j", "list", "ruleset"]);
  const { nftables } = JSON.parse(list) as {
    nftables: readonly Record<string, { elem?: readonly unknown[] }>[];
  };
  return nftables.reduce((sum, entry) => sum + (entry.set?.elem?.length ?? entry.map?.elem?.length ?? 0), 0);
}

function nft(place: NetworkPlace, script: string): void {
  runTool("nsenter", [...place.prefix.slice(1), "nft", "-f", "-"], { input: script });
}
