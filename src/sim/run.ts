/** A plan in, what came of it out: the faults run their course, then all is healed, and the service must be well again. */
import type { LeaseRecord } from "../core/model/record.ts";
import { recordKeys } from "../core/model/record.ts";
import type { Coverage } from "./coverage.ts";
import { forGood } from "./fault.ts";
import { Inflictor } from "./inflict.ts";
import { type Micros, millis, type StoryLine, seconds, type Violation } from "./kernel.ts";
import type { Plan } from "./plan.ts";
import { storeName } from "./shapes.ts";
import { type Site, World } from "./world.ts";

export interface RunResult {
  readonly seed: number;
  readonly violation: Violation | null;
  readonly digest: number;
  readonly acts: number;
  /** Virtual time. */
  readonly span: Micros;
  readonly acknowledged: number;
  /** Longest time in which nobody was told of a write, since the first. */
  readonly longestGap: Micros;
  readonly inflicted: ReadonlyMap<string, number>;
  readonly sometimes: ReadonlyMap<string, number>;
  readonly story: readonly StoryLine[];
}

/** Writes resume this long after everything is healed, at the latest; and all copies are back. */
const resumeWithin = seconds(60);
const wholeWithin = seconds(180);

export function run(plan: Plan, coverage?: Coverage): RunResult {
  const world = new World({ ...plan.world, ...(coverage ? { coverage } : {}) });
  const { kernel, oracle } = world;
  const inflictor = new Inflictor(world);
  inflictor.plan(plan.faults);
  if (plan.world.shape.mode === "approve") approveSoon(world, inflictor);
  if (plan.resumesWithin !== null) expectWrites(world, plan.resumesWithin.after, plan.resumesWithin.span);
  try {
    kernel.run(plan.healAt);
    if (!kernel.violation) settle(world, inflictor, plan);
    const changes = oracle.committedEpochs - 1;
    if (plan.changesMax !== null && changes > plan.changesMax)
      kernel.violate(
        "S12",
        `the primary changed ${changes} times for one fault, and ${plan.changesMax} would do`,
      );
  } catch (error) {
    // A failed invariant of the core: in production the agent would stop here, and another would take over.
    kernel.violate("crash", (error as Error).stack ?? String(error));
  }
  return {
    seed: plan.world.seed,
    violation: kernel.violation,
    digest: kernel.digest >>> 0,
    acts: kernel.acts,
    span: kernel.now,
    acknowledged: oracle.acknowledged,
    longestGap: oracle.longestGap,
    inflicted: inflictor.inflicted,
    sometimes: kernel.sometimes,
    story: kernel.story ?? [],
  };
}

/** Mode `approve`: a person looks every few seconds, and agrees. */
function approveSoon(world: World, inflictor: Inflictor): void {
  world.kernel.after(seconds(3), () => {
    const waits = holdingReason(world).includes("waiting for approval");
    if (waits) {
      world.kernel.hit("a person approved");
      inflictor.ask("approve", null);
    }
    approveSoon(world, inflictor);
  });
}

/** P1, P2: after one plain fault, writes resume within the promised span. */
function expectWrites(world: World, after: Micros, span: Micros): void {
  const { kernel, oracle } = world;
  kernel.at(after + span, () => {
    if (oracle.lastAckAt <= after + millis(100))
      kernel.violate("P1", `no write was acknowledged within ${span / 1000} ms of the fault`);
    else kernel.hit("writes resumed in time");
  });
}

