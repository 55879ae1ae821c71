/** A register: reads of what was never written, lost and stale values by name, and then the search. */
import { type Checked, type Finding, finding, found } from "./finding.ts";
import { type Linearized, linearize } from "./linearize.ts";
import { registerModel } from "./models.ts";
import { mayWrite, type Operation, toldOf } from "./operation.ts";
import { searchObject } from "./search.ts";

/** All operations on one register. */
export function checkRegister(key: string, operations: readonly Operation[], stepsMax: number): Checked {
  const named = namedFindings(key, operations);
  if (named.length > 0) return found(named);
  return searchObject(key, operations, stepsMax, searchRegister, (firm) => {
    const seen = new Set(firm.map(seenBy));
    return operations.filter((operation) => mayWrite(operation) && seen.has(writtenBy(operation)));
  });
}

export function searchRegister(operations: readonly Operation[], stepsMax: number): Linearized {
  return linearize(registerModel, observed(operations), stepsMax);
}

function namedFindings(key: string, operations: readonly Operation[]): readonly Finding[] {
  const writersOf = Map.groupBy(operations.filter(writes), (operation) => writtenBy(operation));
  const acknowledged = operations.filter((operation) => mayWrite(operation) && toldOf(operation) !== null);
  const looks = operations.filter((operation) => seenBy(operation) !== undefined);
  const last = looks.filter(({ ask }) => ask.kind === "read").sort((a, b) => b.sentAt - a.sentAt)[0];

  /** One that was acknowledged before `look` was sent, and certainly came after everything that could explain `look`. */
  const missedBy = (look: Operation): Operation | undefined => {
    const value = seenBy(look);
    const writers = value === null ? [] : (writersOf.get(value) ?? []).filter(mayWrite);
    return acknowledged.find(
      (newer) =>
        newer.doneAt < look.sentAt &&
        writers.every(
          (writer) => writer !== newer && toldOf(writer) !== null && writer.doneAt < newer.sentAt,
        ),
    );
  };

  return looks.flatMap((look): Finding[] => {
    const value = seenBy(look);
    const writers = value === null ? [] : (writersOf.get(value) ?? []);
    if (value !== null && !writers.some(mayWrite))
      return writers.length === 0
        ? [finding("never-written", key, `${value} was seen and never written`, [look])]
        : [
            finding("failed-write-read", key, `${value} was seen, and its write had failed`, [
              ...writers,
              look,
            ]),
          ];
    const missed = missedBy(look);
    if (missed === undefined) return [];
    // When even the last read has not got beyond what it should, it is gone for good.
    const isLost = last !== undefined && missedBy(last) !== undefined;
    const witness = [...writers.filter(mayWrite), missed, look];
    return isLost
      ? [finding("lost-write", key, `${writtenBy(missed)} was acknowledged, and is gone`, witness)]
      : [
          finding(
            "stale-read",
            key,
            `${writtenBy(missed)} was acknowledged before the read was sent`,
            witness,
          ),
        ];
  });
}

/** Whether it asked to write, whatever came of it. A swap that was refused by its own condition wrote nothing. */
function writes({ ask, outcome }: Operation): boolean {
  if (ask.kind === "swap") return !(outcome.kind === "ok" && outcome.told.done === false);
  return ask.kind === "write";
}

function writtenBy({ ask }: Operation): number | undefined {
  if (ask.kind === "write") return ask.value;
  return ask.kind === "swap" ? ask.to : undefined;
}

/** The value that it proves to have been there; undefined: it proves none. */
function seenBy(operation: Operation): number | null | undefined {
  const told = toldOf(operation);
  if (told === null) return undefined;
  if (operation.ask.kind === "read") return told.value;
  return operation.ask.kind === "swap" && told.done === true ? operation.ask.from : undefined;
}

/**
 * Without the writes of unknown outcome that nobody can have seen: where one of them explains something, nothing at all
 * explains it as well. But a swap that was refused may need one, to hide the value that it asked for: any one, so the
 * earliest are enough, as many as there are such swaps.
 */
function observed(operations: readonly Operation[]): readonly Operation[] {
  const wanted = new Set<number | null | undefined>();
  let refused = 0;
  for (const operation of operations) {
    const { ask, outcome } = operation;
    wanted.add(seenBy(operation));
    if (ask.kind !== "swap") continue;
    wanted.add(ask.from);
    if (outcome.kind === "ok" && outcome.told.done === false) refused++;
  }
  const isNeeded = (operation: Operation) =>
    operation.outcome.kind !== "unknown" || operation.ask.kind !== "write" || wanted.has(operation.ask.value);
  const spare = operations
    .filter((operation) => !isNeeded(operation))
    .sort((a, b) => a.sentAt - b.sentAt)
    .slice(0, refused);
  return operations.filter((operation) => isNeeded(operation) || spare.includes(operation));
}
