/** What the doctor finds at the control store: each endpoint, commits, elections, and which profile fits. */
import { existsSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { askEtcd, openStore, timeCommits, timeReads } from "../../adapters/adapters.ts";
import type { ControlStore, Topology } from "../../core/model/topology.ts";
import { attemptMs, fitCommit, fitElection, fitElections, shortestFitting } from "../../core/spec/fit.ts";
import { type DoctorLine, lineOf, round, shown, summarize } from "./line.ts";

export interface StoreQuestion {
  readonly topology: Topology;
  readonly secretsDir: string;
  readonly id: string;
  readonly forMs: number;
  /** What etcd's members were started with; it does not tell. */
  readonly electionMs: number;
}

/** A slow answer is a figure, not a failure: longer than any profile waits. */
const timeoutMs = 4000;
const everyMs = 50;
/** etcd refuses writes at 2 GiB, unless told otherwise (--quota-backend-bytes). */
const quotaBytes = 2 * 1024 ** 3;

export async function storeLines(question: StoreQuestion): Promise<readonly DoctorLine[]> {
  const { store } = question.topology;
  if (store.kind === "embedded" && !existsSync(store.path))
    return [
      {
        what: "control store",
        fit: "warning",
        measured: `there is none at ${store.path} yet`,
        fits: "the first agent makes it",
        advice: "run this on the agents' host, after their first start",
        numbers: {},
      },
    ];
  const [commits, ...rest] = await Promise.all([
    commitLines(question),
    ...(store.kind === "etcd"
      ? [...store.endpoints.map((one) => endpointLine(question, one)), membersLines(question, store)]
      : []),
  ]);
  return [...rest.flat(), ...commits];
}

async function commitLines({
  topology,
  secretsDir,
  id,
  forMs,
  electionMs,
}: StoreQuestion): Promise<readonly DoctorLine[]> {
  const { profile } = topology;
  const what = "store: commits";
  let timings: Awaited<ReturnType<typeof timeCommits>>;
  try {
    const store = await openStore(topology, secretsDir, timeoutMs);
    try {
      timings = await timeCommits(store, id, { forMs, everyMs, timeoutMs });
    } finally {
      await store.close();
    }
  } catch (error) {
    return [unanswered(what, (error as Error).message)];
  }
  const found = summarize(timings.ms);
  if (!found) return [unanswered(what, timings.because)];
  const { kind } = topology.store;
  const verdict = fitCommit(profile, kind, found.p99Ms);
  const failed = timings.failed > 0 ? `; ${timings.failed} without an answer: ${timings.because}` : "";
  const best = shortestFitting(kind, found.p99Ms);
  const limitMs = attemptMs(profile, kind);
  return [
    lineOf(
      what,
      `${found.text}${failed}`,
      timings.failed > 0 && verdict.fit === "ok"
        ? { ...verdict, fit: "warning", advice: "see why" }
        : verdict,
      { ...found.numbers, limitMs, failed: timings.failed },
    ),
    {
      what: "lease profile",
      fit: verdict.fit,
      measured: `${profile.name}; the shortest that fits with half to spare is ${best ?? "none"}`,
      fits: verdict.fits,
      advice:
        verdict.fit === "ok" && best !== null && best !== profile.name
          ? `leaseProfile: ${best} would fit as well`
          : verdict.advice,
      numbers: { limitMs },
    },
    ...(kind === "etcd" ? [electionLine(topology, electionMs, found.p99Ms)] : []),
  ];
}

function electionLine({ profile }: Topology, electionMs: number, p99Ms: number): DoctorLine {
  const verdict = fitElection(profile, electionMs, p99Ms);
  const measured = `up to ${shown(verdict.worstMs)} without a leader, by --etcd-election ${electionMs}ms`;
  return lineOf("etcd: an election", measured, verdict, { electionMs, worstMs: round(verdict.worstMs) });
}

async function endpointLine(
  { topology, secretsDir, id, forMs }: StoreQuestion,
  endpoint: string,
): Promise<DoctorLine> {
  const what = `etcd: ${endpoint}`;
  const only: Topology = { ...topology, store: { kind: "etcd", endpoints: [endpoint] } };
  try {
    const store = await openStore(only, secretsDir, timeoutMs);
    try {
      const { ms, because } = await timeReads(store, id, { forMs, everyMs: 4 * everyMs, timeoutMs });
      const found = summarize(ms);
      if (!found) return unanswered(what, because);
      return lineOf(
        what,
        `reads: ${found.text}`,
        fitCommit(topology.profile, "etcd", found.p99Ms),
        found.numbers,
      );
    } finally {
      await store.close();
    }
  } catch (error) {
    return unanswered(what, (error as Error).message);
  }
}

async function membersLines(
  { secretsDir, forMs }: StoreQuestion,
  { endpoints }: ControlStore & { kind: "etcd" },
): Promise<readonly DoctorLine[]> {
  const terms = new Set<number>();
  const until = performance.now() + forMs;
  let last = await askEtcd(endpoints, secretsDir, timeoutMs);
  for (;;) {
    // A member that lags tells an older term for a moment: what counts is how many there were.
    const known = last.flatMap((one) => (one ? [one.raftTerm] : []));
    if (known.length > 0) terms.add(Math.max(...known));
    if (performance.now() >= until) break;
    await pause(Math.min(500, Math.max(0, until - performance.now())));
    last = await askEtcd(endpoints, secretsDir, timeoutMs);
  }
  const answered = last.flatMap((one) => (one ? [one] : []));
  const majority = Math.floor(endpoints.length / 2) + 1;
  const lines: DoctorLine[] = [];
  if (answered.length < endpoints.length)
    lines.push({
      what: "etcd: members",
      fit: answered.length < majority ? "problem" : "warning",
      measured: `${answered.length} of ${endpoints.length} tell their status`,
      fits: `all; ${majority} are needed`,
      advice: "see the members that do not answer, and whether this user may ask for the status",
      numbers: { answered: answered.length, endpoints: endpoints.length },
    });
  if (answered.length === 0) return lines;
  const elections = terms.size - 1;
  const leader = answered.find((one) => one.member === one.leader);
  const term = Math.max(...answered.map((one) => one.raftTerm));
  lines.push(
    lineOf(
      "etcd: elections",
      `${elections} in ${shown(forMs)}; term ${term}, ${leader ? `led by ${leader.endpoint}` : "the leader is not among these endpoints"}, ${[...new Set(answered.map((one) => one.version))].join(", ")}`,
      fitElections(elections),
      { elections, raftTerm: term },
    ),
  );
  const bytes = Math.max(...answered.map((one) => one.bytes));
  if (bytes > quotaBytes / 2)
    lines.push({
      what: "etcd: size",
      fit: "warning",
      measured: `${Math.round(bytes / 1024 ** 2)} MiB`,
      fits: "far below its quota, 2 GiB by default: at the quota it takes no more writes",
      advice: "compact and defragment it (--auto-compaction-retention=1h)",
      numbers: { bytes },
    });
  return lines;
}

function unanswered(what: string, because: string): DoctorLine {
  return {
    what,
    fit: "problem",
    measured: `no answer: ${because}`,
    fits: "it answers",
    advice: "see that it runs, can be reached from here, and knows this user",
    numbers: {},
  };
}
