/**
 * What a scenario expects against what was seen, one line each.
 *
 * - V1. Losses, doubles and other broken promises are counted over all clients, inside the struck region and outside.
 * - V2. A network delays answers: one that was sent in time may arrive after the next primary's first. So two writers are
 *   proven by requests that were *sent* when a later term had acknowledged already, and by acknowledgements that no network
 *   delayed: those which a member gave to clients of its own region.
 * - V3. Write gap and failed requests are those of clients outside: whoever is inside a region that is cut off can only wait.
 */
import type { MemberName, RegionName } from "../../core/model/id.ts";
import type { InstantMs, SpanMs } from "../../core/model/time.ts";
import type { HistoryVerdict } from "../history/history.ts";
import type { LoadHistory, RequestRecord } from "../load-record.ts";
import { type Findings, judgeRun } from "../oracle.ts";
import type { StoredOrders } from "../oracle-evidence.ts";
import { lostAge } from "../oracle-orders.ts";
import { checkWriters, type WriterTerm } from "../oracle-writers.ts";
import type { Objective } from "../report.ts";
import { type Asked, nameOf } from "./ask.ts";
import type { Stall, Stalls } from "./machine-watch.ts";
import type { Scenario } from "./scenario.ts";

export interface ClientGroup {
  /** Region whose network they are in; null: outside of all regions. */
  readonly inside: RegionName | null;
  readonly history: LoadHistory;
}

export interface Evidence {
  readonly scenario: Scenario;
  readonly groups: readonly ClientGroup[];
  readonly stored: StoredOrders;
  readonly regionOf: Readonly<Record<MemberName, RegionName>>;
  readonly faultAt: InstantMs;
  /** When the last fault was over. */
  readonly healedAt: InstantMs;
  /** When every standby streamed again; null: it did not come to that. */
  readonly wholeAt: InstantMs | null;
  readonly epoch: { readonly before: number; readonly after: number };
  /** Of the machine, the minute before the fault. */
  readonly loadAverage: number;
  /** Of the machine, from before the clients began to the end. */
  readonly stalls: Stalls;
  /** What an agent's status said while the fault lasted; null: nobody was asked. */
  readonly statusSaid: string | null;
  /** What people asked for meanwhile. */
  readonly asked: readonly Asked[];
  /** Of registers, lists and banks that clients outside wrote and read all the while; null: nobody did. */
  readonly history: HistoryVerdict | null;
}

export interface Verdict {
  readonly scenario: string;
  readonly met: boolean;
  readonly checks: readonly Objective[];
  readonly figures: Figures;
  /** Why the run proves nothing; empty: it does. */
  readonly problems: readonly string[];
  readonly violations: readonly string[];
}

export interface Figures {
  readonly writeGapMs: SpanMs;
  readonly resumedAfterMs: SpanMs | null;
  /** Last acknowledgement of the term that the fault struck, from the fault; null: none after it. */
  readonly oldPrimaryAcksMs: SpanMs | null;
  /** First acknowledgement of the next term, from the fault; null: there was no other. */
  readonly newPrimaryAcksMs: SpanMs | null;
  readonly acknowledged: { readonly outside: number; readonly inside: number };
  /** Of the history that was checked: statements answered, and of unknown outcome; null: there was none. */
  readonly history: HistoryVerdict["outcomes"] | null;
  readonly requests: number;
  readonly safeFailed: number;
  readonly unsafeFailed: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly wholeAfterMs: SpanMs | null;
  /** What people asked for, each with its answer. */
  readonly requested: readonly string[];
  readonly epoch: Evidence["epoch"];
  /** Of the machine, the minute before the fault: figures of a busy one are the machine's. */
  readonly loadAverage: number;
  /** Of the machine, from before the clients began to the end: the longest each, `at` from the fault. */
  readonly stalls: Stalls;
}

