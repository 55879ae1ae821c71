/**
 * An agent's process: the machine of production, its mailbox, and a performer that carries its commands into the world.
 *
 * - An agent that restarts has forgotten everything; one that was stopped goes on with what it believed, and is told the
 *   time before anything that has piled up.
 * - `record-changed` with what stands there comes before the reply of a write that conflicts.
 */
import type { Command } from "../core/machine/command.ts";
import type {
  AgentEvent,
  AgentEventBody,
  MemberOutcome,
  SharedRecord,
  WriteOutcome,
} from "../core/machine/event.ts";
import { transition } from "../core/machine/machine.ts";
import { type AgentState, initialState } from "../core/machine/state.ts";
import type { Tools } from "../core/machine/turn.ts";
import { lookEveryMs } from "../core/model/profile.ts";
import { recordKeys } from "../core/model/record.ts";
import type { SignedTable } from "../core/model/routing.ts";
import type { Topology } from "../core/model/topology.ts";
import type { Fencer } from "./fencer.ts";
import type { Host } from "./host.ts";
import { type Kernel, type Micros, millis } from "./kernel.ts";
import { Process } from "./process.ts";
import type { Random } from "./random.ts";
import type { Stored } from "./shared-store.ts";
import type { Site, World } from "./world.ts";

/** More wakes in a row without the clock moving on than any honest plan needs: a busy loop. */
const spinsMax = 200;
const inspectEvery = millis(lookEveryMs);
/** How long the fencer's client waits for an answer. */
const fencerTimeout = millis(500);

export interface AgentOptions {
  readonly world: World;
  readonly site: Site;
  readonly topology: Topology;
  readonly tools: Tools;
}

export class Agent {
  readonly process = new Process();
  readonly region: string;
  state: AgentState | null = null;
  boots = 0;
  /** Commands of each kind, for S16. */
  operations = 0;
  readonly #world: World;
  readonly #site: Site;
  readonly #kernel: Kernel;
  readonly #host: Host;
  readonly #topology: Topology;
  readonly #tools: Tools;
  readonly #chance: Random;
  #wakeAt: Micros = Number.POSITIVE_INFINITY;
  #spins = 0;
  #spunAt: Micros = -1;
  #questions = new Map<number, (promised: boolean, because: string) => void>();
  #nextQuestion = 1;
  /** What the fencer took last: the epoch that it is armed for, or that it is disarmed. */
  #guardedFor: number | "disarmed" | null = null;
  #ordersUnderWay = 0;
  #onAnswered: (() => void)[] = [];

  constructor(options: AgentOptions) {
    this.#world = options.world;
    this.#site = options.site;
    this.#kernel = options.world.kernel;
    this.#host = options.site.host;
    this.#topology = options.topology;
    this.#tools = options.tools;
    this.region = options.site.region;
    this.#chance = this.#kernel.chance(`agent ${this.region}`);
  }

  start(): void {
    this.process.start();
    this.boots++;
    this.#wakeAt = Number.POSITIVE_INFINITY;
    this.#questions.clear();
    this.#guardedFor = null;
    this.#ordersUnderWay = 0;
    this.#onAnswered = [];
    this.state = initialState({
      self: this.region,
      boot: `${this.region}-${this.boots}`,
      topology: this.#topology,
      at: this.#host.monotonicMs(),
    });
    const { life } = this.process;
    this.#load(life);
    const member = this.#site.postgres;
    const burntEpoch = this.#site.fencer?.burntEpoch ?? 0;
    if (member && burntEpoch > 0 && this.#chance.chance(0.8))
      this.#kernel.after(millis(this.#chance.between(1, 300)), () =>
        this.process.deliverTo(life, () =>
          this.#take({ kind: "fencer-fired", member: member.name, epoch: burntEpoch }),
        ),
      );
    if (member) this.#inspectLater(life, millis(this.#chance.between(1, 20)));
    this.#probeLater(life);
  }

  kill(): void {
    this.process.kill();
    this.state = null;
  }

  stop(): void {
    this.process.stop();
  }

