/** A world of regions that share a store and a network: put together from a seed and a shape, and told to go wrong by faults. */

import type { Command } from "../core/machine/command.ts";
import type { AgentEvent, AgentEventBody, SharedRecord } from "../core/machine/event.ts";
import type { AgentState } from "../core/machine/state.ts";
import { recordKeys } from "../core/model/record.ts";
import { Agent } from "./agent.ts";
import { Client, Edge } from "./clients.ts";
import type { Coverage } from "./coverage.ts";
import { Fencer } from "./fencer.ts";
import { Gate } from "./gate.ts";
import { Host } from "./host.ts";
import { Kernel, type Micros, millis } from "./kernel.ts";
import { Network } from "./network.ts";
import { Operations } from "./operations.ts";
import { Oracle } from "./oracle.ts";
import { type Cluster, Postgres } from "./postgres.ts";
import { type Shape, storeName, topologyOf } from "./shapes.ts";
import { SharedStore, type Stored } from "./shared-store.ts";
import type { Timeline } from "./timeline.ts";

/** Guards that are taken away, so that the others must hold alone what they promise. */
export interface Ablation {
  readonly fencer: boolean;
  readonly gate: boolean;
  readonly seal: boolean;
  readonly synchronousSet: boolean;
}

export const nothingAblated: Ablation = { fencer: false, gate: false, seal: false, synchronousSet: false };

export interface WorldOptions {
  readonly seed: number;
  readonly shape: Shape;
  readonly store: "embedded" | "etcd";
  readonly clients: number;
  readonly thinkMs: number;
  readonly ablation: Ablation;
  readonly tellStory: boolean;
  /** Most that a host's clock runs apart from the world's: 0 to 0.005 (two hosts then differ by up to 1 %). */
  readonly drift: number;
  /** Records pass through their text, as they do in production: what JSON has not would be found out. */
  readonly asText?: boolean;
  readonly coverage?: Coverage;
}

/** All that stands in one region. */
export interface Site {
  readonly region: string;
  readonly host: Host;
  /** When something in it last went on or was started: a fencer that has just woken needs some milliseconds. */
  wokeAt: Micros;
  agent: Agent;
  postgres: Postgres | null;
  operations: Operations | null;
  gate: Gate | null;
  fencer: Fencer | null;
  edge: Edge | null;
}

export class World {
  readonly options: WorldOptions;
  readonly kernel: Kernel;
  readonly network: Network;
  readonly store: SharedStore;
  readonly sites = new Map<string, Site>();
  readonly siteList: Site[] = [];
  readonly members = new Map<string, Postgres>();
  readonly clients: Client[] = [];
  readonly oracle: Oracle;
  readonly coverage: Coverage | null;
  readonly topology: ReturnType<typeof topologyOf>;
  /** Called at each claim, promotion, commit or vacating of a lease: what reactive faults wait for. */
  readonly onMoment: ((moment: string) => void)[] = [];

  constructor(options: WorldOptions) {
    this.options = options;
    this.kernel = new Kernel(options.seed, options.tellStory);
    this.topology = topologyOf(options.shape);
    this.coverage = options.coverage ?? null;
    const { kernel } = this;
    const regions = this.topology.regions.map((region) => region.name);
    const chance = kernel.chance("world");
    const distance = regions.map(() => chance.between(2, 30));
    this.network = new Network(kernel, regions, (a, b) =>
      a === b ? 60 : millis(((distance[a] as number) + (distance[b] as number)) / 2),
    );
    this.store = new SharedStore({
      kernel,
      network: this.network,
      kind: options.store,
      regions,
      isUp: (region) => this.sites.get(region)?.host.up ?? true,
      asText: options.asText ?? false,
      onApplied: (key, before, after) => this.#onStored(key, before, after),
    });
    this.oracle = new Oracle(this);
    const cluster: Cluster = {
      kernel,
      network: this.network,
      members: this.members,
      timelines: [],
      withoutSeal: options.ablation.seal,
      withoutSynchronousSet: options.ablation.synchronousSet,
      onPromoted: (member, epoch) => this.#onPromoted(member, epoch),
      onFollowed: (member, upstream, epoch) => this.oracle.onFollowed(member, upstream, epoch),
      // What the seal proves is not asked of a member that was not sealed.
      onDiverged: (member, upstream) => {
        if (!options.ablation.seal)
          kernel.violate(
            "D6",
            `${member.name} follows ${upstream} unasked whether it fits, and their histories part`,
          );
      },
      onStarted: (member) => this.site(member.region).fencer?.seeStart(),
    };
    for (const region of regions) this.#build(region, cluster);
    for (let index = 0; index < options.clients; index++) {
      const region = regions[index % regions.length] as string;
      const client = new Client(this, region, index % 2 === 0, options.thinkMs);
      this.clients.push(client);
      client.begin();
    }
  }

