/** A plan in, what came of it out: the faults run their course, then all is healed, and the service must be well again. */
import type { LeaseRecord } from "../core/model/record.ts";
import { recordKeys } from "../core/model/record.ts";
import type { Coverage } from "./coverage.ts";
import { Inflictor } from "./inflict.ts";
import { type Micros, type StoryLine, seconds, type Violation } from "./kernel.ts";
import { storeName } from "./shapes.ts";
import type { Plan } from "./swarm.ts";
import { World } from "./world.ts";

export interface RunResult {
  readonly seed: number;
  readonly violation: Violation | null;
  readonly digest: number;
  readonly acts: number;
  /** Virtual time. */
  readonly span: Micros;
  readonly acknowledged: number;
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
  try {
    kernel.run(plan.healAt);
    if (!kernel.violation) {
      kernel.tell("fault", "heal", "everything is healed");
      inflictor.healAll();
      settle(world, inflictor, plan.healAt);
    }
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
    inflicted: inflictor.inflicted,
    sometimes: kernel.sometimes,
    story: kernel.story ?? [],
  };
}

/** The liveness phase: in steps, so that a run that is well again ends soon. */
function settle(world: World, inflictor: Inflictor, healedAt: Micros): void {
  const { kernel, oracle } = world;
  let askedPerson = false;
  for (;;) {
    kernel.run(kernel.now + seconds(2));
    if (kernel.violation) return;
    const since = kernel.now - healedAt;
    const writing = oracle.lastAckAt > kernel.now - seconds(1) && oracle.lastAckAt > healedAt;
    if (writing && whyNotWhole(world) === "") return;
    if (!writing && since > resumeWithin) {
      const reason = holdingReason(world);
      if (oracle.wipes > 0 && reason.includes("a person may accept") && !askedPerson) {
        askedPerson = true;
        inflictor.ask("allow-data-loss", null);
        healedAt = kernel.now;
        kernel.hit("a person accepted loss");
        continue;
      }
      return kernel.violate(
        "liveness",
        `no write for ${Math.round((kernel.now - Math.max(oracle.lastAckAt, healedAt)) / 1e6)} s after everything was healed; the agents say: ${reason || "nothing"}`,
      );
    }
    if (since > wholeWithin)
      return kernel.violate(
        "liveness",
        `not whole ${Math.round(since / 1e6)} s after everything was healed: ${whyNotWhole(world)}`,
      );
  }
}

function whyNotWhole(world: World): string {
  const lease = world.store.records.get(recordKeys.lease(storeName))?.record as
    | LeaseRecord
    | null
    | undefined;
  if (lease?.phase !== "committed") return `the lease is ${lease?.phase ?? "missing"}`;
  for (const member of world.members.values()) {
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
