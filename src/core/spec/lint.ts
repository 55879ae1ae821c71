/** A topology in, findings out: arithmetic on what was promised, before anything runs. */
import { leaseProfiles, lookEveryMs, type ProfileName } from "../model/profile.ts";
import type { DataStore, Region, Service, Topology } from "../model/topology.ts";
import { type Finding, sortFindings } from "./finding.ts";
import { lossFindings } from "./losses.ts";
import { type Assumptions, recoveryFrom } from "./recovery.ts";
import { describeSpan } from "./units.ts";

/** Errors first, then warnings, then numbers to know. */
export function lint(topology: Topology, assumptions: Assumptions): readonly Finding[] {
  return sortFindings([
    ...topology.services.flatMap((service) => objectives(topology, service, assumptions)),
    ...topology.dataStores.flatMap(redundancy),
    ...topology.dataStores.flatMap((store) => publishing(store, assumptions)),
    ...voters(topology),
    ...lossFindings(topology),
    ...topology.dataStores.flatMap((store) => stack(topology, store)),
    ...edges(topology),
    ...controlStore(topology, assumptions),
    ...mode(topology),
  ]);
}

/** 30 days: what SLO calendars count with. */
const monthMs = 30 * 86_400_000;

function objectives(topology: Topology, service: Service, assumptions: Assumptions): readonly Finding[] {
  const subject = `Service/${service.name}`;
  const stateful = service.dataStores.length > 0;
  const silence = recoveryFrom("silence", topology, assumptions);
  const crash = recoveryFrom("crash", topology, assumptions);
  const statelessMs = service.rules.tryTimeoutMs + assumptions.roundTripMs;
  const worstMs = stateful ? silence.recoverMs : statelessMs;
  const { rtoMs, availability } = service.objectives;
  const numbers = { worstMs, rtoMs, detectMs: stateful ? silence.detectMs : service.rules.tryTimeoutMs };
  const crashMs = stateful ? crash.recoverMs : statelessMs;
  const budgetMs = (1 - availability) * monthMs;
  const found: Finding[] = [];

  const told = stateful
    ? `a region that falls silent is noticed in ${describeSpan(silence.detectMs)} and recovered in ${describeSpan(worstMs)} at worst (a crash: ${describeSpan(crashMs)})`
    : `an edge gives up a silent region after one try of ${describeSpan(service.rules.tryTimeoutMs)} and repeats elsewhere`;
  if (worstMs > rtoMs) {
    const crashFits = crashMs <= rtoMs ? "; a crash alone would fit" : "";
    found.push({
      code: "recovery-exceeds-rto",
      severity: "error",
      subject,
      sentence: `${told}: more than its RTO of ${describeSpan(rtoMs)}${crashFits}`,
      numbers: { ...numbers, crashMs },
      advice: stateful
        ? shorter(topology, rtoMs, assumptions)
        : `set rules.tryTimeout below ${describeSpan(rtoMs)}`,
    });
  } else {
    found.push({
      code: stateful ? "recovery-within-rto" : "recovery-stateless",
      severity: "info",
      subject,
      sentence: `${told}; its RTO of ${describeSpan(rtoMs)} leaves ${describeSpan(rtoMs - worstMs)}`,
      numbers: { ...numbers, crashMs },
      advice: "",
    });
  }
  const holdMaxMs = Math.min(
    service.rules.holdMaxMs,
    service.traffic?.deadlineMs ?? Number.POSITIVE_INFINITY,
  );
  if (stateful && holdMaxMs < worstMs) {
    const knob = holdMaxMs < service.rules.holdMaxMs ? "deadline" : "rules.holdMax";
    found.push({
      code: "hold-too-short",
      severity: "warning",
      subject,
      sentence: `edges hold a write for ${describeSpan(holdMaxMs)} at most, writes resume after ${describeSpan(worstMs)} at worst: those in between get 503`,
      numbers: { holdMaxMs, worstMs },
      advice: `set ${knob} to ${Math.ceil(worstMs / 1000)}s, if clients wait that long`,
    });
  }
  found.push({
    code: budgetMs < worstMs ? "availability-below-one-failover" : "availability-budget",
    severity: budgetMs < worstMs ? "warning" : "info",
    subject,
    sentence:
      budgetMs < worstMs
        ? `${percent(availability)} leaves ${describeSpan(budgetMs)} of downtime a month, one failover takes ${describeSpan(worstMs)} at worst`
        : `${percent(availability)} leaves ${minutes(budgetMs)} minutes of downtime a month: ${Math.floor(budgetMs / worstMs)} failovers at worst-case length`,
    numbers: { availability, budgetMs: Math.round(budgetMs), worstMs },
    advice: budgetMs < worstMs ? "promise less, or take a shorter lease profile" : "",
  });
  return [...found, ...dataObjectives(topology, service)];
}

