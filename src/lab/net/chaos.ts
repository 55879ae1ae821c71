/** Rounds of faults drawn from a seed: which, where, when and for how long; one or two at a time, each with an end. */
import type { DiskFault } from "./disk.ts";
import type { Scenario, ScenarioFault } from "./scenario.ts";

type Kind = Exclude<
  ScenarioFault["fault"],
  | DiskFault["kind"]
  | "power-cut"
  | "member-wiped"
  | "pages-damaged"
  | "clock-wrong"
  | "names-lost"
  | "topology-broken"
  | "request"
  | "backup"
>;

const kinds: readonly Kind[] = [
  "blackhole",
  "cut-in",
  "cut-out",
  "link",
  "replication-cut",
  "loss",
  "clients-cut",
  "pause",
  "process-kill",
  "region-kill",
  "primary-crash",
  "store-kill",
  "etcd-leader-moved",
];
const places = ["primary", "primary", "standby", "other-standby", "etcd-leader"] as const;
const processes = ["agent", "edge", "etcd", "fencer", "service", "postgres", "everything"] as const;
const processesAlone = ["agent", "edge", "etcd", "fencer", "service"] as const;
const lossesPercent = [5, 20, 50] as const;

/** A second fault comes this often, while the first may still last. */
const secondFaultShare = 0.4;
/** Shorter than any lease, to longer than a failover with `balanced`. */
const shortestMs = 500;
const longestMs = 15_000;
const apartMs = 6000;
/** With two faults nobody may be left who could write: then until both are over, and as long again as a failover. */
const resumesWithinMs = 30_000;

/** What is always asked of a round: no write lost (or none that is older than the RPO) or doubled, never two writers, whole again afterwards. */
export function drawRound(
  chance: () => number,
  round: number,
  topology: Scenario["topology"],
  links: Scenario["links"],
): Scenario {
  const faults = [drawFault(chance, 0)];
  if (chance() < secondFaultShare) faults.push(drawBeside(faults[0] as ScenarioFault, chance));
  const overAfterMs = Math.max(...faults.map((fault) => fault.after + fault.for));
  return {
    name: `round-${round}`,
    about: faults.map(describe).join("; "),
    topology,
    links,
    load: { ordersPerSecond: 30, readsPerSecond: 30 },
    etcdLeader: null,
    faults,
    expect: {
      promotion: "allowed",
      leaderChangesMax: 2 * faults.length + 1,
      writeGapMax: overAfterMs + resumesWithinMs,
      oldPrimaryAcksMax: null,
      // Two faults may take every way to an answer: counted and told, and not judged.
      safeFailedMax: Number.MAX_SAFE_INTEGER,
      // Judged by its age.
      lostMax: topology.replication === "synchronous" ? 0 : Number.MAX_SAFE_INTEGER,
      wholeWithin: 120_000,
      statusSays: null,
    },
  };
}

/** Where no member of etcd lives, none leads. */
function drawBeside(first: ScenarioFault, chance: () => number): ScenarioFault {
  for (;;) {
    const second = drawFault(chance, apartMs);
    const pair = [first, second];
    if (!pair.some(({ fault }) => fault === "store-kill") || !pair.some(needsLeader)) return second;
  }
}

function needsLeader(fault: ScenarioFault): boolean {
  return fault.fault === "etcd-leader-moved" || ("at" in fault && fault.at === "etcd-leader");
}

function drawFault(chance: () => number, afterUpToMs: number): ScenarioFault {
  const pick = <T>(from: readonly [T, ...T[]] | readonly T[]): T =>
    from[Math.floor(chance() * from.length)] ?? (from[0] as T);
  const kind = pick(kinds);
  const at = pick(places);
  const timing = {
    after: Math.round(chance() * afterUpToMs),
    for: Math.round(shortestMs * (longestMs / shortestMs) ** chance()),
  };
  switch (kind) {
    case "link":
      return { fault: kind, at: "primary", to: pick(["standby", "other-standby"]), ...timing };
    case "loss":
      return { fault: kind, at, percent: pick(lossesPercent), ...timing };
    case "pause":
      return { fault: kind, at, process: pick(processes), ...timing };
    case "process-kill":
      return { fault: kind, at, process: pick(processesAlone), ...timing };
    case "store-kill":
    case "etcd-leader-moved":
      return { fault: kind, ...timing };
    default:
      return { fault: kind, at, ...timing };
  }
}

function describe(fault: ScenarioFault): string {
  const where = "at" in fault ? ` at ${fault.at}` : "";
  const to = "to" in fault ? ` to ${fault.to}` : "";
  const what =
    "process" in fault ? ` of ${fault.process}` : "percent" in fault ? ` of ${fault.percent} %` : "";
  return `${fault.fault}${what}${where}${to} after ${(fault.after / 1000).toFixed(1)} s for ${(fault.for / 1000).toFixed(1)} s`;
}