  /** It goes on: first it is told the time, then what it missed. */
  resume(): void {
    this.process.resume(() => this.#take({ kind: "woken" }));
  }

  /** Tells the machine, now or when the process goes on. */
  tell(body: AgentEventBody): void {
    this.process.deliver(() => this.#take(body));
  }

  /** Another agent's question (L6). */
  ask(
    question: {
      readonly from: string;
      readonly dataStore: string;
      readonly epoch: number;
      readonly revision: number;
    },
    answer: (promised: boolean, because: string) => void,
  ): void {
    this.process.deliver(() => {
      const id = this.#nextQuestion++;
      this.#questions.set(id, answer);
      this.#take({ kind: "peer-asked", id, ...question });
    });
  }

  #load(life: number): void {
    const { store } = this.#world;
    let loaded = false;
    const attempt = () => {
      if (loaded || life !== this.process.life) return;
      store.list(this.region, (records, next) =>
        this.process.deliverTo(life, () => {
          if (loaded) return;
          loaded = true;
          for (const { key, revision, record } of records)
            if (record) this.#take({ kind: "record-changed", key, revision, record });
          this.#take({ kind: "store-loaded" });
          store.watch(
            {
              region: this.region,
              process: this.process,
              life,
              onChange: (stored) => this.#takeStored(stored),
              onHeard: () => this.#take({ kind: "store-heard" }),
            },
            next,
          );
        }),
      );
      this.#kernel.after(millis(500), attempt);
    };
    attempt();
  }

  #takeStored({ key, revision, record }: Stored): void {
    this.#take({ kind: "record-changed", key, revision, record });
  }