function shorter(topology: Topology, rtoMs: number, assumptions: Assumptions): string {
  const worst = (name: ProfileName) =>
    recoveryFrom("silence", { ...topology, profile: leaseProfiles[name] }, assumptions).recoverMs;
  const fitting = (["balanced", "fast"] as const).find((name) => worst(name) <= rtoMs);
  if (fitting !== undefined) return `leaseProfile: ${fitting} would fit; or promise a longer RTO`;
  return `promise ${describeSpan(worst("fast"))} or more: that is the worst case of the fastest profile`;
}

function dataObjectives(topology: Topology, service: Service): readonly Finding[] {
  const { rpoMs } = service.objectives;
  return service.dataStores.flatMap((name): readonly Finding[] => {
    const store = topology.dataStores.find((candidate) => candidate.name === name);
    if (store?.replication !== "asynchronous" || store.rpoMs <= rpoMs) return [];
    return [
      {
        code: rpoMs === 0 ? "rpo-zero-asynchronous" : "rpo-exceeded",
        severity: "error",
        subject: `Service/${service.name}`,
        sentence: `it may lose ${rpoMs === 0 ? "nothing" : describeSpan(rpoMs)}, but ${name} replicates asynchronously and may lose ${describeSpan(store.rpoMs)}`,
        numbers: { rpoMs, storeRpoMs: store.rpoMs },
        advice:
          rpoMs === 0
            ? `make ${name} synchronous`
            : `set replication.asynchronous.rpo of ${name} to ${rpoMs}ms or less`,
      },
    ];
  });
}

/**
 * What was acknowledged since one look is on the copies by the next, is published then, and only then counts as safe. Writes
 * wait when that has not happened within half of the RPO (P3).
 */
function publishing(store: DataStore, { roundTripMs }: Assumptions): readonly Finding[] {
  const publishedMs = 2 * lookEveryMs + roundTripMs;
  const { name, replication, rpoMs } = store;
  if (replication !== "asynchronous" || rpoMs >= 2 * publishedMs) return [];
  return [
    {
      code: "rpo-too-short",
      severity: "warning",
      subject: `DataStore/${name}`,
      sentence: `its writes wait until what they follow is known to be on a copy, which takes ${describeSpan(publishedMs)}; half of its RPO of ${describeSpan(rpoMs)} is shorter`,
      numbers: { rpoMs, publishedMs },
      advice: `set replication.asynchronous.rpo of ${name} to ${2 * publishedMs}ms or more, or make it synchronous`,
    },
  ];
}

function redundancy(store: DataStore): readonly Finding[] {
  const subject = `DataStore/${store.name}`;
  const others = store.members.length - 1;
  const { acknowledgements, replication, strict } = store;
  const numbers = { members: store.members.length, acknowledgements };
  const found: Finding[] = [];
  const add = (code: Finding["code"], severity: Finding["severity"], sentence: string, advice: string) =>
    found.push({ code, severity, subject, sentence, numbers, advice });

  const regions = new Set(store.members.map(({ region }) => region));
  if (others === 0) {
    add(
      "copy-single",
      "error",
      "it has one member: there is nothing to fail over to",
      "add a member in another region",
    );
  } else if (replication === "synchronous" && acknowledgements > others) {
    const sentence = `a commit waits for ${acknowledgements} standbys, there are ${others}: no write would ever be acknowledged`;
    add(
      "acknowledgements-impossible",
      "error",
      sentence,
      `set acknowledgements to ${Math.max(1, others - 1)}`,
    );
  } else if (replication === "synchronous" && acknowledgements === others) {
    const price = strict
      ? "the loss of any one stops writes (strict)"
      : "the loss of any one narrows redundancy, recorded and announced";
    const advice = others > 1 ? `set acknowledgements to ${others - 1}` : "add a third member";
    add("acknowledgements-all", "warning", `a commit waits for every standby (${others}): ${price}`, advice);
  }
  if (others > 0 && regions.size < store.members.length) {
    const sentence = `its ${store.members.length} members are in ${regions.size} regions: one loss takes several`;
    add("members-together", "warning", sentence, "spread members over regions");
  }
  if (store.backups === undefined) {
    const sentence = "no backups are asked for: its standbys replay a DROP TABLE too";
    add("backup-none", "info", sentence, "write spec.backups, unless others back it up");
  }
  return found;
}

