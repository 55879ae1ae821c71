/**
 * The data planes of one region: all of them take each table, and each is looked at over and over.
 *
 * A table counts as applied when every plane goes by it, or by a later one; which did not is said once, not with each try.
 * What goes by an older table (its disk was lost), or does otherwise than its table says (somebody's hand), is put right.
 */
import type { PlaneKind, PlaneSight, PlaneView, RoutersView, TableMark } from "../core/model/plane.ts";
import type { SignedTable } from "../core/model/routing.ts";
import type { Clock } from "../ports/clock.ts";
import type { ApplyOutcome, Router } from "../ports/router.ts";
import type { Log } from "./log.ts";

export interface Plane {
  readonly name: string;
  readonly kind: PlaneKind;
  readonly router: Router;
}

export interface PlanesOptions {
  readonly region: string;
  readonly planes: readonly Plane[];
  readonly clock: Pick<Clock, "now">;
  readonly log: Log;
}

export interface Planes {
  /** True: every one goes by it, or by a later one. */
  apply(table: SignedTable, signal: AbortSignal): Promise<boolean>;
  /** Looks at all, and mends what differs. Never rejects. */
  check(signal: AbortSignal): Promise<void>;
  /** Looks at all, and changes nothing. Never rejects. */
  view(signal: AbortSignal): Promise<RoutersView>;
  close(): Promise<void>;
}

/** A plane of one's own region answers in milliseconds. */
const lookTimeoutMs = 1000;
const mendTimeoutMs = 2000;

export function createPlanes({ region, planes, clock, log }: PlanesOptions): Planes {
  let wanted: SignedTable | null = null;
  const watched = planes.map(
    (plane): Watched => ({
      ...plane,
      said: "",
      refused: "",
      mended: 0,
      mendedLast: "",
      offering: null,
    }),
  );

  /** Once per trouble: a plane that is gone for an hour is tried some thousand times. */
  const say = (plane: Watched, level: "warning" | "alarm", trouble: string) => {
    if (trouble === plane.said) return;
    if (trouble !== "") log(level, trouble, { plane: plane.name, kind: plane.kind });
    else log("info", `the data plane ${plane.name} goes by the table again`, { plane: plane.name });
    plane.said = trouble;
  };

  /** The machine asks again every lease renewal, sooner than a slow plane answers: who asks for the same waits for the same. */
  const offer = (plane: Watched, table: SignedTable, signal: AbortSignal): Promise<boolean> => {
    const { digest } = table.table;
    if (plane.offering?.digest === digest) return plane.offering.took;
    const offering = { digest, took: offerNow(plane, table, signal) };
    plane.offering = offering;
    return offering.took.finally(() => {
      if (plane.offering === offering) plane.offering = null;
    });
  };

  const offerNow = async (plane: Watched, table: SignedTable, signal: AbortSignal): Promise<boolean> => {
    const { generation } = table.table;
    const outcome = await plane.router
      .apply(table, signal)
      .catch((error: unknown): ApplyOutcome => ({ kind: "unknown", because: String(error) }));
    plane.refused = "";
    switch (outcome.kind) {
      case "applied":
      case "unchanged":
        say(plane, "warning", "");
        return true;
      case "refused":
        if (outcome.generation >= generation) return true;
        plane.refused = outcome.because;
        say(plane, "alarm", `the data plane ${plane.name} refuses table ${generation}: ${outcome.because}`);
        return false;
      case "unknown":
        say(
          plane,
          "warning",
          // Without the number: it is the same trouble with the next table.
          `it is not known whether the data plane ${plane.name} goes by the newest table: ${outcome.because}`,
        );
        return false;
      default:
        return outcome satisfies never;
    }
  };

  const check = async (plane: Watched, signal: AbortSignal): Promise<void> => {
    const table = wanted;
    if (table === null) return;
    const { sight } = await look(plane.router, signal);
    // That it does not answer is told when it is offered a table; it goes on with what it has.
    if (sight === null || signal.aborted) return;
    const wrong = whatIsWrong(sight, table);
    if (wrong === "") return say(plane, "warning", "");
    // What it refused it will refuse again, until somebody has seen to it.
    if (!(await offer(plane, table, within(signal, mendTimeoutMs)))) return;
    plane.mended++;
    plane.mendedLast = wrong;
    log("warning", `the data plane ${plane.name} was put right`, { plane: plane.name, wrong });
  };

  return {
    async apply(table, signal) {
      if (wanted === null || compare(table.table, wanted.table) > 0) wanted = table;
      const took = await Promise.all(watched.map((plane) => offer(plane, table, signal)));
      return took.every(Boolean);
    },
    async check(signal) {
      await Promise.all(watched.map((plane) => check(plane, signal)));
    },
    async view(signal) {
      const beganAt = clock.now();
      const table = wanted;
      const views = await Promise.all(
        watched.map(async (plane) => viewOf(plane, await look(plane.router, signal), table)),
      );
      return {
        region,
        wanted: table && markOf(table.table),
        tookMs: Math.round(clock.now() - beganAt),
        planes: views,
      };
    },
    async close() {
      await Promise.all(watched.map(({ router }) => router.close()));
    },
  };
}

interface Watched extends Plane {
  /** The trouble that was told last; empty: none. */
  said: string;
  /** Why it refused the newest table; empty: it did not. */
  refused: string;
  mended: number;
  mendedLast: string;
  offering: { readonly digest: string; readonly took: Promise<boolean> } | null;
}

interface Look {
  /** null: it did not say. */
  readonly sight: PlaneSight | null;
  readonly because: string;
}

async function look(router: Router, signal: AbortSignal): Promise<Look> {
  try {
    return { sight: await router.look(within(signal, lookTimeoutMs)), because: "" };
  } catch (error) {
    return { sight: null, because: (error as Error).message };
  }
}

/** In one sentence; empty: nothing. */
function whatIsWrong({ table, drift }: PlaneSight, wanted: SignedTable): string {
  if (table === null) return "it has no table";
  if (compare(table, wanted.table) < 0) return `it goes by table ${table.generation}`;
  return drift.join("; ");
}

function viewOf(plane: Watched, { sight, because }: Look, wanted: SignedTable | null): PlaneView {
  const { name, kind, refused, mended, mendedLast } = plane;
  const told = { name, kind, mended, mendedLast, abilities: plane.router.abilities };
  if (sight === null) return { ...told, state: "unreachable", table: null, drift: [], because };
  const { table, drift } = sight;
  const isBehind = table === null || (wanted !== null && compare(table, wanted.table) < 0);
  if (isBehind && refused !== "") return { ...told, state: "refused", table, drift, because: refused };
  if (isBehind) {
    const has = table === null ? "it has no table" : `it goes by table ${table.generation}`;
    const of = wanted === null ? "none was published yet" : `the newest is ${wanted.table.generation}`;
    return { ...told, state: "behind", table, drift, because: `${has}; ${of}` };
  }
  if (drift.length > 0) return { ...told, state: "drifted", table, drift, because: drift.join("; ") };
  return { ...told, state: "current", table, drift, because: "" };
}

function markOf({ epoch, generation, digest }: TableMark): TableMark {
  return { epoch, generation, digest };
}

/** Negative: `a` is older (R1). */
function compare(a: TableMark, b: TableMark): number {
  return a.epoch - b.epoch || a.generation - b.generation;
}

function within(signal: AbortSignal, timeoutMs: number): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
}
