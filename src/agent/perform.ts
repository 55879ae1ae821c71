/** Commands in, effects on the world out; what the world answers goes back as events. Nothing is decided here. */

import type { Command, MemberOp } from "../core/machine/command.ts";
import type { AgentEventBody, MemberOutcome, WriteOutcome } from "../core/machine/event.ts";
import type { MemberName, StoreName } from "../core/model/id.ts";
import { recordKeys } from "../core/model/record.ts";
import type { Topology } from "../core/model/topology.ts";
import type { Outcome } from "../ports/database.ts";
import { decodeRecord } from "./decode.ts";
import type { AgentParts, MemberParts } from "./parts.ts";

export interface Performer {
  perform(command: Command): void;
  /** The answer to a peer's question, when the machine gives it. */
  onPeerAnswer(
    id: number,
    take: (answer: { readonly promised: boolean; readonly because: string }) => void,
  ): void;
  /** Resolves when everything that is under way has ended; nothing new is begun. */
  close(): Promise<void>;
}

/** An operation that was told to stop gets this long to say how it ended. */
const graceMs = 1000;

export interface PerformerOptions {
  readonly parts: AgentParts;
  readonly topology: Topology;
  readonly self: string;
  readonly tell: (event: AgentEventBody) => void;
  /** Called when an operation has changed a member: measure it now rather than with the next round. */
  readonly lookAt: (member: MemberName) => void;
}