function voters({ name, regions, mode }: Topology): readonly Finding[] {
  const count = regions.length;
  const quorum = Math.floor(count / 2) + 1;
  const numbers = { voters: count, quorum, lossesSurvived: count - quorum };
  const subject = `Topology/${name}`;
  const severity = mode === "observe" ? "warning" : "error";
  const advice = "add a region with role: witness: it needs an agent and nothing else";
  if (count === 1) {
    const sentence = "there is one vote: when it is gone, nobody decides anything";
    return [{ code: "voters-one", severity, subject, sentence, numbers, advice }];
  }
  if (count === 2) {
    const sentence =
      "there are two votes and a majority is two: the loss of either region stops automatic failover, since the other cannot tell a dead peer from a cut line";
    return [{ code: "voters-two", severity, subject, sentence, numbers, advice }];
  }
  if (count % 2 === 1) return [];
  const sentence = `${count} votes survive the loss of ${count - quorum}, as ${count - 1} would`;
  return [{ code: "voters-even", severity: "info", subject, sentence, numbers, advice }];
}

/** GitHub, October 2018: the database moved where the application could not follow, and 43 s became 24 h. */
function stack({ services }: Topology, store: DataStore): readonly Finding[] {
  const users = services.filter(({ dataStores }) => dataStores.includes(store.name));
  if (users.length === 0) return [];
  const alone = store.members
    .filter(({ promotable }) => promotable)
    .filter(
      ({ region }) => !users.some((user) => user.endpoints.some((endpoint) => endpoint.region === region)),
    );
  return alone.map(({ name, region }) => ({
    code: "stack-apart" as const,
    severity: "warning" as const,
    subject: `DataStore/${store.name}`,
    sentence: `${name} may become primary in ${region}, where none of its services runs: every write would cross regions`,
    numbers: { services: users.length },
    advice: `add an endpoint in ${region}, or set promotable: false`,
  }));
}

function edges({ regions, edges, routers = [], services }: Topology): readonly Finding[] {
  const bare = regions.filter(
    ({ name }) =>
      services.some(({ endpoints }) => endpoints.some(({ region }) => region === name)) &&
      ![...edges, ...routers].some(({ region }) => region === name),
  );
  return bare.map(({ name }) => ({
    code: "edge-missing" as const,
    severity: edges.length + routers.length === 0 ? ("info" as const) : ("warning" as const),
    subject: `Region/${name}`,
    sentence: "it serves and has no edge: requests reach it only through another region",
    numbers: { edges: edges.length },
    advice: "add an Edge there, unless another data plane routes to it",
  }));
}

function controlStore(topology: Topology, { roundTripMs }: Assumptions): readonly Finding[] {
  const { store, profile, regions } = topology;
  const subject = `Topology/${topology.name}`;
  if (store.kind === "embedded") {
    const hosts = new Set(regions.map((region: Region) => region.agent.host.toLowerCase()));
    if (hosts.size <= 1) return [];
    return [
      {
        code: "store-one-machine",
        severity: "error",
        subject,
        sentence: `the embedded store is a file on one machine, agents listen on ${hosts.size} hosts`,
        numbers: { hosts: hosts.size },
        advice: "use store: { etcd: ... } over three sites",
      },
    ];
  }
  const found: Finding[] = [];
  const sites = store.endpoints.length;
  if (sites < 3 || sites % 2 === 0) {
    const sentence = `etcd has ${sites} endpoint${sites === 1 ? "" : "s"} here: an odd number from three on survives a loss`;
    const advice = "name all members; run three or five over as many sites";
    found.push({ code: "store-sites", severity: "warning", subject, sentence, numbers: { sites }, advice });
  }
  if (profile.name === "fast" && roundTripMs > 100) {
    found.push({
      code: "store-fast-but-far",
      severity: "warning",
      subject,
      sentence: `the fast profile freezes after ${profile.freezeMs} ms without a renewal, and one write takes ${describeSpan(roundTripMs)}: a single slow election would hold requests`,
      numbers: { roundTripMs, freezeMs: profile.freezeMs, renewMs: profile.renewMs },
      advice: "use leaseProfile: balanced, or a store nearer than 100 ms",
    });
  }
  return found;
}

function mode({ name, mode }: Topology): readonly Finding[] {
  if (mode === "auto") return [];
  const sentence = {
    observe: "mode observe only watches: nothing is failed over",
    advise: "mode advise says what it would have done: a person acts",
    approve: "mode approve waits for a person: add that time to every figure here",
  }[mode];
  const subject = `Topology/${name}`;
  return [{ code: "mode-waits", severity: "info", subject, sentence, numbers: {}, advice: "" }];
}

function percent(share: number): string {
  return `${Number((share * 100).toPrecision(12))} %`;
}

function minutes(ms: number): string {
  return String(Number((ms / 60_000).toPrecision(3)));
}