/** The liveness phase: in steps, so that a run that is well again ends soon. */
function settle(world: World, inflictor: Inflictor, plan: Plan): void {
  const { kernel, oracle } = world;
  const { broken } = plan;
  kernel.tell("fault", "heal", broken ? "all is healed but one region" : "everything is healed");
  if (broken) inflictor.healAllBut({ ...broken, at: 0, lasts: forGood });
  else inflictor.healAll();
  const { lost } = inflictor;
  let healedAt = kernel.now;
  let askedPerson = false;
  for (;;) {
    kernel.run(kernel.now + seconds(2));
    if (kernel.violation) return;
    const since = kernel.now - healedAt;
    const writing = oracle.lastAckAt > kernel.now - seconds(1) && oracle.lastAckAt > healedAt;
    if (writing && whyNotWhole(world, lost) === "") return;
    const reason = holdingReason(world);
    if (oracle.storeRestored && since > resumeWithin && reason !== "")
      return kernel.hit("stuck: the store was restored");
    if (!writing && since > resumeWithin) {
      if (reason.includes("is not in the store") && oracle.leaseLost)
        return kernel.hit("stuck: the lease was deleted");
      const proven = mayLead(world, lost);
      if (!proven && reason.includes("a person may accept")) {
        kernel.hit("stuck: nothing can be proven");
        if (askedPerson) return;
        askedPerson = true;
        kernel.hit("a person accepted loss");
        inflictor.ask("allow-data-loss", null);
        healedAt = kernel.now;
        continue;
      }
      if (!proven && reason !== "") return kernel.hit("stuck: nothing can be proven");
      return kernel.violate(
        "liveness",
        `no write for ${Math.round((kernel.now - Math.max(oracle.lastAckAt, healedAt)) / 1e6)} s after the faults ended${proven ? ` although ${proven} may lead` : ""}; the agents say: ${reason || "nothing"}`,
      );
    }
    if (since > wholeWithin)
      return kernel.violate(
        "liveness",
        `not whole ${Math.round(since / 1e6)} s after the faults ended: ${whyNotWhole(world, lost)}; the agents say: ${reason || "nothing"}`,
      );
  }
}

function leaseOf(world: World): LeaseRecord | null {
  return (world.store.records.get(recordKeys.lease(storeName))?.record ?? null) as LeaseRecord | null;
}

/** By the evidence that the last committed primary left, and by what lies on the disks of the living: who might lead; empty: nobody can be proven. */
function mayLead(world: World, lost: ReadonlySet<Site>): string {
  const lease = world.oracle.evidence;
  const store = world.topology.dataStores[0];
  if (!lease || !store) return "";
  const living = [...world.members.values()].filter((member) => !lost.has(world.site(member.region)));
  const published = living.filter((member) =>
    lease.durable.standbys.some(
      (copy) => copy.member === member.name && copy.incarnation === member.disk.incarnation,
    ),
  );
  const needed = lease.durable.standbys.length - lease.durable.acknowledgements + 1;
  for (const member of living) {
    const { disk, name } = member;
    const region = world.topology.regions.find((candidate) => candidate.name === member.region);
    const allowed =
      store.jurisdictions.length === 0 || store.jurisdictions.includes(region?.jurisdiction ?? "");
    if (!allowed || disk.position < lease.durable.position) continue;
    if (lease.primary?.member === name && lease.primary.incarnation === disk.incarnation) return name;
    if (!published.includes(member) || disk.damage) continue;
    if (lease.durable.final || store.replication === "asynchronous") return name;
    const behind = published.filter((other) => other.disk.position <= disk.position);
    if (lease.durable.acknowledgements > 0 && behind.length >= needed) return name;
  }
  return "";
}

function whyNotWhole(world: World, lost: ReadonlySet<Site>): string {
  const lease = leaseOf(world);
  if (lease?.phase !== "committed") return `the lease is ${lease?.phase ?? "missing"}`;
  for (const member of world.members.values()) {
    if (lost.has(world.site(member.region))) continue;
    if (member.name === lease.holder) {
      if (!member.isPrimary) return `${member.name} holds the lease and is no primary`;
    } else if (!member.isStandby || !member.streaming) return `${member.name} does not stream`;
  }
  return "";
}

function holdingReason(world: World): string {
  const reasons: string[] = [];
  for (const { agent } of world.siteList) {
    const holding = agent.state?.keepers[storeName]?.holding;
    if (holding) reasons.push(`${agent.region}: ${holding}`);
  }
  return reasons.join("; ");
}
