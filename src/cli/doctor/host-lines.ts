/** What the doctor finds on this host and at the other regions' agents: disks, CPU, parts, clocks, links. */

import { dirname } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { discover, lookAtParts, nearestFolder, sightAgent, timeFsync } from "../../adapters/adapters.ts";
import type { Region, Topology } from "../../core/model/topology.ts";
import { fitDrift, fitFsync, fitLoopDelay, fitOffset, fitPeer, type Verdict } from "../../core/spec/fit.ts";
import { type DoctorLine, lineOf, round, shown, summarize } from "./line.ts";

/** An agent that takes longer answers no question of L6 in time either. */
const agentTimeoutMs = 2000;

/** Round trips to an agent, and its clock at the beginning and at the end. */
export async function agentLines(
  { profile }: Topology,
  { name, agent }: Region,
  forMs: number,
): Promise<readonly DoctorLine[]> {
  const host = agent.host.includes(":") ? `[${agent.host}]` : agent.host;
  const url = `http://${host}:${agent.port}/livez`;
  const [what, clocks] = [`agent: ${name}`, `clock: ${name}`];
  const first = await sightAgent(url, agentTimeoutMs);
  if (first.because !== "")
    return [
      {
        what,
        fit: "warning",
        measured: `no answer at ${agent.host}:${agent.port}: ${first.because}`,
        fits: "every agent reaches every other: without, none promises to wait when the store is gone (L6)",
        advice: "start it, or see the link and the firewall",
        numbers: {},
      },
    ];
  await pause(Math.max(0, forMs - 2400));
  const second = await sightAgent(url, agentTimeoutMs);
  const found = summarize([...first.ms, ...second.ms]);
  const lines = found ? [lineOf(what, found.text, fitPeer(profile, found.p99Ms), found.numbers)] : [];
  if (!first.clock || !second.clock) {
    const measured = "not measured: its answers tell no time, or come too slowly";
    const fits = "an agent of this version, within a second";
    return [...lines, { what: clocks, fit: "warning", measured, fits, advice: "measure again", numbers: {} }];
  }
  const [a, b] = [first.clock, second.clock];
  const overMs = b.at - a.at;
  const ratio = (b.againstMonotonicMs - a.againstMonotonicMs) / overMs;
  const errorRatio = (a.errorMs + b.errorMs) / overMs;
  const percent = (share: number) => `${Number((share * 100).toPrecision(2))} %`;
  return [
    ...lines,
    lineOf(
      clocks,
      `${b.offsetMs < 0 ? "behind" : "ahead"} by ${shown(Math.abs(b.offsetMs))} ± ${shown(b.errorMs)}; apart in speed by ${percent(ratio)} ± ${percent(errorRatio)} over ${shown(overMs)}`,
      worse(fitOffset(b.offsetMs, b.errorMs), fitDrift(profile, ratio, errorRatio)),
      {
        offsetMs: round(b.offsetMs),
        errorMs: round(b.errorMs),
        driftRatio: round(ratio),
        driftErrorRatio: round(errorRatio),
      },
    ),
  ];
}

/** Once for each folder: several names may lead to the same, where they are not made yet. */
export async function diskLines(
  { dataStores, edges, store }: Topology,
  region: string | undefined,
  id: string,
): Promise<readonly DoctorLine[]> {
  const here = (one: { readonly region: string }) => region === undefined || one.region === region;
  const paths: readonly (readonly [name: string, path: string])[] = [
    ...dataStores.flatMap(({ members }) =>
      members.filter(here).map((member) => [member.name, member.dataDir] as const),
    ),
    ...edges.filter(here).map((edge) => [edge.name, edge.stateDir] as const),
    ...(store.kind === "embedded" ? [["control store", dirname(store.path)] as const] : []),
  ];
  const users = new Map<string, string[]>();
  for (const [name, path] of paths) {
    const folder = nearestFolder(path);
    if (folder !== null) users.set(folder, [...(users.get(folder) ?? []), name]);
  }
  const lines: DoctorLine[] = [];
  // One after the other: together they would measure one another.
  for (const [folder, names] of users) {
    const what = `disk: ${names.join(", ")}`;
    const { ms, because } = await timeFsync(folder, id, 500);
    const found = summarize(ms);
    if (!found || because)
      lines.push({
        what,
        fit: "warning",
        measured: `not measured in ${folder}: ${because}`,
        fits: "a folder that can be written",
        advice: "run this as the user that the agent runs as",
        numbers: {},
      });
    else lines.push(lineOf(what, `fsync in ${folder}: ${found.text}`, fitFsync(found.p99Ms), found.numbers));
  }
  return lines;
}

/** Samples until it is asked for its line: whatever else is measured meanwhile is the load of a quiet agent. */
export function watchLoop({ profile }: Topology): () => DoctorLine {
  const resolutionMs = 10;
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  histogram.enable();
  return () => {
    histogram.disable();
    const late = (ns: number) => Math.max(0, ns / 1e6 - resolutionMs);
    const [median, p99, max] = [
      late(histogram.percentile(50)),
      late(histogram.percentile(99)),
      late(histogram.max),
    ];
    return lineOf(
      "host: event loop",
      `late by median ${shown(median)}, p99 ${shown(p99)}, at most ${shown(max)}`,
      fitLoopDelay(profile, p99),
      { medianMs: round(median), p99Ms: round(p99), maxMs: round(max) },
    );
  };
}

export async function partLines(
  topology: Topology,
  region: string | undefined,
): Promise<readonly DoctorLine[]> {
  const { isRoot, cgroup, watchdog } = lookAtParts();
  const hasMember = topology.dataStores.some(({ members }) =>
    members.some((member) => region === undefined || member.region === region),
  );
  const lines: DoctorLine[] = [];
  if (hasMember) {
    const { found, looked, advice } = await discover({ account: nobody });
    lines.push({
      what: "parts: PostgreSQL",
      fit: !found ? "problem" : found.origin === "embedded" || !found.pgRewind ? "warning" : "ok",
      measured: found
        ? `${found.version} in ${found.binDir}${found.pgRewind ? ", with pg_rewind" : ", without pg_rewind"}`
        : `none: ${looked.map(({ place, result }) => `${place}: ${result}`).join("; ")}`,
      fits: "15 to 18 of your distribution, the same major version everywhere, with pg_rewind",
      advice: !found
        ? advice
        : found.origin === "embedded"
          ? "the npm package is for rehearsals: install your distribution's"
          : found.pgRewind
            ? ""
            : "install pg_rewind: without it a diverged member is seeded anew",
      numbers: found ? { major: found.major } : {},
    });
  }
  lines.push({
    what: "parts: rights",
    fit: "ok",
    measured: `${isRoot ? "root" : "not root"}; cgroups version 2 ${cgroup}`,
    fits: "agent and fencer as one user; neither root nor cgroups are needed",
    advice: isRoot ? "run it as the user that agent and fencer run as" : "",
    numbers: {},
  });
  lines.push({
    what: "parts: watchdog",
    fit: "ok",
    measured: watchdog ?? "none",
    fits: "optional: it restarts the host when the fencer cannot end what it must",
    advice: watchdog ? "" : "modprobe softdog, where the host may restart by itself",
    numbers: {},
  });
  return lines;
}

/** Only to find programs: nothing is started. */
const nobody = { name: "", uid: -1, gid: -1, switches: false };

function worse(a: Verdict, b: Verdict): Verdict {
  const order = { ok: 0, warning: 1, problem: 2 } as const;
  const worst = order[a.fit] < order[b.fit] ? b : a;
  return { ...worst, fits: a.fit === b.fit ? b.fits : worst.fits };
}