  #take(body: AgentEventBody): void {
    const before = this.state;
    if (before === null) return;
    const event = { ...body, at: this.#host.monotonicMs(), wall: this.#host.wallMs() } as AgentEvent;
    const { state, commands } = transition(before, event, this.#tools);
    this.state = state;
    this.#world.onTransition(this, before, event, state, commands);
    for (const command of commands) {
      if (this.state === null) return;
      this.#perform(command);
    }
    this.#wakeBy(state.wakeAt);
  }

  #wakeBy(atMs: number): void {
    if (!Number.isFinite(atMs)) return;
    const at = Math.max(this.#host.whenMonotonic(atMs), this.#kernel.now);
    if (this.#wakeAt <= at) return;
    if (at === this.#kernel.now) {
      if (this.#spunAt !== at) this.#spins = 0;
      this.#spunAt = at;
      if (++this.#spins > spinsMax)
        return this.#kernel.violate(
          "busy loop",
          `the agent of ${this.region} asks to be woken at once, for ever`,
        );
    }
    this.#wakeAt = at;
    const { life } = this.process;
    this.#kernel.at(at, () => {
      if (this.#wakeAt !== at) return;
      this.process.deliverTo(life, () => {
        if (this.#wakeAt !== at) return;
        this.#wakeAt = Number.POSITIVE_INFINITY;
        this.#take({ kind: "woken" });
      });
    });
  }

  // ---------------------------------------------------------------- what its eyes see

  #inspectLater(life: number, span: Micros): void {
    this.#kernel.after(span, () => {
      if (life !== this.process.life) return;
      if (this.process.stopped) return this.process.deliverTo(life, () => this.#inspectLater(life, 0));
      this.#inspect(life, () => this.#inspectLater(life, inspectEvery));
    });
  }

  #inspect(life: number, then: () => void): void {
    const member = this.#site.postgres;
    if (!member) return;
    const hangs = member.process.alive && (member.process.stopped || member.diskHung);
    const slow = hangs ? 1000 : this.#chance.chance(0.1) ? this.#chance.skewed(5, 300) : 0;
    const startedAt = this.#host.monotonicMs();
    const tell = (seen: ReturnType<typeof member.inspect>, at: number) =>
      this.process.deliverTo(life, () => {
        this.#take({ kind: "member-inspected", member: member.name, startedAt: at, seen });
        then();
      });
    if (slow === 0) return tell(member.inspect(), startedAt - 2);
    // Measured early or late, told late: both happen.
    const early = this.#chance.chance(0.5) ? member.inspect() : null;
    this.#kernel.after(Math.round(millis(slow)), () => {
      const seen = early ?? member.inspect();
      tell(hangs && seen.state !== "stopped" ? { ...seen, state: "hung" } : seen, startedAt);
    });
  }

  #probeLater(life: number): void {
    const { services } = this.#topology;
    if (services.length === 0) return;
    this.#kernel.after(millis(this.#chance.between(900, 1100)), () => {
      if (life !== this.process.life) return;
      for (const service of services)
        for (const endpoint of service.endpoints) {
          const ok = this.#world.serves(this.region, endpoint.region);
          this.tell({ kind: "probed", service: service.name, region: endpoint.region, ok });
        }
      this.#probeLater(life);
    });
  }

  // ---------------------------------------------------------------- what its hands do

  #perform(command: Command): void {
    const kernel = this.#kernel;
    const world = this.#world;
    const { life } = this.process;
    switch (command.kind) {
      case "write":
        return this.#write(life, command, command.key, command.record, command.over);
      case "publish": {
        const signed: SignedTable = { table: command.table, keyId: "sim", signature: "" };
        return this.#write(life, command, recordKeys.routing, signed);
      }
      case "apply-table": {
        const { edge, gate } = this.#site;
        const { table } = command.table;
        kernel.after(millis(this.#chance.between(1, 5)), () => {
          const region = this.region;
          gate?.process.deliver(() => {
            for (const route of Object.values(table.stores))
              if (route.writer?.region !== region) gate.see(route.epoch);
          });
          if (!edge) return this.tell({ kind: "table-applied", generation: table.generation });
          edge.process.deliver(() => {
            if (edge.apply(table))
              this.process.deliverTo(life, () =>
                this.#take({ kind: "table-applied", generation: table.generation }),
              );
          });
        });
        return;
      }
      case "pet":
        return this.#orderFencer(this.#chance.between(100, 900), (fencer) =>
          fencer.pet(command.epoch, command.deadline) ? command.epoch : null,
        );
      case "disarm":
        this.#guardedFor = null;
        return this.#orderFencer(this.#chance.between(900, 1200), (fencer) =>
          fencer.disarm(command.epoch) ? "disarmed" : null,
        );
      case "gate": {
        const { gate } = this.#site;
        // One connection: orders arrive in order.
        kernel.after(300, () => gate?.process.deliver(() => gate.order(command)));
        return;
      }
      // A simulated standby needs no time to connect.
      case "expect":
        return;
      case "remember":
        return kernel.after(millis(this.#chance.skewed(1, 50)), () => {
          const { postgres } = this.#site;
          if (life !== this.process.life || this.process.stopped || !postgres || postgres.diskFull) return;
          const { disk } = postgres;
          if (disk.floor === command.epoch)
            disk.publication = Math.max(disk.publication, command.publication);
        });
      case "look":
        return kernel.after(millis(this.#chance.between(3, 8)), () => {
          if (life === this.process.life && !this.process.stopped) this.#inspect(life, () => {});
        });
      case "member":
        return this.#operate(life, command);
      case "ask-peers": {
        const { id, regions, dataStore, epoch, revision } = command;
        for (const region of regions)
          world.askPeer(this.region, region, { dataStore, epoch, revision }, (promised, because) =>
            this.process.deliverTo(life, () =>
              this.#take({ kind: "peer-answered", id, from: region, promised, because }),
            ),
          );
        return;
      }
      case "tell-seal":
        for (const region of command.regions)
          world.tellPeer(this.region, region, {
            kind: "seal-told",
            member: command.member,
            told: command.told,
          });
        return;
      case "answer-peer": {
        if (command.promised) world.oracle.onPromised();
        const answer = this.#questions.get(command.id);
        this.#questions.delete(command.id);
        answer?.(command.promised, command.because);
        return;
      }
      case "validate":
        kernel.after(millis(this.#chance.between(20, 200)), () => {
          const because = world.whyNotServing(this.region, command.dataStore);
          this.process.deliverTo(life, () =>
            this.#take({ kind: "validated", id: command.id, ok: because === "", because }),
          );
        });
        return;
      case "note":
        if (kernel.story)
          kernel.tell(
            "part",
            `agent ${this.region}`,
            `${command.level === "alarm" ? "ALARM " : ""}${command.text}`,
          );
        return;
      default:
        return command satisfies never;
    }
  }

  #write(
    life: number,
    { id, expect, timeoutMs }: Extract<Command, { kind: "write" | "publish" }>,
    key: string,
    record: SharedRecord,
    over?: SharedRecord,
  ): void {
    let done = false;
    const finish = (outcome: WriteOutcome, current: Stored | null) =>
      this.process.deliverTo(life, () => {
        if (done) return;
        done = true;
        if (current) this.#takeStored(current);
        this.#take({ kind: "write-replied", id, outcome });
      });
    this.#world.store.compareAndSwap(this.region, { key, expect, record, over }, finish);
    this.#kernel.at(this.#host.whenMonotonic(this.#host.monotonicMs() + timeoutMs), () => {
      if (!done) finish({ kind: "unknown", because: `no answer within ${timeoutMs} ms` }, null);
    });
  }

  /** Asks the fencer; what it took is known once it has answered. */
  #orderFencer(span: Micros, ask: (fencer: Fencer) => number | "disarmed" | null): void {
    const { fencer } = this.#site;
    if (!fencer) return;
    const { life } = this.process;
    let isAnswered = false;
    const answer = (taken: number | "disarmed" | null) =>
      this.process.deliverTo(life, () => {
        if (isAnswered) return;
        isAnswered = true;
        if (taken !== null) this.#guardedFor = taken;
        if (--this.#ordersUnderWay > 0) return;
        for (const go of this.#onAnswered.splice(0)) go();
      });
    this.#ordersUnderWay++;
    this.#kernel.after(span, () => {
      if (!fencer.process.alive) return answer(null);
      if (fencer.process.stopped) this.#kernel.after(fencerTimeout, () => answer(null));
      fencer.process.deliver(() => answer(ask(fencer)));
    });
  }

  /** As `src/agent/perform.ts` has it: nobody leads unguarded, and nobody is started whom the fencer would end. */
  #operate(life: number, command: Extract<Command, { kind: "member" }>): void {
    const { op } = command;
    const leads = op.kind === "promote" || op.kind === "initialize";
    const returns = op.kind === "rejoin" || op.kind === "start-sealed";
    if (!leads && !returns) return this.#begin(life, command);
    const wanted = leads ? op.epoch : "disarmed";
    const go = () => {
      if (this.#guardedFor === wanted) return this.#begin(life, command);
      this.#kernel.hit("refused without its fencer");
      const outcome: MemberOutcome = { kind: "failed", op: op.kind, because: "its fencer has not answered" };
      this.#take({ kind: "member-replied", member: command.member, id: command.id, outcome });
    };
    if (this.#ordersUnderWay > 0) this.#onAnswered.push(go);
    else this.#kernel.after(0, () => this.process.deliverTo(life, go));
  }

  #begin(life: number, command: Extract<Command, { kind: "member" }>): void {
    const { postgres, operations, gate } = this.#site;
    const { id, op, member, timeoutMs } = command;
    if (!postgres || !operations) return;
    this.operations++;
    let done = false;
    const finish = (outcome: MemberOutcome) =>
      this.process.deliverTo(life, () => {
        if (done) return;
        done = true;
        this.#take({ kind: "member-replied", member, id, outcome });
      });
    if (op.kind === "drain") gate?.process.deliver(() => gate.drain());
    if (this.#kernel.story && op.kind !== "drain")
      this.#kernel.tell("part", `agent ${this.region}`, `${op.kind} ${member}`);
    // Seeding runs in the agent's own process; what SQL has begun goes on without it.
    const isWanted = () => !done && (op.kind !== "rejoin" || life === this.process.life);
    operations.perform(op, isWanted, finish);
    this.#kernel.at(this.#host.whenMonotonic(this.#host.monotonicMs() + timeoutMs), () =>
      this.process.deliverTo(life, () => {
        if (done) return;
        finish({ kind: "unknown", op: op.kind, because: `no answer within ${timeoutMs} ms` });
        if (op.kind === "stop-in-order") postgres.kill();
      }),
    );
  }
}
