/**
 * What was promised, checked from outside the code under test: it sees the real processes, disks and clocks, and what clients
 * were told. The invariants are those of DESIGN section 9.
 */
import type { AgentState } from "../core/machine/state.ts";
import type { LeaseRecord, RequestRecord } from "../core/model/record.ts";
import { recordKeys, splitKey } from "../core/model/record.ts";
import type { RoutingTable, SignedTable } from "../core/model/routing.ts";
import type { Agent } from "./agent.ts";
import type { Edge } from "./clients.ts";
import { type Micros, millis, seconds } from "./kernel.ts";
import type { Postgres } from "./postgres.ts";
import { storeName } from "./shapes.ts";
import type { Stored } from "./shared-store.ts";
import { holds, type Timeline } from "./timeline.ts";
import type { Site, World } from "./world.ts";

/** A claim, its undoing and a rejoin take some ten operations; a failing one is repeated at most every 50 ms to 5 s. */
const stormMax = 150;
const stormWindow = seconds(10);
/** A fencer that has woken looks at the clock, and ends its member within 25 ms. */
const wakingFor = millis(100);
/** Down is left behind after five good probes in a row, one a second, and told with the next beat and the next table. */
const accusedFor = seconds(30);

export class Oracle {
  /** Acknowledged writes, all. */
  acknowledged = 0;
  /** When the last one passed a gate. */
  lastAckAt: Micros = -1;
  /** Longest time without one, since the first. */
  longestGap: Micros = 0;
  committedEpochs = 0;
  /** A person accepted loss in this epoch or before: S1 is asked no more of what was acknowledged until then. */
  lossAcceptedEpoch = 0;
  highestCommitted = 0;
  /** The lease as the last committed primary left it: what a claim must carry on (trap 7). */
  evidence: LeaseRecord | null = null;
  #highestEpoch = 0;
  #committedAt: Micros = 0;
  /** The record was deleted, which nobody may take for an expired lease (L2). */
  leaseLost = false;
  #highestAcked = 0;
  #highestAckedBy = "";
  #claims = new Map<number, string>();
  #written = new Set<Timeline>();
  #tableGeneration = 0;
  #promotedEpochs = new Map<number, string>();
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  #violate(invariant: string, text: string): void {
    this.#world.kernel.violate(invariant, text);
  }

  // ---------------------------------------------------------------- the store

  onStored(key: string, before: Stored | undefined, after: Stored): void {
    if (key === recordKeys.lease(storeName))
      this.#onLease((before?.record ?? null) as LeaseRecord | null, after.record as LeaseRecord | null);
    else if (splitKey(key)[0] === "request") this.#onRequest(after.record as RequestRecord | null);
    else if (key === recordKeys.routing) {
      const table = (after.record as SignedTable | null)?.table;
      if (!table || Object.keys(table.services).length === 0)
        this.#violate("S13", "an empty routing table was published");
      else if (table.generation <= this.#tableGeneration)
        this.#violate(
          "S13",
          `routing table ${table.generation} was published after ${this.#tableGeneration}`,
        );
      else {
        this.#tableGeneration = table.generation;
        this.#checkTargets(table, (before?.record as SignedTable | null | undefined)?.table);
      }
    }
  }

  /** P8: what people are told came of their request did. */
  #onRequest(record: RequestRecord | null): void {
    const epoch = Number(/leads epoch (\d+)/.exec(record?.detail ?? "")?.[1]);
    if (record?.status !== "succeeded" || Number.isNaN(epoch)) return;
    const members = this.#world.topology.dataStores.flatMap((dataStore) => dataStore.members);
    const first = members.find((member) => member.promotable)?.region;
    const wanted = record.toRegion ?? (record.kind === "failback" ? first : undefined);
    const holder = this.#claims.get(epoch);
    const region = members.find((member) => member.name === holder)?.region;
    if (wanted !== undefined && region !== wanted)
      this.#violate(
        "P8",
        `a ${record.kind} to ${wanted} is told to be done, and ${holder} leads: ${record.detail}`,
      );
  }

  #onLease(before: LeaseRecord | null, after: LeaseRecord | null): void {
    if (!after) {
      this.leaseLost = true;
      return;
    }
    const { kernel } = this.#world;
    const epochBefore = before?.epoch ?? this.#highestEpoch;
    this.#highestEpoch = Math.max(this.#highestEpoch, after.epoch);
    if (after.epoch < epochBefore)
      return this.#violate("S3", `the lease went back from epoch ${epochBefore} to ${after.epoch}`);
    if (after.epoch === epochBefore && before && before.holder !== after.holder)
      return this.#violate("S3", `epoch ${after.epoch} passed from ${before.holder} to ${after.holder}`);
    if (after.epoch > epochBefore) {
      if (after.phase !== "claimed")
        return this.#violate("S3", `epoch ${after.epoch} began as ${after.phase}`);
      this.#claims.set(after.epoch, after.holder);
      kernel.tell("part", "lease", `epoch ${after.epoch} is claimed for ${after.holder}: ${after.because}`);
      if (after.because.startsWith("loss accepted")) this.lossAcceptedEpoch = after.epoch;
      if (before) this.#checkFenced(before, after);
    } else if (before?.phase !== after.phase) {
      if (after.phase === "vacant") this.#checkEnded(after);
      if (after.phase === "committed") this.#onCommitted(after);
    }
    const evident =
      after.phase === "committed" || (after.phase === "vacant" && after.epoch === this.evidence?.epoch);
    if (evident) this.evidence = after;
    if (after.phase === "committed") {
      this.#renewedAt = kernel.now;
      this.#checkDurable(after);
      const risen =
        before?.phase === "committed" &&
        before.epoch === after.epoch &&
        after.durable.position > before.durable.position;
      if (risen && sameCopies(before, after)) this.#checkPosition(after);
    }
    if (
      before?.phase === "committed" &&
      after.phase === "committed" &&
      after.epoch === before.epoch &&
      after.durable.position < before.durable.position
    )
      this.#violate("trap 5", `the published position went down in epoch ${after.epoch}`);
  }

  /** L4: who writes `vacant` has fenced and confirmed. */
  #checkEnded(lease: LeaseRecord): void {
    this.#world.kernel.tell("part", "lease", `epoch ${lease.epoch} is vacant: ${lease.because}`);
    const member = this.#world.members.get(lease.holder);
    if (member?.isPrimary)
      this.#violate("L4", `${lease.holder} gave up epoch ${lease.epoch}, and still runs as a primary`);
  }

  /** S6, L7: when another one claims, the old primary is ended, and its gate passes nothing, each by itself. */
  #checkFenced(before: LeaseRecord, after: LeaseRecord): void {
    const { ablation } = this.#world.options;
    for (const site of this.#world.siteList) {
      const { postgres, gate, fencer } = site;
      if (!postgres?.isPrimary || !gate) continue;
      if (!ablation.gate && gate.process.running && gate.verdict() !== "cut" && gate.verdict() !== "hold")
        return this.#violate(
          "S6",
          `epoch ${after.epoch} was claimed while the gate of ${postgres.name} still passes (epoch ${before.epoch})`,
        );
      const waking = this.#world.kernel.now - site.wokeAt < wakingFor;
      const frozen = waking || !postgres.process.running || !fencer?.process.running || postgres.diskHung;
      if (!ablation.fencer && !frozen)
        return this.#violate(
          "S6",
          `epoch ${after.epoch} was claimed while ${postgres.name} still runs as a primary (epoch ${before.epoch})`,
        );
    }
  }

  #onCommitted(lease: LeaseRecord): void {
    this.committedEpochs++;
    this.highestCommitted = lease.epoch;
    this.#committedAt = this.#world.kernel.now;
    const { kernel, topology } = this.#world;
    kernel.tell("part", "lease", `epoch ${lease.epoch} is committed: ${lease.holder} is the primary`);
    const member = this.#world.members.get(lease.holder);
    const store = topology.dataStores[0];
    if (!member || !store) return;
    const region = topology.regions.find((candidate) => candidate.name === member.region);
    if (store.jurisdictions.length > 0 && !store.jurisdictions.includes(region?.jurisdiction ?? ""))
      this.#violate("S14", `${lease.holder} leads in jurisdiction ${region?.jurisdiction}`);
    const timeline = this.#timelineOf(lease.epoch);
    if (!timeline)
      return this.#violate("S3", `epoch ${lease.epoch} was committed, and nobody was promoted in it`);
    if (this.lossAcceptedEpoch === lease.epoch) {
      this.#written.clear();
      return;
    }
    for (const other of this.#written) {
      if (other.acknowledged < 0) continue;
      if (holds(timeline, Number.POSITIVE_INFINITY, other, other.acknowledged)) continue;
      if (store.replication === "asynchronous") this.#checkRpo(timeline, other, store.rpoMs);
      else if (!this.#world.options.ablation.synchronousSet)
        this.#violate(
          "S1",
          `epoch ${lease.epoch} of ${lease.holder} misses acknowledged writes of epoch ${other.epoch} of ${other.member} (up to ${other.acknowledged})`,
        );
    }
  }

  /** P3: an asynchronous store may lose at most its RPO: what is missing was acknowledged within that time before the fault. */
  #checkRpo(timeline: Timeline, other: Timeline, rpoMs: number): void {
    const { recent } = other;
    const last = recent.at(-1)?.[1] ?? 0;
    const first = recent.find(([position]) => !holds(timeline, Number.POSITIVE_INFINITY, other, position));
    this.#world.kernel.hit("asynchronous writes were lost");
    // With its agent gone, only the gate's clock is left to stop a primary: then the freeze span bounds the loss.
    const { agent } = this.#world.site(this.#world.members.get(other.member)?.region ?? "");
    const guarded = agent.process.running && agent.boots === 1;
    const limitMs = guarded ? rpoMs : Math.max(rpoMs, this.#world.topology.profile.freezeMs * 1.02);
    if (first && last - first[1] > millis(limitMs))
      this.#violate(
        "P3",
        `${Math.round((last - first[1]) / 1000)} ms of acknowledged writes are lost, the RPO is ${rpoMs} ms`,
      );
  }

  /** D1: what is published of the copies is true: each acknowledged write beyond the position is on that many of them. */
  #checkDurable(lease: LeaseRecord): void {
    const store = this.#world.topology.dataStores[0];
    if (store?.replication !== "synchronous" || this.#world.options.ablation.synchronousSet) return;
    const timeline = this.#timelineOf(lease.epoch);
    if (!timeline || timeline.acknowledged <= lease.durable.position) return;
    this.#checkCopies(lease, timeline, timeline.acknowledged);
  }

  /** D1: with the same copies as before, the position rises only to what that many of them have. */
  #checkPosition(lease: LeaseRecord): void {
    const store = this.#world.topology.dataStores[0];
    const timeline = this.#timelineOf(lease.epoch);
    if (store?.replication !== "synchronous" || this.#world.options.ablation.synchronousSet || !timeline)
      return;
    this.#checkCopies(lease, timeline, lease.durable.position);
  }

  #checkCopies(lease: LeaseRecord, timeline: Timeline, position: number): void {
    const { acknowledgements, standbys } = lease.durable;
    if (acknowledgements === 0) return;
    let copies = 0;
    for (const { member } of standbys) {
      const copy = this.#world.members.get(member)?.disk;
      if (copy?.timeline && holds(copy.timeline, copy.position, timeline, position)) copies++;
    }
    if (copies < acknowledgements && this.#wipes === 0)
      this.#violate(
        "D1",
        `a write of epoch ${lease.epoch} at ${position} was acknowledged and is on ${copies} of ${standbys.length} published copies, ${acknowledgements} are promised (published up to ${lease.durable.position})`,
      );
  }

  /** The store is as it was: what it says of tables and of leases that were renewed is older than what was seen. */
  onStoreRestored(): void {
    this.#wipes++;
    this.#tableGeneration = 0;
    this.storeRestored = true;
  }

  storeRestored = false;
  #wipes = 0;

  /** A disk was lost on purpose: what is published may be false until the agents know. */
  onWiped(): void {
    this.#wipes++;
  }

  get wipes(): number {
    return this.#wipes;
  }

  // ---------------------------------------------------------------- members and clients

  readonly #timelines = new Map<number, Timeline>();

  #timelineOf(epoch: number): Timeline | undefined {
    return this.#timelines.get(epoch);
  }

  onPromoted(member: Postgres, epoch: number): void {
    const { kernel } = this.#world;
    kernel.hit("promoted");
    kernel.tell("part", member.name, `is promoted in epoch ${epoch}`);
    const other = this.#promotedEpochs.get(epoch);
    if (other !== undefined && other !== member.name)
      return this.#violate("S3", `${other} and ${member.name} were both promoted in epoch ${epoch}`);
    this.#promotedEpochs.set(epoch, member.name);
    if (member.disk.timeline) this.#timelines.set(epoch, member.disk.timeline);
    // S11: nobody is promoted without an epoch that was claimed for it.
    if (this.#claims.get(epoch) !== member.name)
      this.#violate(
        "S11",
        `${member.name} was promoted in epoch ${epoch}, which ${this.#claims.get(epoch) ?? "nobody"} has claimed`,
      );
  }

  /** `releasedAt`: when the member had committed it; a gate that was stopped may pass the reply on much later. */
  onAcknowledged(site: Site, timeline: Timeline, position: number, releasedAt: Micros): void {
    const { kernel } = this.#world;
    this.acknowledged++;
    const { epoch, member } = timeline;
    if (epoch < this.highestCommitted && releasedAt < this.#committedAt)
      return this.#checkLate(timeline, position);
    if (this.lastAckAt >= 0) this.longestGap = Math.max(this.longestGap, kernel.now - this.lastAckAt);
    this.lastAckAt = kernel.now;
    if (epoch < this.#highestAcked)
      return this.#violate(
        "S2",
        `${member} acknowledged a write in epoch ${epoch} after ${this.#highestAckedBy} had in epoch ${this.#highestAcked}`,
      );
    if (epoch < this.highestCommitted)
      return this.#violate(
        "S4",
        `${member} acknowledged a write in epoch ${epoch} after epoch ${this.highestCommitted} was committed`,
      );
    if (epoch > this.highestCommitted)
      return this.#violate("S3", `${member} acknowledged a write in epoch ${epoch}, which is not committed`);
    this.#checkFreeze(site);
    this.#highestAcked = epoch;
    this.#highestAckedBy = member;
    if (position > timeline.acknowledged) timeline.acknowledged = position;
    this.#written.add(timeline);
    const store = this.#world.topology.dataStores[0];
    if (store?.replication === "asynchronous") {
      // What was under way while it stood still is acknowledged as it wakes, before anybody can hold it.
      if (kernel.now - site.wokeAt < wakingFor) return;
      timeline.recent.push([position, kernel.now]);
      if (timeline.recent.length > 4000) timeline.recent.splice(0, 2000);
      return;
    }
    if (this.#world.options.ablation.synchronousSet) return;
    const lease = this.#world.store.records.get(recordKeys.lease(storeName))?.record as LeaseRecord | null;
    if (lease?.epoch === epoch && lease.phase === "committed" && position > lease.durable.position)
      this.#checkCopies(lease, timeline, position);
  }

  /**
   * L5, L7: the gate stops what passes out by its own clock, `freezeMs` after the last renewal at the latest, unless a
   * majority of peers has promised to wait (then nothing is known here). Without it, an agent that runs has frozen by then.
   */
  #checkFreeze(site: Site): void {
    const { kernel, topology, options } = this.#world;
    if (this.#promisedAt > this.#renewedAt) return;
    const { freezeMs, stopMs } = topology.profile;
    const limit =
      millis((options.ablation.gate ? stopMs : freezeMs) * 1.011) + (options.ablation.gate ? millis(60) : 0);
    if (kernel.now - this.#renewedAt > limit)
      this.#violate(
        "L5",
        `${site.postgres?.name} acknowledged a write ${Math.round((kernel.now - this.#renewedAt) / 1000)} ms after its lease was last renewed`,
      );
  }

  #renewedAt: Micros = 0;
  #promisedAt: Micros = 0;

  onPromised(): void {
    this.#promisedAt = this.#world.kernel.now;
  }

  /** F2: nobody follows, or is made anew from, a primary that has not committed. */
  onFollowed(member: Postgres, upstream: string, epoch: number): void {
    if (epoch > this.highestCommitted)
      this.#violate("F2", `${member.name} follows ${upstream} in epoch ${epoch}, which is not committed`);
  }

  /** A reply that was under way: no second writer, but what it says must be true. */
  #checkLate(timeline: Timeline, position: number): void {
    this.#world.kernel.hit("a reply passed the gate late");
    const now = this.#timelineOf(this.highestCommitted);
    const store = this.#world.topology.dataStores[0];
    if (store?.replication !== "synchronous" || this.#world.options.ablation.synchronousSet || !now) return;
    if (this.lossAcceptedEpoch > timeline.epoch) return;
    if (!holds(now, Number.POSITIVE_INFINITY, timeline, position))
      this.#violate("S1", `a write of epoch ${timeline.epoch} at ${position} was acknowledged, and is lost`);
  }

  onForwarded(edge: Edge, epoch: number): void {
    if (epoch < edge.forwardedEpoch)
      this.#violate("S5", `an edge forwarded to epoch ${epoch} after ${edge.forwardedEpoch}`);
    else edge.forwardedEpoch = epoch;
  }

  // ---------------------------------------------------------------- agents

  /** S16: nothing is repeated without a pause, however often it fails. M3: knowledge only grows. */
  onTransition(agent: Agent, before: AgentState, after: AgentState): void {
    const { kernel } = this.#world;
    const known = before.keepers[storeName]?.leaseRevision ?? 0;
    const knows = after.keepers[storeName]?.leaseRevision ?? 0;
    if (knows < known)
      return this.#violate(
        "M3",
        `the agent of ${agent.region} went back from revision ${known} of the lease to ${knows}`,
      );
    const window = Math.floor(kernel.now / stormWindow);
    const seen = this.#storms.get(agent.region);
    if (seen?.window !== window) {
      this.#storms.set(agent.region, { window, operations: agent.operations });
      return;
    }
    if (agent.operations - seen.operations > stormMax)
      this.#violate(
        "S16",
        `the agent of ${agent.region} ordered more than ${stormMax} operations on its member within 10 s`,
      );
  }

  readonly #storms = new Map<string, { readonly window: number; readonly operations: number }>();

  // ---------------------------------------------------------------- routing

  readonly #probeFailures = new Map<string, Micros>();

  onProbeFailed(from: string, region: string): void {
    this.#probeFailures.set(`${from} ${region}`, this.#world.kernel.now);
  }

  /** J1: a target is taken out only for what a majority of the vantage points has seen lately. */
  #checkTargets(table: RoutingTable, before: RoutingTable | undefined): void {
    const { topology, kernel, siteList } = this.#world;
    for (const service of topology.services)
      for (const { region } of service.endpoints) {
        const isListed = (where: RoutingTable | undefined) =>
          where?.services[service.name]?.targets.some((target) => target.region === region) ?? true;
        if (isListed(table) || !isListed(before)) continue;
        const accusers = siteList.filter(
          (site) =>
            kernel.now - (this.#probeFailures.get(`${site.region} ${region}`) ?? -Infinity) < accusedFor,
        );
        if (accusers.length < Math.min(2, siteList.length))
          return this.#violate(
            "J1",
            `${region} was taken out of ${service.name}, and ${accusers.length} region(s) saw it fail`,
          );
      }
  }
}

function sameCopies(before: LeaseRecord, after: LeaseRecord): boolean {
  const list = ({ durable }: LeaseRecord) =>
    [
      durable.acknowledgements,
      ...durable.standbys.map((copy) => `${copy.member} ${copy.incarnation}`),
    ].join();
  return list(before) === list(after);
}
