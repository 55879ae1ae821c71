/** One region's agent: the machine, what it is told, and what it does, from start to a clean end. */

import type { Command } from "../core/machine/command.ts";
import type { AgentEvent } from "../core/machine/event.ts";
import type { StartOptions } from "../core/machine/recording.ts";
import { type AgentState, initialState } from "../core/machine/state.ts";
import type { MemberName, RegionName } from "../core/model/id.ts";
import { lookEveryMs } from "../core/model/profile.ts";
import type { Topology } from "../core/model/topology.ts";
import type { PeerAnswer, PeerQuestion, SealNotice } from "../ports/peers.ts";
import { createController } from "./controller.ts";
import { watchOrders } from "./levels.ts";
import type { AgentParts, MemberParts } from "./parts.ts";
import { createPerformer } from "./perform.ts";
import { inspectRound, probeRound, type Round, startRound } from "./rounds.ts";
import { watchStore } from "./watching.ts";

export interface AgentOptions {
  readonly topology: Topology;
  readonly region: RegionName;
  readonly boot: string;
  readonly parts: AgentParts;
  /** Told of what the machine begins with. */
  readonly onStart?: (start: StartOptions) => void;
  /** Told of every event with what came of it. */
  readonly record?: (event: AgentEvent, commands: readonly Command[], state: AgentState) => void;
  /** The machine found a state that cannot be: the process must end. */
  readonly onBug: (error: unknown) => void;
}

export interface Agent {
  state(): AgentState;
  /** Since the start. */
  counted(): { readonly transitions: number; readonly commands: number };
  /** A question of another region's agent (L6). */
  answerPeer(question: PeerQuestion, timeoutMs: number): Promise<PeerAnswer>;
  takeSeal(notice: SealNotice): void;
  /** Of `parts.members` by now, and not at the start. */
  addMember(name: MemberName, unit: MemberParts): void;
  close(): Promise<void>;
}

/** Routers and firewalls forget connections that are silent for minutes, the other agent after `keptMs`. */
const peersEveryMs = 20_000;

/** What somebody changed at a data plane by hand, or one that lost its disk, is put right within this. */
const planesEveryMs = 5000;

/** An order for a level ends within this after its time. */
const ordersEveryMs = 500;

export function startAgent(options: AgentOptions): Agent {
  const { topology, region, parts } = options;
  const stopping = new AbortController();
  const rounds = new Map<string, Round>();
  let lastPeerId = 0;
  const counted = { transitions: 0, commands: 0 };

  const start = { self: region, boot: options.boot, topology, at: parts.clock.now() };
  options.onStart?.(start);
  const controller = createController({
    clock: parts.clock,
    tools: { digest: parts.digest },
    initial: initialState(start),
    perform: (command) => performer.perform(command),
    record: (event, commands, state) => {
      counted.transitions++;
      counted.commands += commands.length;
      options.record?.(event, commands, state);
    },
    onBug: (error, event) => {
      parts.log("alarm", "the machine found a state that cannot be: this agent stops, its lease ends", {
        event: event.kind,
        error: String(error),
      });
      options.onBug(error);
    },
  });
  const performer = createPerformer({
    parts,
    topology,
    self: region,
    tell: controller.tell,
    lookAt: (member) => rounds.get(member)?.now(),
  });

  const watching = watchStore(parts.store, controller.tell, parts.log, stopping.signal);
  const addMember = (name: MemberName, unit: MemberParts) => {
    const round = inspectRound(
      parts,
      name,
      unit,
      Math.min(lookEveryMs, topology.profile.renewMs),
      controller.tell,
      stopping.signal,
    );
    rounds.set(name, round);
    unit.database.onLost(() => round.now());
  };
  for (const [name, unit] of parts.members) addMember(name, unit);
  for (const service of topology.services)
    rounds.set(
      `service ${service.name}`,
      probeRound(parts, service, Math.max(500, topology.profile.renewMs), controller.tell, stopping.signal),
    );

  rounds.set(
    "data planes",
    startRound(planesEveryMs, () => parts.planes.check(stopping.signal), stopping.signal),
  );

  rounds.set(
    "peers",
    startRound(peersEveryMs, () => parts.peers.keepNear(stopping.signal), stopping.signal),
  );

  const orders = watchOrders(parts, parts.log);
  rounds.set(
    "orders of levels",
    startRound(ordersEveryMs, () => orders.look(controller.state().levels), stopping.signal),
  );

  return {
    state: controller.state,
    counted: () => ({ ...counted }),
    answerPeer: (question, timeoutMs) =>
      new Promise((resolve) => {
        lastPeerId++;
        const id = lastPeerId;
        const timer = setTimeout(
          () => resolve({ kind: "refused", because: `no answer within ${timeoutMs} ms` }),
          timeoutMs,
        );
        performer.onPeerAnswer(id, (answer) => {
          clearTimeout(timer);
          resolve(answer.promised ? { kind: "promised" } : { kind: "refused", because: answer.because });
        });
        controller.tell({
          kind: "peer-asked",
          id,
          from: question.from,
          dataStore: question.dataStore,
          epoch: question.epoch,
          revision: question.revision,
        });
      }),
    addMember,
    takeSeal: ({ member, ...told }) => controller.tell({ kind: "seal-told", member, told }),
    async close() {
      stopping.abort(new Error("the agent is being stopped"));
      controller.close();
      await performer.close();
      await Promise.allSettled([watching, ...[...rounds.values()].map((round) => round.ended)]);
    },
  };
}
