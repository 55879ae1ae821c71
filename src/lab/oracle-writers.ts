/** Who acknowledged, when, in which epoch: never two at a time, never an epoch back (O3, O4). */
import type { Epoch, MemberName } from "../core/model/id.ts";
import type { InstantMs, SpanMs } from "../core/model/time.ts";
import type { RequestRecord } from "./load-record.ts";
import type { Violation } from "./oracle-evidence.ts";

/** One member's time as the writer, as clients saw it. */
export interface WriterTerm {
  readonly member: MemberName;
  readonly epoch: Epoch;
  readonly firstAckAt: InstantMs;
  readonly lastAckAt: InstantMs;
  readonly acknowledged: number;
}

export interface CheckedWriters {
  readonly writers: {
    /**
     * Longest time from the first acknowledgement of a term to the last one of a term that had begun before it; 0: never.
     * By the time at which clients had them, so an answer that a network kept and delivered late counts as well.
     */
    readonly overlapMs: SpanMs;
    /**
     * The part of it that no late delivery explains: the client sent that request when it, or another, had already seen
     * the later term acknowledge. Above 0: two members accepted writes at the same time, beyond doubt.
     */
    readonly overlapProvenMs: SpanMs;
    /** In the order of their first acknowledgements. */
    readonly terms: readonly WriterTerm[];
  };
  readonly violations: readonly Violation[];
}

/** The least overlap that is reported: the resolution of the record. Two ends that touch do overlap. */
const resolutionMs = 0.001;

interface OpenTerm extends WriterTerm {
  lastAckAt: InstantMs;
  acknowledged: number;
  /** Latest sending among its acknowledged requests. */
  lastSentAt: InstantMs;
}

/** `acknowledged`: in the order of completion, each with a receipt. */
export function checkWriters(acknowledged: readonly RequestRecord[]): CheckedWriters {
  const violations: Violation[] = [];
  const terms = termsOf(acknowledged);

  let overlapMs = 0;
  let overlapProvenMs = 0;
  for (const [i, earlier] of terms.entries())
    for (const later of terms.slice(i + 1)) {
      if (earlier.lastAckAt < later.firstAckAt) continue;
      const ms = Math.max(resolutionMs, earlier.lastAckAt - later.firstAckAt);
      const provenMs = Math.max(0, earlier.lastSentAt - later.firstAckAt);
      overlapMs = Math.max(overlapMs, ms);
      overlapProvenMs = Math.max(overlapProvenMs, provenMs);
      violations.push({
        kind: "overlap",
        because:
          `${nameOf(earlier)} still acknowledged ${ms.toFixed(3)} ms after ${nameOf(later)} had begun, ` +
          (provenMs > 0 ? `requests sent up to ${provenMs.toFixed(3)} ms after` : "all of them sent before"),
      });
    }

  for (const [epoch, members] of Map.groupBy(terms, (term) => term.epoch))
    if (members.length > 1)
      violations.push({
        kind: "epoch-shared",
        because: `epoch ${epoch} had ${members.map(({ member }) => member).join(" and ")}`,
      });

  let highest: RequestRecord["receipt"] = null;
  for (const { receipt, number, doneAt } of acknowledged) {
    if (receipt === null) continue;
    if (highest !== null && receipt.byEpoch < highest.byEpoch)
      violations.push({
        kind: "epoch-went-down",
        because: `request ${number} at ${doneAt.toFixed(3)}: ${receipt.byMember}@${receipt.byEpoch} after ${highest.byMember}@${highest.byEpoch}`,
      });
    else highest = receipt;
  }

  return {
    writers: {
      overlapMs,
      overlapProvenMs,
      terms: terms.map(({ member, epoch, firstAckAt, lastAckAt, acknowledged }) => ({
        member,
        epoch,
        firstAckAt,
        lastAckAt,
        acknowledged,
      })),
    },
    violations,
  };
}

function termsOf(acknowledged: readonly RequestRecord[]): readonly OpenTerm[] {
  const terms = new Map<string, OpenTerm>();
  for (const { receipt, doneAt, lastTryAt } of acknowledged) {
    if (receipt === null) continue;
    const { byMember: member, byEpoch: epoch } = receipt;
    const id = `${epoch}@${member}`;
    const term = terms.get(id);
    if (term === undefined) {
      const open = {
        member,
        epoch,
        firstAckAt: doneAt,
        lastAckAt: doneAt,
        acknowledged: 1,
        lastSentAt: lastTryAt,
      };
      terms.set(id, open);
      continue;
    }
    term.lastAckAt = doneAt;
    term.acknowledged += 1;
    term.lastSentAt = Math.max(term.lastSentAt, lastTryAt);
  }
  return [...terms.values()];
}

function nameOf(term: WriterTerm): string {
  return `${term.member}@${term.epoch}`;
}
