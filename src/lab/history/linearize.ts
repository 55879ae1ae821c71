/**
 * Whether one object, seen by many clients, could have been a single one: the search for an order that explains all.
 *
 * After Wing and Gong 1993, with the memory of Lowe 2017 (a set of operations that led to a state need not be tried twice)
 * and five things more, each of which leaves the answer as it is:
 *
 * - W1. One that only looks is taken at once when it fits: later it could only fit worse. (Not one that writes what is there
 *   already: it may be needed later, when something else is.)
 * - W2. One of unknown outcome may be left out, so of two ways to the same state with the same acknowledged operations the
 *   one that needed fewer unknown ones is enough.
 * - W3. Ways that went far with few unknown ones are followed first. Each unknown one costs as much as `unknownCost`
 *   acknowledged ones, so that guesses are made near the place that needs one, and one guess before two.
 * - W4. One of unknown outcome is only tried where one that may be next asks for it (`isAskedFor`): earlier it would say the
 *   same, or nothing.
 * - W5. The search ends after `stepsMax` steps, and says so: that is neither yes nor no.
 *
 * One operation is before another when its answer came before the other was sent; what touches is concurrent.
 */
import type { InstantMs } from "../../core/model/time.ts";
import { dueBy, mayWrite, type Operation } from "./operation.ts";

/** How an object behaves on its own, one operation after the other. */
export interface Model<State> {
  readonly initial: State;
  /** Two states with the same name are the same. */
  nameOf(state: State): string | number;
  /** The state after it; undefined: it cannot be so now, given what the client was told. */
  step(state: State, operation: Operation): State | undefined;
  /**
   * W4. Which of `unknown` are worth a try now: alone or with others of them they change what one of `candidates`, the
   * acknowledged ones that may be next, would be told.
   */
  asksFor(
    state: State,
    candidates: readonly Operation[],
    unknown: readonly Operation[],
  ): (operation: Operation) => boolean;
}

export type Linearized =
  | { readonly kind: "valid"; readonly steps: number }
  | {
      readonly kind: "invalid";
      readonly steps: number;
      /** How many acknowledged operations the best attempt could explain. */
      readonly explained: number;
    }
  | { readonly kind: "unknown"; readonly steps: number; readonly because: string };

/** A place in the search: which operations have taken effect, and what the object is now. */
interface Place<State> {
  readonly state: State;
  /** Every acknowledged operation before it, in the order of sending, has taken effect; it has not. */
  readonly low: number;
  /** Those after it that have, ascending. */
  readonly beyond: readonly number[];
  readonly acknowledged: number;
  /** Which of unknown outcome have taken effect. */
  readonly unknown: bigint;
  readonly guesses: number;
}

/** W3. Above 2, so that one guess a few operations back is tried before two guesses here. */
const unknownCost = 4;

export function linearize<State>(
  model: Model<State>,
  operations: readonly Operation[],
  stepsMax: number,
): Linearized {
  const acknowledged = bySending(operations.filter(({ outcome }) => outcome.kind === "ok"));
  const unknown = bySending(operations.filter(({ outcome }) => outcome.kind === "unknown"));
  const places = new OpenPlaces<State>(acknowledged.length, unknown.length);
  const seen = new SeenPlaces<State>(model);
  places.add({ state: model.initial, low: 0, beyond: [], acknowledged: 0, unknown: 0n, guesses: 0 });

  let steps = 0;
  let explained = 0;
  for (let place = places.take(); place !== null; place = places.take()) {
    const { low, beyond, state } = place;
    explained = Math.max(explained, place.acknowledged);
    if (place.acknowledged === acknowledged.length) return { kind: "valid", steps };
    if (steps > stepsMax)
      return { kind: "unknown", steps, because: `no answer within ${stepsMax} steps of the search` };

    const { candidates, before } = candidatesAt(acknowledged, low, beyond);
    const next: Place<State>[] = [];
    let isFree = false;
    for (const index of candidates) {
      steps++;
      const operation = acknowledged[index] as Operation;
      const after = model.step(state, operation);
      if (after === undefined) continue;
      isFree = !mayWrite(operation);
      if (isFree) next.length = 0;
      next.push({
        ...place,
        ...taking(low, beyond, index),
        state: after,
        acknowledged: place.acknowledged + 1,
      });
      if (isFree) break;
    }
    if (!isFree) {
      const open = unknown.flatMap((operation, index) => {
        const bit = 1n << BigInt(index);
        return operation.sentAt <= before && (place.unknown & bit) === 0n ? [{ operation, bit }] : [];
      });
      const isAskedFor = model.asksFor(
        state,
        candidates.map((one) => acknowledged[one] as Operation),
        open.map(({ operation }) => operation),
      );
      for (const { operation, bit } of open) {
        if (!isAskedFor(operation)) continue;
        steps++;
        const after = model.step(state, operation);
        // Without an effect it need not have been.
        if (after === undefined || after === state) continue;
        next.push({ ...place, state: after, unknown: place.unknown | bit, guesses: place.guesses + 1 });
      }
    }
    // The last that is added is taken first: the one whose answer came first, then the others, then the guesses.
    for (const one of next.reverse()) if (seen.isNew(one)) places.add(one);
  }
  return { kind: "invalid", steps, explained };
}

