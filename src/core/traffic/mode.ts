/** What a service's mode lets through, and which requests wait while its writer changes. */
import type { RoutingTable, ServiceMode, ServiceRoute } from "../model/routing.ts";

export type Admission =
  | { readonly kind: "admit" }
  | { readonly kind: "hold"; readonly because: string }
  | { readonly kind: "refuse"; readonly code: RefusalCode; readonly because: string };

export type RefusalCode = "HOLDFAST_READ_ONLY" | "HOLDFAST_STATIC" | "HOLDFAST_OFF";

export function admitByMode(mode: ServiceMode, safe: boolean): Admission {
  switch (mode) {
    case "rw":
      return { kind: "admit" };
    case "ro":
      if (safe) return { kind: "admit" };
      return { kind: "refuse", code: "HOLDFAST_READ_ONLY", because: "the service is read-only for now" };
    case "static":
      return { kind: "refuse", code: "HOLDFAST_STATIC", because: "the service serves fixed content for now" };
    case "off":
      return { kind: "refuse", code: "HOLDFAST_OFF", because: "the service is switched off for now" };
    default:
      return mode satisfies never;
  }
}

export interface WriteFacts {
  readonly safe: boolean;
  readonly idempotent: boolean;
  /** Whether the edge itself has seen a writer of this service fail since it last saw it well. */
  readonly writerFailing: boolean;
}

/**
 * Holds before sending every unsafe request while the table announces a change, or the edge itself sees the writer
 * failing. None is sent to find out: the watch does that, once for all, or hundreds of repeats would be what keeps the
 * writer down (S16).
 */
export function holdForWriter(table: RoutingTable, service: ServiceRoute, facts: WriteFacts): Admission {
  if (facts.safe) return { kind: "admit" };
  for (const name of service.dataStores) {
    const store = table.stores[name];
    if (store?.changing) return { kind: "hold", because: `the writer of ${name} is being changed` };
  }
  if (facts.writerFailing) return { kind: "hold", because: "the writer has been seen failing" };
  return { kind: "admit" };
}
