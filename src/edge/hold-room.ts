/**
 * Where requests wait for better times: bounded in number by their service's rules, woken all at once by good news.
 *
 * What matters most is woken first, and when there is no place left it takes that of what matters least.
 */
import type { Priority } from "../core/model/degradation.ts";
import { type Part, partOf, whole } from "../core/traffic/part.ts";
import type { Metrics } from "./metrics.ts";

export interface Waiting {
  /** Leaves without being called. */
  leave(): void;
}

interface Guest {
  readonly timer: NodeJS.Timeout;
  readonly onward: () => void;
  readonly displaced: () => void;
}

type Row = Map<object, Guest>;

export class HoldRoom {
  /** Who has waited longest comes first in each. */
  readonly #rows: Readonly<Record<Priority, Row>> = {
    critical: new Map(),
    standard: new Map(),
    sheddable: new Map(),
  };

  readonly #part: Part;

  constructor(metrics: Metrics, part: Part = whole) {
    this.#part = part;
    metrics.gauge("holdfast_edge_held", {}, () => this.held);
  }

  /** Of the places that an edge has for a service, those in this process. */
  placesOf(holdMaxCount: number): number {
    return partOf(holdMaxCount, this.#part);
  }

  get held(): number {
    const { critical, standard, sheddable } = this.#rows;
    return critical.size + standard.size + sheddable.size;
  }

  /** Calls `onward` once: after `pauseMs`, or as soon as there is news; or else `displaced`, when its place is taken. */
  wait(priority: Priority, pauseMs: number, onward: () => void, displaced: () => void): Waiting {
    const row = this.#rows[priority];
    const key = {};
    const timer = setTimeout(() => {
      row.delete(key);
      onward();
    }, pauseMs);
    row.set(key, { timer, onward, displaced });
    return {
      leave: () => {
        clearTimeout(timer);
        row.delete(key);
      },
    };
  }

  /** Makes place for what matters more: the lowest goes, and of those who has waited longest. False: nobody is lower. */
  displaceBelow(priority: Priority): boolean {
    const { standard, sheddable } = this.#rows;
    const lower = { critical: [sheddable, standard], standard: [sheddable], sheddable: [] }[priority];
    const row = lower.find(({ size }) => size > 0);
    if (!row) return false;
    for (const guest of take(row, 1)) guest.displaced();
    return true;
  }

  /** The `count` that matter most, and have waited longest. */
  wakeSome(count: number): void {
    const { critical, standard, sheddable } = this.#rows;
    const woken: Guest[] = [];
    for (const row of [critical, standard, sheddable]) woken.push(...take(row, count - woken.length));
    for (const guest of woken) guest.onward();
  }

  /** A new table, or a writer that takes writes again. */
  wakeAll(): void {
    this.wakeSome(this.held);
  }
}

/** At most `count` guests, out of the row and off the clock. */
function take(row: Row, count: number): readonly Guest[] {
  const taken: Guest[] = [];
  for (const [key, guest] of row) {
    if (taken.length === count) break;
    clearTimeout(guest.timer);
    row.delete(key);
    taken.push(guest);
  }
  return taken;
}