function bySending(operations: readonly Operation[]): readonly Operation[] {
  return [...operations].sort((a, b) => a.sentAt - b.sentAt || a.number - b.number);
}

/** Those that may be next: sent before any that has not taken effect was answered. The first answered comes first. */
function candidatesAt(
  acknowledged: readonly Operation[],
  low: number,
  beyond: readonly number[],
): { readonly candidates: readonly number[]; readonly before: InstantMs } {
  let before = Number.POSITIVE_INFINITY;
  const candidates: number[] = [];
  for (let index = low, skip = 0; index < acknowledged.length; index++) {
    const operation = acknowledged[index] as Operation;
    if (before < operation.sentAt) break;
    if (beyond[skip] === index) {
      skip++;
      continue;
    }
    before = Math.min(before, dueBy(operation));
    candidates.push(index);
  }
  const dueAt = (index: number) => (acknowledged[index] as Operation).doneAt;
  return {
    candidates: candidates
      .filter((index) => (acknowledged[index] as Operation).sentAt <= before)
      .sort((a, b) => dueAt(a) - dueAt(b)),
    before,
  };
}

function taking(low: number, beyond: readonly number[], index: number): Pick<Place<never>, "low" | "beyond"> {
  if (index !== low) {
    const at = beyond.findIndex((one) => index < one);
    return { low, beyond: at < 0 ? [...beyond, index] : beyond.toSpliced(at, 0, index) };
  }
  let next = low + 1;
  let skip = 0;
  while (beyond[skip] === next) {
    next++;
    skip++;
  }
  return { low: next, beyond: skip === 0 ? beyond : beyond.slice(skip) };
}

/** Places still to be tried, in the order of W3. */
class OpenPlaces<State> {
  readonly #shelves: Place<State>[][] = [];
  readonly #floor: number;
  #highest = -1;

  constructor(acknowledged: number, unknown: number) {
    this.#floor = unknown * unknownCost;
    for (let i = 0; i <= this.#floor + acknowledged; i++) this.#shelves.push([]);
  }

  add(place: Place<State>): void {
    const shelf = this.#floor + place.acknowledged - unknownCost * place.guesses;
    this.#shelves[shelf]?.push(place);
    this.#highest = Math.max(this.#highest, shelf);
  }

  take(): Place<State> | null {
    while (0 <= this.#highest) {
      const place = this.#shelves[this.#highest]?.pop();
      if (place) return place;
      this.#highest--;
    }
    return null;
  }
}

/** Sets to compare with at one place. Beyond, they are forgotten: that costs steps, which are counted, and no answer. */
const setsMax = 64;

/** W2. For each state and set of acknowledged operations the smallest sets of unknown ones. */
class SeenPlaces<State> {
  readonly #model: Model<State>;
  readonly #unknown = new Map<string, readonly bigint[]>();

  constructor(model: Model<State>) {
    this.#model = model;
  }

  isNew({ low, beyond, state, unknown }: Place<State>): boolean {
    const name = `${low};${beyond.join()};${this.#model.nameOf(state)}`;
    const known = this.#unknown.get(name);
    if (known?.some((fewer) => (fewer & unknown) === fewer)) return false;
    if ((known?.length ?? 0) < setsMax)
      this.#unknown.set(name, [...(known ?? []).filter((more) => (more & unknown) !== unknown), unknown]);
    return true;
  }
}
