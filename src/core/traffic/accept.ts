/**
 * A table in, taken or refused out: the rules by which every data plane guards itself.
 *
 * - R1. Only a greater (epoch, generation) is taken; the same digest changes nothing; an older one is refused.
 * - R2. No service loses its last target unless the table says `off`; no target outside `allow`, or in a region that is
 *   `forbidden` or `fenced`. (The signature is verified by the caller, before.)
 * - S5. No data store's epoch goes down, whatever the table as a whole says.
 * - S13. A table without services, or without one that the same topology had, is never taken.
 */
import type { RoutingTable, ServiceRoute } from "../model/routing.ts";
import { canonicalJson } from "./canonical.ts";
import { isUsable } from "./choose.ts";

export type Acceptance =
  | { readonly kind: "take" }
  | { readonly kind: "unchanged" }
  | { readonly kind: "refuse"; readonly reason: RefusalReason; readonly because: string };

export type RefusalReason = "older" | "conflict" | "digest" | "empty" | "target" | "writer";

/** SHA-256 of a text, hexadecimal: passed in, since the core computes none. */
export type Digest = (text: string) => string;

export function digestOf(table: RoutingTable, digest: Digest): string {
  return digest(canonicalJson({ ...table, digest: undefined }));
}

/** Negative: `a` is older than `b`. */
export function compareTables(
  a: Pick<RoutingTable, "epoch" | "generation">,
  b: Pick<RoutingTable, "epoch" | "generation">,
): number {
  return a.epoch - b.epoch || a.generation - b.generation;
}

export function accept(current: RoutingTable | null, next: RoutingTable, digest: Digest): Acceptance {
  return acceptDigested(current, next, digestOf(next, digest));
}

/** `actual`: as `digestOf` computes it, for who has the canonical text of a thousand services at hand. */
export function acceptDigested(current: RoutingTable | null, next: RoutingTable, actual: string): Acceptance {
  if (actual !== next.digest)
    return refuse(
      "digest",
      `the table says digest ${next.digest.slice(0, 12)}, its content ${actual.slice(0, 12)}`,
    );
  if (current && current.digest === next.digest) return { kind: "unchanged" };
  const refusal = (current && refuseOrder(current, next)) ?? refuseContent(next);
  return refusal ?? { kind: "take" };
}

function refuseOrder(current: RoutingTable, next: RoutingTable): Acceptance | null {
  const order = compareTables(next, current);
  if (order < 0) return refuse("older", `${nameOf(next)} is older than ${nameOf(current)}`);
  if (order === 0) return refuse("conflict", `${nameOf(next)} exists already with other content`);
  for (const [name, route] of Object.entries(current.stores)) {
    const epoch = next.stores[name]?.epoch;
    if (epoch !== undefined && epoch < route.epoch)
      return refuse("older", `data store ${name} went back from epoch ${route.epoch} to ${epoch}`);
  }
  if (next.topology !== current.topology) return null;
  const gone = Object.keys(current.services).find((name) => !next.services[name]);
  return gone === undefined ? null : refuse("empty", `service ${gone} is gone, in the same topology`);
}

function refuseContent(next: RoutingTable): Acceptance | null {
  const services = Object.entries(next.services);
  if (services.length === 0) return refuse("empty", "the table has no service");
  for (const [name, service] of services) {
    const refusal = refuseService(next, name, service);
    if (refusal) return refusal;
  }
  for (const [name, store] of Object.entries(next.stores)) {
    if (store.epoch > next.epoch)
      return refuse("writer", `data store ${name} is in epoch ${store.epoch}, the table in ${next.epoch}`);
    const state = store.writer && next.regions[store.writer.region];
    if (state === "forbidden" || state === "fenced")
      return refuse(
        "writer",
        `data store ${name} has its writer in ${store.writer?.region}, which is ${state}`,
      );
  }
  return null;
}

function refuseService(table: RoutingTable, name: string, service: ServiceRoute): Acceptance | null {
  for (const target of service.targets) {
    const state = table.regions[target.region];
    if (!service.allow.includes(target.region))
      return refuse("target", `service ${name} may not be served from ${target.region}`);
    if (state === undefined || state === "forbidden" || state === "fenced")
      return refuse(
        "target",
        `service ${name} has a target in ${target.region}, which is ${state ?? "unknown"}`,
      );
  }
  if (service.mode === "off" || service.targets.some((target) => isUsable(table, target))) return null;
  return refuse("empty", `service ${name} has no target left and is not off`);
}

function refuse(reason: RefusalReason, because: string): Acceptance {
  return { kind: "refuse", reason, because };
}

function nameOf(table: RoutingTable): string {
  return `table (epoch ${table.epoch}, generation ${table.generation})`;
}