export function createPerformer(options: PerformerOptions): Performer {
  const { parts, topology, self, tell, lookAt } = options;
  const stopping = new AbortController();
  const underWay = new Set<Promise<unknown>>();
  const answers = new Map<number, (answer: { promised: boolean; because: string }) => void>();
  /** Orders to the guards of a member keep their order, and a promotion waits for them. */
  const guards = new Map<string, Promise<unknown>>();
  const waitingOrders = new Map<string, (unit: MemberParts) => Promise<unknown>>();
  /** Epoch for which the fencer of each member took our last pet: nobody leads unguarded. */
  const armed = new Map<MemberName, number>();
  /** Members whose fencer took our last disarming: only they may be started as standbys, others would be ended again. */
  const disarmed = new Set<MemberName>();
  /** The slow operation of each member, so that `end` can overtake it. */
  const slow = new Map<MemberName, AbortController>();

  const go = (work: Promise<unknown>) => {
    const tracked = work.catch((error: unknown) =>
      parts.log("alarm", "an effect broke", { error: String(error) }),
    );
    underWay.add(tracked);
    void tracked.finally(() => underWay.delete(tracked));
  };
  const within = (timeoutMs: number, ...others: AbortSignal[]) =>
    AbortSignal.any([stopping.signal, AbortSignal.timeout(Math.max(1, Math.ceil(timeoutMs))), ...others]);

  const write = async (
    { id, expect, timeoutMs }: Extract<Command, { kind: "write" | "publish" }>,
    key: string,
    value: string,
    orValue?: string,
  ) => {
    const outcome = await parts.store.compareAndSwap(key, expect, value, within(timeoutMs), orValue);
    if (outcome.kind === "conflict") {
      // What stands there is told first: the machine never has to ask why it was refused.
      const { current } = outcome;
      if (current) {
        const record = decodeRecord(current.key, current.value);
        if (record.kind === "decoded")
          tell({
            kind: "record-changed",
            key: current.key,
            revision: current.revision,
            record: record.record,
          });
      }
    }
    const reply: WriteOutcome = outcome.kind === "conflict" ? { kind: "conflict" } : outcome;
    tell({ kind: "write-replied", id, outcome: reply });
  };

  const member = async (id: number, name: MemberName, op: MemberOp, timeoutMs: number) => {
    const unit = parts.members.get(name);
    let outcome: MemberOutcome;
    if (!unit) outcome = { kind: "failed", op: op.kind, because: `this agent has no member ${name}` };
    else {
      const lane = new AbortController();
      const urgent = op.kind === "end" || op.kind === "freeze" || op.kind === "thaw";
      if (op.kind === "end") slow.get(name)?.abort(new Error("overtaken by end"));
      if (!urgent) slow.set(name, lane);
      const leads = op.kind === "promote" || op.kind === "initialize";
      const returns = op.kind === "rejoin" || op.kind === "start-sealed";
      if (leads || returns) await guards.get(`fencer ${name}`);
      // Not before the orderly stop: after the drain nothing is under way, and the gate, on hold, passes nothing either way.
      if (op.kind === "drain") await guards.get(`gate ${name}`);
      try {
        if (leads && armed.get(name) !== op.epoch)
          outcome = {
            kind: "failed",
            op: op.kind,
            because: `the fencer of ${name} has not been armed for epoch ${op.epoch}; see whether it runs`,
          };
        else if (returns && !disarmed.has(name))
          outcome = {
            kind: "failed",
            op: op.kind,
            because: `the fencer of ${name} has not been disarmed and would end it; see whether it runs`,
          };
        else
          outcome = await inTime(
            runOp(unit, name, op, within(timeoutMs, lane.signal), (text) =>
              parts.log("info", text, { member: name }),
            ),
            op,
            timeoutMs + graceMs,
            lane.signal,
          );
      } catch (error) {
        outcome = { kind: "unknown", op: op.kind, because: String(error) };
      }
      if (slow.get(name) === lane) slow.delete(name);
    }
    tell({ kind: "member-replied", member: name, id, outcome });
    lookAt(name);
  };

  /**
   * Orders to one guard go one after the other, and only the newest waits: what has not been sent when a newer one comes is
   * not worth sending. Fencer and gate have a line each, so that one that does not answer never delays the other.
   */
  const guard = (
    line: "fencer" | "gate",
    name: MemberName,
    order: (unit: MemberParts) => Promise<unknown>,
  ) => {
    const unit = parts.members.get(name);
    if (!unit) return;
    const key = `${line} ${name}`;
    const waiting = waitingOrders.get(key);
    waitingOrders.set(key, order);
    if (waiting) return;
    const before = guards.get(key) ?? Promise.resolve();
    const work = before
      .then(() => {
        const newest = waitingOrders.get(key);
        waitingOrders.delete(key);
        return newest?.(unit);
      })
      .catch((error: unknown) =>
        parts.log("warning", `the ${line} did not answer`, { member: name, error: String(error) }),
      );
    guards.set(key, work);
    go(work);
  };

  const take = (name: MemberName, epoch: number) => {
    armed.set(name, epoch);
    disarmed.delete(name);
  };

  const pet = async (unit: MemberParts, name: MemberName, epoch: number, deadline: number) => {
    if (await unit.fencer.pet({ epoch, deadline })) return void take(name, epoch);
    const { burntEpoch } = await unit.fencer.state(500);
    if (burntEpoch >= epoch) tell({ kind: "fencer-fired", member: name, epoch: burntEpoch });
  };

  const validate = async (id: number, dataStore: StoreName, timeoutMs: number) => {
    const problems: string[] = [];
    const edge = topology.edges.find((candidate) => candidate.region === self) ?? topology.edges[0];
    for (const service of topology.services) {
      if (!service.dataStores.includes(dataStore) || !edge) continue;
      for (const journey of service.journeys) {
        const base = `http://${edge.http.host}:${edge.http.port}`;
        const sample = await parts.prober.journey(
          base,
          journey.steps,
          Math.min(timeoutMs, journey.timeoutMs),
        );
        if (!sample.ok) problems.push(`journey ${journey.name} through ${edge.name}: ${sample.problem}`);
      }
    }
    tell({ kind: "validated", id, ok: problems.length === 0, because: problems.join("; ") });
  };

  const apply = async ({ table }: Extract<Command, { kind: "apply-table" }>) => {
    if (await parts.planes.apply(table, within(2000)))
      tell({ kind: "table-applied", generation: table.table.generation });
  };

  const perform = (command: Command): void => {
    if (stopping.signal.aborted) return;
    switch (command.kind) {
      case "write":
        return go(
          write(
            command,
            command.key,
            JSON.stringify(command.record),
            command.over && JSON.stringify(command.over),
          ),
        );
      case "publish":
        return go(write(command, recordKeys.routing, JSON.stringify(parts.sign(command.table))));
      case "expect":
        return parts.members.get(command.member)?.database.expect(command.upstream);
      case "remember":
        // What the disk did not take shows with the next look, and is ordered again.
        return go(
          parts.members
            .get(command.member)
            ?.database.remember(command)
            .catch((error: unknown) =>
              parts.log("warning", "a publication was not remembered", { error: String(error) }),
            ) ?? Promise.resolve(),
        );
      case "look":
        return lookAt(command.member);
      case "apply-table":
        return go(apply(command));
      case "pet":
        return guard("fencer", command.member, (unit) =>
          pet(unit, command.member, command.epoch, command.deadline),
        );
      case "disarm":
        return guard("fencer", command.member, async (unit) => {
          armed.delete(command.member);
          disarmed.delete(command.member);
          if (await unit.fencer.disarm({ epoch: command.epoch })) disarmed.add(command.member);
        });
      case "gate":
        return guard("gate", command.member, async (unit) => unit.gate?.order(command));
      case "member":
        return go(member(command.id, command.member, command.op, command.timeoutMs));
      case "ask-peers":
        for (const region of command.regions) {
          const question = {
            from: self,
            dataStore: command.dataStore,
            epoch: command.epoch,
            revision: command.revision,
          };
          go(
            parts.peers.ask(region, question, within(command.timeoutMs)).then(
              (answer) =>
                tell({
                  kind: "peer-answered",
                  id: command.id,
                  from: region,
                  promised: answer.kind === "promised",
                  because: answer.kind === "refused" ? answer.because : "",
                }),
              () => undefined, // Silence is an answer too: the holder counts only promises.
            ),
          );
        }
        return;
      case "tell-seal": {
        const notice = { member: command.member, ...command.told };
        // Whoever is not told reads it in the store.
        for (const region of command.regions)
          go(parts.peers.tell(region, notice, within(command.timeoutMs)).catch(() => undefined));
        return;
      }
      case "answer-peer":
        answers.get(command.id)?.(command);
        answers.delete(command.id);
        return;
      case "validate":
        return go(validate(command.id, command.dataStore, command.timeoutMs));
      case "note":
        return parts.log(command.level, command.text, { subject: command.subject });
      default:
        return command satisfies never;
    }
  };

  return {
    perform,
    onPeerAnswer: (id, take) => answers.set(id, take),
    async close() {
      stopping.abort(new Error("the agent is being stopped"));
      await Promise.allSettled([...underWay]);
    },
  };
}

