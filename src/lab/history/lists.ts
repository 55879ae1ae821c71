/** A list: lost, doubled and never-written elements, reads that contradict one another, and then the search. */
import { type Checked, type Finding, finding, found } from "./finding.ts";
import { type Linearized, linearize } from "./linearize.ts";
import { listModel } from "./models.ts";
import { dueBy, mayWrite, type Operation, toldOf } from "./operation.ts";
import { searchObject } from "./search.ts";

/** All operations on one list. Each value is appended by one operation at most. */
export function checkList(key: string, operations: readonly Operation[], stepsMax: number): Checked {
  const named = namedFindings(key, operations);
  if (named.length > 0) return found(named);
  return searchObject(key, operations, stepsMax, searchList, (firm) => {
    // One that was sent before all of them were answered could have come anywhere.
    const seen = new Set(firm.flatMap((operation) => valuesOf(operation) ?? []));
    const isLate = ({ sentAt }: Operation) => firm.some((one) => dueBy(one) < sentAt);
    return operations.filter((one) => mayWrite(one) && seen.has(elementOf(one)) && isLate(one));
  });
}

/** Reads must be beginnings of one another: `checkList` has seen to that. */
export function searchList(operations: readonly Operation[], stepsMax: number): Linearized {
  const { seen, missed } = divide(operations);
  if (missed.length > 0) return { kind: "invalid", steps: 0, explained: 0 };
  return linearize(listModel(longestRead(operations)), seen, stepsMax);
}

/**
 * An element that no read has can only have come after all reads and all elements that one has. `missed`: those that
 * cannot, since they were acknowledged before one of these was sent. The others are left out, as if nobody had asked.
 */
function divide(operations: readonly Operation[]) {
  const isThere = new Set(longestRead(operations));
  const isSeen = (operation: Operation) =>
    operation.ask.kind === "append"
      ? mayWrite(operation) && isThere.has(operation.ask.value)
      : toldOf(operation) !== null;
  const seen = operations.filter(isSeen);
  const lastSentAt = seen.reduce((last, { sentAt }) => Math.max(last, sentAt), Number.NEGATIVE_INFINITY);
  const missed = operations.filter(
    (operation) => operation.ask.kind === "append" && !isSeen(operation) && dueBy(operation) < lastSentAt,
  );
  return { seen, missed };
}

function longestRead(operations: readonly Operation[]): readonly number[] {
  return operations.reduce<readonly number[]>((longest, operation) => {
    const values = valuesOf(operation) ?? [];
    return longest.length < values.length ? values : longest;
  }, []);
}

function namedFindings(key: string, operations: readonly Operation[]): readonly Finding[] {
  const appends = operations.filter(({ ask }) => ask.kind === "append");
  const reads = operations.filter((operation) => valuesOf(operation) !== null);
  const longest = longestRead(operations);
  const isBeginning = (read: Operation) => valuesOf(read)?.every((value, place) => value === longest[place]);
  const odd = reads.filter((read) => !isBeginning(read));
  const longestBy = reads.find((read) => valuesOf(read) === longest);

  // What the longest read has, its beginnings have.
  const appendOf = new Map(appends.map((append) => [elementOf(append), append]));
  const content = [...(longestBy ? [longestBy] : []), ...odd];
  const findings = content.flatMap((read) => contentFindings(key, read, appendOf));
  if (findings.length > 0) return findings;

  const places = new Map(longest.map((value, place) => [value, place]));
  const missing = missingFindings(
    key,
    reads.map((read): Content => {
      const values = valuesOf(read) ?? [];
      const own = odd.includes(read) ? new Set(values) : null;
      return {
        read,
        has: (value) => own?.has(value) ?? (places.get(value) ?? values.length) < values.length,
      };
    }),
    appends,
  );
  if (missing.length > 0) return missing;

  if (odd.length > 0)
    return odd.map((read) =>
      finding("split-order", key, "no single list can have been read as both", [read, longestBy ?? read]),
    );

  const { seen, missed } = divide(operations);
  return missed.map((append) => {
    const later = seen.filter(({ sentAt }) => dueBy(append) < sentAt);
    return finding(
      "lost-write",
      key,
      `${elementOf(append)} was acknowledged, and is not before what came after it`,
      [append, ...later.slice(0, 1), ...(longestBy ? [longestBy] : [])],
    );
  });
}

/** What is in it and should not be. */
function contentFindings(
  key: string,
  read: Operation,
  appendOf: ReadonlyMap<number, Operation>,
): readonly Finding[] {
  const findings: Finding[] = [];
  const values = valuesOf(read) ?? [];
  const seen = new Set<number>();
  for (const value of values) {
    const writer = appendOf.get(value);
    if (seen.has(value))
      findings.push(
        finding("doubled-write", key, `${value} is there twice`, writer ? [writer, read] : [read]),
      );
    seen.add(value);
    if (writer === undefined)
      findings.push(finding("never-written", key, `${value} was seen and never appended`, [read]));
    else if (!mayWrite(writer))
      findings.push(
        finding("failed-write-read", key, `${value} was seen, and its append had failed`, [writer, read]),
      );
  }
  return findings;
}

interface Content {
  readonly read: Operation;
  has(value: number): boolean;
}

/** What was acknowledged before a read was sent, and is not in it: each element once, by the first read without it. */
function missingFindings(
  key: string,
  contents: readonly Content[],
  appends: readonly Operation[],
): readonly Finding[] {
  const last = contents.reduce<Content | null>(
    (late, one) => (late === null || late.read.sentAt <= one.read.sentAt ? one : late),
    null,
  );
  return appends.flatMap((append): Finding[] => {
    const value = elementOf(append);
    const without = contents.find(({ read, has }) => dueBy(append) < read.sentAt && !has(value));
    if (without === undefined || last === null) return [];
    return last.has(value)
      ? [
          finding("stale-read", key, `${value} was acknowledged before the read was sent`, [
            append,
            without.read,
          ]),
        ]
      : [
          finding("lost-write", key, `${value} was acknowledged, and is gone`, [
            append,
            without.read,
            last.read,
          ]),
        ];
  });
}

function valuesOf(operation: Operation): readonly number[] | null {
  return operation.ask.kind === "list" ? (toldOf(operation)?.values ?? null) : null;
}

function elementOf({ ask }: Operation): number {
  return ask.kind === "append" ? ask.value : Number.NaN;
}
