/**
 * Orders for a service's level: written to the control store by whoever is asked, ended by whoever sees their end first.
 *
 * - O1. One record a service, changed by compare-and-swap only: an end that comes late never ends the order after it.
 * - O2. No wall clock ends an order. Each agent counts from when it saw it, by its own monotonic clock; one that was
 *   restarted counts anew, and the others are there before it.
 */
import { type LevelOrder, type LevelRecord, ordersKept } from "../core/model/degradation.ts";
import type { ServiceName } from "../core/model/id.ts";
import { recordKeys } from "../core/model/record.ts";
import type { LevelBody } from "../core/model/status.ts";
import type { InstantMs } from "../core/model/time.ts";
import type { Clock } from "../ports/clock.ts";
import type { Store } from "../ports/store.ts";
import { decodeRecord } from "./decode.ts";
import type { Log } from "./log.ts";

export type OrderOutcome =
  | { readonly kind: "ordered"; readonly record: LevelRecord }
  | { readonly kind: "failed"; readonly because: string };

/** Two people at once, or an order that ends just now: more than that is a store that does not answer. */
const triesMax = 5;

type Parts = { readonly store: Store; readonly clock: Clock };

export async function orderLevel(
  { store, clock }: Parts,
  service: ServiceName,
  body: LevelBody,
  signal: AbortSignal,
): Promise<OrderOutcome> {
  const key = recordKeys.level(service);
  for (let tries = 0; tries < triesMax; tries++) {
    const found = await store.get(key, signal);
    const before = found ? read(key, found.value) : null;
    const record = ordered(before, service, body, clock.wall());
    const outcome = await store.compareAndSwap(key, found?.revision ?? 0, JSON.stringify(record), signal);
    if (outcome.kind === "succeeded") return { kind: "ordered", record };
    if (outcome.kind === "unknown")
      return { kind: "failed", because: `it is not known whether it was written: ${outcome.because}` };
  }
  return { kind: "failed", because: `others changed it ${triesMax} times meanwhile` };
}

/** What cannot be read any more is replaced: an order of a person is not to wait for somebody's mistake. */
function read(key: string, text: string): LevelRecord | null {
  const decoded = decodeRecord(key, text);
  return decoded.kind === "decoded" ? (decoded.record as LevelRecord) : null;
}

function ordered(before: LevelRecord | null, service: ServiceName, body: LevelBody, at: number): LevelRecord {
  const { level, by, why } = body;
  const number = (before?.order.number ?? 0) + 1;
  // Level 0 stands for itself: there is nothing that could end.
  const ended = level === 0 ? { at, because: `${by} ordered level 0` } : null;
  const order: LevelOrder = { number, level, by, why, at, forMs: level === 0 ? 0 : body.forMs, ended };
  if (before === null) return { schema: 1, service, order, before: [] };
  const last = before.order.ended ?? { at, because: `${by} ordered level ${level}` };
  return {
    schema: 1,
    service,
    order,
    before: [{ ...before.order, ended: last }, ...before.before].slice(0, ordersKept),
  };
}

export interface SeenOrders {
  /** Ends what is over. Never rejects. */
  look(
    levels: Readonly<Record<ServiceName, { readonly record: LevelRecord; readonly revision: number }>>,
  ): Promise<void>;
}

const writeTimeoutMs = 2000;

export function watchOrders({ store, clock }: Parts, log: Log): SeenOrders {
  /** Service -> the order that stands, and when it was seen here first. */
  const seen = new Map<ServiceName, { readonly number: number; readonly at: InstantMs }>();

  return {
    async look(levels) {
      const now = clock.now();
      for (const [service, { record, revision }] of Object.entries(levels)) {
        const { order } = record;
        if (seen.get(service)?.number !== order.number) seen.set(service, { number: order.number, at: now });
        const since = seen.get(service)?.at ?? now;
        if (order.ended !== null || order.forMs === 0 || now < since + order.forMs) continue;
        const ended = { at: clock.wall(), because: "its time was over" };
        const next: LevelRecord = { ...record, order: { ...order, ended } };
        // O1. Refused: somebody was there first, with an end or with another order.
        const outcome = await store.compareAndSwap(
          recordKeys.level(service),
          revision,
          JSON.stringify(next),
          AbortSignal.timeout(writeTimeoutMs),
        );
        if (outcome.kind === "succeeded")
          log("info", `level ${order.level} of ${service} is over`, { by: order.by, why: order.why });
      }
    },
  };
}