/**
 * What is answered after its deadline is not waited for: a lane that never came free would leave the member to itself for
 * ever. The outcome is unknown then, and the next inspection tells what became of it.
 */
function inTime(
  work: Promise<MemberOutcome>,
  op: MemberOp,
  limitMs: number,
  overtaken: AbortSignal,
): Promise<MemberOutcome> {
  return new Promise((resolve) => {
    const giveUp = (because: string) => resolve({ kind: "unknown", op: op.kind, because });
    let timer = setTimeout(
      giveUp,
      Math.min(limitMs, 2 ** 31 - 1),
      `no answer within ${Math.round(limitMs)} ms`,
    );
    const hurry = () => {
      clearTimeout(timer);
      timer = setTimeout(giveUp, graceMs, "it was overtaken, and did not say how it ended");
    };
    overtaken.addEventListener("abort", hurry, { once: true });
    const settle = (outcome: MemberOutcome) => {
      overtaken.removeEventListener("abort", hurry);
      clearTimeout(timer);
      resolve(outcome);
    };
    work.then(settle, (error: unknown) => settle({ kind: "unknown", op: op.kind, because: String(error) }));
  });
}

async function runOp(
  unit: MemberParts,
  name: MemberName,
  op: MemberOp,
  signal: AbortSignal,
  progress: (text: string) => void,
): Promise<MemberOutcome> {
  const { database } = unit;
  const plain = (outcome: Outcome<object>): MemberOutcome =>
    outcome.kind === "succeeded" ? { kind: "succeeded", op: op.kind } : { ...outcome, op: op.kind };
  switch (op.kind) {
    case "initialize": {
      const outcome = await database.initialize({ epoch: op.epoch }, signal);
      if (outcome.kind !== "succeeded") return { ...outcome, op: op.kind };
      const seen = await database.inspect(1000);
      return {
        kind: "succeeded",
        op: op.kind,
        incarnation: outcome.incarnation,
        position: seen.position,
        timeline: seen.timeline,
      };
    }
    case "rejoin": {
      const { upstream, reseed } = op;
      const request = { upstream, anew: reseed !== undefined, onProgress: progress };
      const outcome = await database.rejoin(request, signal);
      if (outcome.kind !== "succeeded") return { ...outcome, op: op.kind };
      const lost = outcome.divergence;
      const detail = lost
        ? `${outcome.how}; ${lost.transactions.length} transaction(s) beyond ${lost.forkedAt} kept in ${lost.keptIn}`
        : outcome.how;
      const seen = await database.inspect(1000);
      return {
        kind: "succeeded",
        op: op.kind,
        detail,
        ...(seen.incarnation ? { incarnation: seen.incarnation } : {}),
      };
    }
    case "start-sealed":
    case "seal":
    case "stop-in-order": {
      const outcome =
        op.kind === "seal"
          ? await database.seal({ basis: op.basis }, signal)
          : op.kind === "start-sealed"
            ? await database.startSealed({ basis: op.basis }, signal)
            : await database.stopInOrder(signal);
      return outcome.kind === "succeeded"
        ? { kind: "succeeded", op: op.kind, position: outcome.position }
        : { ...outcome, op: op.kind };
    }
    case "promote": {
      const outcome = await database.promote(op, signal);
      return { ...outcome, op: op.kind };
    }
    case "follow":
      return plain(await database.follow(op, signal));
    case "set-quorum":
      return plain(await database.setQuorum(op, signal));
    case "freeze":
      return plain(await database.freeze(signal));
    case "thaw":
      return plain(await database.thaw(signal));
    case "prepare-stop":
      return plain(await database.prepareStop(signal));
    case "end":
      return plain(await database.end(signal));
    case "drain": {
      if (!unit.gate) return { kind: "succeeded", op: op.kind };
      const open = await unit.gate.drain(name, signal);
      return open === 0
        ? { kind: "succeeded", op: op.kind }
        : { kind: "failed", op: op.kind, because: `${open} session(s) still have a transaction open` };
    }
    default:
      return op satisfies never;
  }
}