  #build(region: string, cluster: Cluster): void {
    const { kernel, options } = this;
    const chance = kernel.chance(`host ${region}`);
    const rate = 1 + (chance.fraction() * 2 - 1) * options.drift;
    const host = new Host(kernel, region, rate, chance.between(1000, 1_000_000));
    const member = this.topology.dataStores[0]?.members.find((candidate) => candidate.region === region);
    const postgres = member ? new Postgres(cluster, member) : null;
    const site: Site = {
      region,
      host,
      wokeAt: 0,
      postgres,
      operations: postgres ? new Operations(cluster, postgres) : null,
      agent: undefined as unknown as Agent,
      gate: postgres ? new Gate(kernel, host, options.ablation.gate) : null,
      fencer: postgres
        ? new Fencer(kernel, host, postgres, options.ablation.fencer, (epoch) =>
            site.agent.tell({ kind: "fencer-fired", member: postgres.name, epoch }),
          )
        : null,
      edge: this.topology.edges.some((edge) => edge.region === region)
        ? new Edge(textDigest, () => kernel.hit("an edge refused a table"))
        : null,
    };
    site.agent = new Agent({ world: this, site, topology: this.topology, tools: { digest: textDigest } });
    if (postgres) this.members.set(postgres.name, postgres);
    this.sites.set(region, site);
    this.siteList.push(site);
    this.startSite(site, chance.between(0, 500));
  }

  site(region: string): Site {
    return this.sites.get(region) as Site;
  }

  startSite(site: Site, agentAfterMs: number): void {
    site.fencer?.start(true);
    site.gate?.start();
    site.edge?.process.start();
    const { life } = site.agent.process;
    this.kernel.after(millis(agentAfterMs), () => {
      if (site.host.up && !site.agent.process.alive && life === site.agent.process.life) site.agent.start();
    });
  }

  // ---------------------------------------------------------------- what parts ask of each other

  askPeer(
    from: string,
    to: string,
    question: { readonly dataStore: string; readonly epoch: number; readonly revision: number },
    answer: (promised: boolean, because: string) => void,
  ): void {
    this.network.send(from, to, () =>
      this.site(to).agent.ask({ from, ...question }, (promised, because) => {
        this.network.send(to, from, () => answer(promised, because));
      }),
    );
  }

  tellPeer(from: string, to: string, event: AgentEventBody): void {
    this.network.send(from, to, () => this.site(to).agent.tell(event));
  }

  /** The site that an edge of `region`, or the nearest one that has an edge, would send a write to. */
  writerFor(region: string): Site | null {
    const own = this.site(region);
    const edge =
      own.edge ?? this.siteList.find((site) => site.edge && this.network.both(region, site.region))?.edge;
    if (!edge?.process.running) return null;
    const route = edge.table?.stores[storeName];
    if (!route?.writer || route.changing) return null;
    this.oracle.onForwarded(edge, route.epoch);
    return this.site(route.writer.region);
  }

  /** What a probe from `from` of the service in `region` sees. */
  serves(from: string, region: string): boolean {
    const site = this.site(region);
    const serves = site.host.up && this.network.both(from, region);
    if (!serves) this.oracle.onProbeFailed(from, region);
    return serves;
  }

  whyNotServing(region: string, dataStore: string): string {
    const edge = this.site(region).edge;
    const route = edge?.table?.stores[dataStore];
    if (!edge || !route?.writer) return edge ? "the edge's table names no writer" : "";
    const { gate, postgres } = this.site(route.writer.region);
    if (!this.network.both(region, route.writer.region)) return "the writer cannot be reached";
    if (!gate?.admits()) return "the writer's gate is closed";
    return postgres?.isPrimary && postgres.process.running && !postgres.disk.frozen
      ? ""
      : "the writer does not write";
  }

  // ---------------------------------------------------------------- what is seen from outside

  onTransition(
    agent: Agent,
    before: AgentState,
    event: AgentEvent,
    after: AgentState,
    commands: readonly Command[],
  ): void {
    const { kernel } = this;
    kernel.mix(commands.length);
    for (const command of commands) {
      kernel.mix(command.kind.charCodeAt(0) * 31 + command.kind.length);
      if ("id" in command) kernel.mix(command.id);
    }
    this.coverage?.take(before, event, after, commands);
    this.oracle.onTransition(agent, before, after);
  }

  onAcknowledged(site: Site, timeline: Timeline, position: number, releasedAt: Micros): void {
    this.kernel.mix(position);
    this.oracle.onAcknowledged(site, timeline, position, releasedAt);
  }

  #onPromoted(member: Postgres, epoch: number): void {
    this.oracle.onPromoted(member, epoch);
    this.#moment("promoted");
  }

  #onStored(key: string, before: Stored | undefined, after: Stored): void {
    this.oracle.onStored(key, before, after);
    if (key !== recordKeys.lease(storeName)) return;
    const was = before?.record as { readonly phase?: string; readonly epoch?: number } | null | undefined;
    const is = after.record as { readonly phase: string; readonly epoch: number } | null;
    if (is && (was?.phase !== is.phase || was.epoch !== is.epoch)) this.#moment(is.phase);
  }

  #moment(moment: string): void {
    for (const act of this.onMoment) act(moment);
  }

  /** A person's request, as the API would write it. */
  request(record: SharedRecord & { readonly id: string }): void {
    this.store.put(recordKeys.request(record.id), record);
  }

  run(end: Micros): void {
    this.kernel.run(end);
  }
}

/** FNV-1a with a finish, twice over: a digest that is pure, for tables that nobody forges here. */
export function textDigest(text: string): string {
  let low = 0x811c9dc5;
  let high = 0xcbf29ce4;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    low = Math.imul(low ^ code, 0x01000193);
    high = Math.imul(high ^ code, 0x85ebca6b) ^ (low >>> 13);
  }
  return (low >>> 0).toString(16).padStart(8, "0") + (high >>> 0).toString(16).padStart(8, "0");
}