export function judge(evidence: Evidence): Verdict {
  const { scenario, groups, stored, faultAt, epoch } = evidence;
  const { expect, topology } = scenario;
  const findings = groups.map(({ history }) =>
    judgeRun(history, stored, [{ name: scenario.name, at: faultAt, until: history.stoppedAt }]),
  );
  const outside = findings.filter((_, index) => groups[index]?.inside === null);
  const sum = (count: (one: Findings) => number, of = findings) => of.reduce((n, one) => n + count(one), 0);
  const largest = (ms: (one: Findings) => number) => Math.max(0, ...outside.map(ms));
  const requests = groups.flatMap(({ history }) => history.requests);
  const acknowledged = requests.filter(({ receipt }) => receipt !== null).sort((a, b) => a.doneAt - b.doneAt);
  const writers = checkWriters(acknowledged);
  const [window] = outside.map(({ windows }) => windows[0]);
  const resumedAfterMs = window?.resumedAfterMs ?? null;
  const oldPrimaryAcksMs = lastOfOldPrimary(evidence);
  const overlap = proveOverlap(evidence, writers.writers.overlapProvenMs, writers.writers.terms);
  const wholeAfterMs = evidence.wholeAt === null ? null : evidence.wholeAt - evidence.healedAt;
  const changes = epoch.after - epoch.before;
  const { history, asked } = evidence;
  const unexpected = asked.filter(
    ({ wish, answer }) => answer.status !== wish.ends || !new RegExp(wish.because, "i").test(answer.detail),
  );
  const problems = [
    ...(history?.problems ?? []),
    ...findings.flatMap(({ problems }, index) =>
      // A place inside may be cut off from its service before it ever reached it: that is not our proof.
      groups[index]?.inside === null ? problems : [],
    ),
    ...(acknowledged.some(({ doneAt }) => doneAt >= faultAt)
      ? []
      : ["no order was acknowledged after the fault"]),
  ];

  const ms = (id: string, label: string, atMost: number, measured: number | null) =>
    objective(id, label, "ms", atMost, measured);
  const count = (id: string, label: string, atMost: number, measured: number | null) =>
    objective(id, label, "count", atMost, measured);
  const checks = [
    // Writes that never resumed have no gap to compare: the gap is open.
    ms(
      "write-gap",
      "Longest time without writes",
      expect.writeGapMax,
      resumedAfterMs === null ? null : largest((one) => one.windows[0]?.writeGapMs ?? 0),
    ),
    count(
      "lost",
      "Acknowledged orders lost",
      expect.lostMax,
      sum(({ orders }) => orders.lost),
    ),
    ...(topology.replication === "synchronous"
      ? []
      : [
          ms(
            "lost-age",
            "Age of the oldest order lost",
            topology.rpo,
            lostAge(
              findings.flatMap(({ lost }) => lost),
              requests,
            ),
          ),
        ]),
    count(
      "doubled",
      "Orders doubled",
      0,
      sum(({ orders }) => orders.doubled),
    ),
    count(
      "other",
      "Rows that are not as they were asked for",
      0,
      sum(({ violated }) => (violated.altered ?? 0) + (violated.fabricated ?? 0) + (violated.torn ?? 0)),
    ),
    ms("overlap", "Two writers at a time", 0, overlap),
    count(
      "epoch-shared",
      "Epochs with two members",
      0,
      writers.violations.filter(({ kind }) => kind === "epoch-shared").length,
    ),
    count(
      "safe-failed",
      "Repeatable requests failed",
      expect.safeFailedMax,
      sum(({ requests }) => requests.safeFailed, outside),
    ),
    count("leader-changes", "Changes of primary", expect.leaderChangesMax, changes),
    ...(expect.promotion === "required"
      ? [count("no-promotion", "Promotions that did not come", 0, changes > 0 ? 0 : 1)]
      : []),
    ...(expect.oldPrimaryAcksMax === null
      ? []
      : [
          ms(
            "old-primary",
            "The old primary acknowledged until",
            expect.oldPrimaryAcksMax,
            oldPrimaryAcksMs ?? 0,
          ),
        ]),
    ms("whole", "Every standby streams again after", expect.wholeWithin, wholeAfterMs),
    ...(history === null
      ? []
      : [
          count(
            "history",
            "Findings in the history of clients",
            0,
            Object.values(history.found).reduce((all, n) => all + n, 0),
          ),
        ]),
    ...(expect.statusSays === null
      ? []
      : [
          count(
            "status",
            `Status that does not say "${expect.statusSays}"`,
            0,
            evidence.statusSaid === null
              ? null
              : new RegExp(expect.statusSays, "i").test(evidence.statusSaid)
                ? 0
                : 1,
          ),
        ]),
    ...(asked.length === 0
      ? []
      : [count("requests", "Requests that did not end as expected", 0, unexpected.length)]),
    count("proof", "Reasons why the run proves nothing", 0, problems.length),
  ];
  return {
    scenario: scenario.name,
    met: checks.every(({ met }) => met),
    checks,
    figures: {
      writeGapMs: largest((one) => one.windows[0]?.writeGapMs ?? 0),
      resumedAfterMs,
      oldPrimaryAcksMs,
      newPrimaryAcksMs: firstAfter(writers.writers.terms, epoch.before, faultAt),
      acknowledged: {
        outside: sum(({ orders }) => orders.acknowledged, outside),
        inside: sum(({ orders }) => orders.acknowledged) - sum(({ orders }) => orders.acknowledged, outside),
      },
      history: history?.outcomes ?? null,
      requests: sum(({ requests }) => requests.total),
      safeFailed: sum(({ requests }) => requests.safeFailed, outside),
      unsafeFailed: sum(({ requests }) => requests.unsafeFailed, outside),
      failures: tally(
        groups.filter(({ inside }) => inside === null).flatMap(({ history }) => history.requests),
      ),
      wholeAfterMs,
      requested: asked.map(({ wish, answer }) => `${nameOf(wish)} ${answer.status}: ${answer.detail}`),
      epoch,
      loadAverage: evidence.loadAverage,
      stalls: {
        disk: since(evidence.stalls.disk, faultAt),
        cpu: since(evidence.stalls.cpu, faultAt),
      },
    },
    problems,
    violations: [
      ...findings.flatMap(({ violations }) => violations),
      ...writers.violations,
      ...(history?.findings ?? []),
      ...unexpected.map(({ wish, answer }) => ({
        kind: `${nameOf(wish)} ${answer.status}`,
        because: `${answer.detail}; expected: ${wish.ends}${wish.because && `, saying "${wish.because}"`}`,
      })),
    ]
      .map(({ kind, because }) => `${kind}: ${because}`)
      .slice(0, 40),
  };
}

