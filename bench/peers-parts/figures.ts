/**
 * What clients were told against what is there: the figures of one run. Pure.
 *
 * - B1. The write gap is the longest silence between two acknowledgements of clients outside that touches the time of the
 *   fault: from the last before it to the first after it. Writes that never came back have none.
 * - B2. Two writers are counted where it is beyond doubt: a write that was *sent* when somebody of a later epoch had
 *   acknowledged already, and that the earlier one acknowledged all the same, to whomever.
 * - B3. An acknowledged write that the last leader does not have is lost.
 */
import type { LoadHistory } from "../../src/lab/load-record.ts";
import type { Stalls } from "../../src/lab/net/machine-watch.ts";
import type { FaultName } from "./faults.ts";
import type { Acknowledgement, Term, WriterRecord } from "./writer-record.ts";

export interface Evidence {
  readonly system: string;
  readonly fault: FaultName;
  readonly round: number;
  /** Day and time of the fault, ISO 8601. */
  readonly at: string;
  /** Writes that the system may lose by what it promises; null: it promises nothing. */
  readonly mayLose: number | null;
  /** Of the machine, the minute before the fault. */
  readonly loadAverage: number;
  /** Other labs on the machine when the fault struck. */
  readonly labsBeside: number;
  /** Of the machine, from before the fault to the end. */
  readonly stalls: Stalls;
  /** Who led when the fault struck. */
  readonly before: Term;
  readonly faultAt: number;
  /** When the fault was taken back. */
  readonly endedAt: number;
  readonly outside: WriterRecord;
  readonly inside: WriterRecord;
  readonly http: LoadHistory;
  /** `client number` of every row; null: it could not be read. */
  readonly stored: ReadonlySet<string> | null;
}

export interface Figures
  extends Pick<Evidence, "system" | "fault" | "round" | "at" | "mayLose" | "loadAverage" | "labsBeside"> {
  /** B1; null: writes did not come back while the fault lasted. */
  readonly writeGapMs: number | null;
  /** First acknowledgement of another leader, from the fault; null: there was none. */
  readonly newPrimaryMs: number | null;
  /** Last acknowledgement of the old leader to clients beside it, from the fault; null: none after it. */
  readonly oldPrimaryAcksMs: number | null;
  /** B2 */
  readonly overlapMs: number;
  /** Writes of B2. */
  readonly overlapWrites: number;
  readonly acknowledged: number;
  /** What writers outside were told instead -> how often. */
  readonly failures: Readonly<Record<string, number>>;
  /** B3; null: the rows could not be read. */
  readonly lost: number | null;
  readonly http: { readonly requests: number; readonly safeFailed: number; readonly unsafeFailed: number };
  /** Why the run proves nothing; empty: it does. */
  readonly problems: readonly string[];
}

/** A process that stands still for longer measures the machine. */
const stalledMaxMs = 1000;
/** Writes are back when one was acknowledged so shortly before the fault was taken back. */
const backMs = 1000;

export function figuresOf(evidence: Evidence): Figures {
  const { system, fault, round, at, mayLose, loadAverage, labsBeside } = evidence;
  const { before, faultAt, outside, inside, http, stored } = evidence;
  const all = [...outside.acknowledgements, ...inside.acknowledgements];
  const later = outside.acknowledgements.filter((one) => one.doneAt > faultAt && !isOf(one, before));
  const failed = http.requests.filter(({ failure }) => failure !== "");
  const unsafeFailed = failed.filter(({ kind }) => kind === "unsafe-order").length;
  const oldInside = inside.acknowledgements.filter((one) => isOf(one, before)).map(({ doneAt }) => doneAt);
  const overlaps = overlapsOf(all);
  return {
    system,
    fault,
    round,
    at,
    mayLose,
    loadAverage,
    labsBeside,
    writeGapMs: writeGap(evidence),
    newPrimaryMs: later.length === 0 ? null : least(later.map(({ doneAt }) => doneAt)) - faultAt,
    oldPrimaryAcksMs: positive(most(oldInside) - faultAt),
    overlapMs: Math.max(0, most(overlaps)),
    overlapWrites: overlaps.length,
    acknowledged: all.length,
    failures: outside.failures,
    lost:
      stored === null ? null : all.filter(({ client, number }) => !stored.has(`${client} ${number}`)).length,
    http: { requests: http.requests.length, safeFailed: failed.length - unsafeFailed, unsafeFailed },
    problems: [
      ...http.problems,
      ...[outside, inside]
        .filter((one) => one.stalledMs > stalledMaxMs)
        .map(
          (one) => `the writers stood still for ${Math.round(one.stalledMs)} ms: the machine was too busy`,
        ),
      ...(all.some((one) => one.doneAt < faultAt && !isOf(one, before))
        ? ["the primary had changed before the fault: the machine was too busy"]
        : []),
      ...(stored === null ? ["the rows could not be read at the end"] : []),
      ...(inside.acknowledgements.some(({ doneAt }) => doneAt < faultAt)
        ? []
        : ["nothing was acknowledged beside the primary before the fault"]),
    ],
  };
}

/** B1 */
function writeGap({ outside, faultAt, endedAt }: Evidence): number | null {
  const times = outside.acknowledgements
    .map(({ doneAt }) => doneAt)
    .filter((at) => at <= endedAt)
    .toSorted((a, b) => a - b);
  // What came back only after the fault was taken back did not come back by itself.
  if ((times.at(-1) ?? 0) < Math.max(faultAt, endedAt - backMs)) return null;
  let longest = 0;
  for (const [index, at] of times.entries()) {
    const next = times[index + 1];
    if (next !== undefined && faultAt <= next) longest = Math.max(longest, next - at);
  }
  return longest;
}

/** B2: how long after the later one's first acknowledgement each such write was sent. */
function overlapsOf(all: readonly Acknowledgement[]): number[] {
  const firstOf = new Map<number, number>();
  for (const { epoch, doneAt } of all)
    firstOf.set(epoch, Math.min(doneAt, firstOf.get(epoch) ?? Number.POSITIVE_INFINITY));
  return all.flatMap(({ epoch, sentAt }) => {
    const over = [...firstOf]
      .filter(([other, firstAt]) => other > epoch && firstAt < sentAt)
      .map(([, firstAt]) => sentAt - firstAt);
    return over.length === 0 ? [] : [most(over)];
  });
}

function isOf(one: Term, { member, epoch }: Term): boolean {
  return one.member === member && one.epoch === epoch;
}

function least(values: readonly number[]): number {
  return values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
}

function most(values: readonly number[]): number {
  return values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
}

function positive(value: number): number | null {
  return value > 0 ? value : null;
}