/** V2: what was sent too late, or acknowledged too late to whom no network could have delayed it; 0: nothing. */
export function proveOverlap(
  { groups, regionOf }: Pick<Evidence, "groups" | "regionOf">,
  sentMs: SpanMs,
  terms: readonly WriterTerm[],
): SpanMs {
  let longest = sentMs;
  for (const { inside, history } of groups) {
    if (inside === null) continue;
    for (const { receipt, doneAt, region } of history.requests) {
      if (receipt === null || region !== inside || regionOf[receipt.byMember] !== inside) continue;
      for (const later of terms)
        if (later.epoch > receipt.byEpoch) longest = Math.max(longest, doneAt - later.firstAckAt);
    }
  }
  return longest;
}

/** V2: what its own region's clients heard, and when others had sent what it acknowledged; null: nothing after the fault. */
function lastOfOldPrimary({ groups, regionOf, epoch, faultAt }: Evidence): SpanMs | null {
  let last = faultAt;
  for (const { inside, history } of groups)
    for (const { receipt, doneAt, lastTryAt, region } of history.requests) {
      if (receipt === null || receipt.byEpoch > epoch.before) continue;
      const isDirect = inside !== null && region === inside && regionOf[receipt.byMember] === inside;
      last = Math.max(last, isDirect ? doneAt : lastTryAt);
    }
  return last > faultAt ? last - faultAt : null;
}

function firstAfter(terms: readonly WriterTerm[], epoch: number, faultAt: InstantMs): SpanMs | null {
  const later = terms.filter((term) => term.epoch > epoch).map((term) => term.firstAckAt);
  return later.length === 0 ? null : Math.min(...later) - faultAt;
}

function since(stall: Stall | null, faultAt: InstantMs): Stall | null {
  return stall === null ? null : { ...stall, at: stall.at - faultAt };
}

function tally(requests: readonly RequestRecord[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind, failure } of requests) {
    if (failure === "") continue;
    const word = `${kind}: ${failure}`;
    counts[word] = (counts[word] ?? 0) + 1;
  }
  return counts;
}

function objective(
  id: string,
  label: string,
  unit: Objective["unit"],
  atMost: number,
  measured: number | null,
): Objective {
  return { id, label, unit, atMost, measured, met: measured !== null && measured <= atMost, required: true };
}
