/** Which states and transitions of the machine a set of runs has reached, of those that are declared. */

import type { Command } from "../core/machine/command.ts";
import type { AgentEvent } from "../core/machine/event.ts";
import type { AgentState, Keeper } from "../core/machine/state.ts";
import { declared } from "./declared.ts";

export class Coverage {
  readonly reached = new Map<string, number>();

  take(before: AgentState, event: AgentEvent, after: AgentState, commands: readonly Command[]): void {
    this.#count(eventName(event));
    for (const command of commands) this.#count(commandName(command));
    for (const name in after.keepers) {
      const now = after.keepers[name] as Keeper;
      const was = before.keepers[name];
      if (now === was) continue;
      const is = modeOf(now);
      const had = was ? modeOf(was) : is;
      if (is !== had) this.#count(`${had} -> ${is}`);
      else this.#count(is);
    }
  }

  /** How many of the declared were reached; what was not; and what was reached and is not declared. */
  summary(): {
    readonly reached: number;
    readonly declared: number;
    readonly missing: readonly string[];
    readonly undeclared: readonly string[];
  } {
    const missing = declared.filter((name) => !this.reached.has(name));
    const undeclared = [...this.reached.keys()].filter((name) => !declared.includes(name)).sort();
    return { reached: declared.length - missing.length, declared: declared.length, missing, undeclared };
  }

  #count(name: string): void {
    this.reached.set(name, (this.reached.get(name) ?? 0) + 1);
  }
}

function eventName(event: AgentEvent): string {
  switch (event.kind) {
    case "write-replied":
      return `event write-replied ${event.outcome.kind}`;
    case "member-replied":
      return `event ${event.outcome.op} ${event.outcome.kind}`;
    case "peer-answered":
      return `event peer-answered ${event.promised ? "promised" : "refused"}`;
    case "validated":
      return `event validated ${event.ok ? "well" : "badly"}`;
    default:
      return `event ${event.kind}`;
  }
}

function commandName(command: Command): string {
  switch (command.kind) {
    case "member":
      return `command ${command.op.kind}`;
    case "gate":
      return `command gate ${command.mode}`;
    case "answer-peer":
      return `command answer-peer ${command.promised ? "promise" : "refusal"}`;
    default:
      return `command ${command.kind}`;
  }
}

/** What a keeper is at, in one word. */
export function modeOf(keeper: Keeper): string {
  const { lease, tenure, local } = keeper;
  if (!lease) return keeper.write ? "bootstrapping" : "no lease";
  const { record } = lease;
  const mine = keeper.member !== null && record.holder === keeper.member && record.phase !== "vacant";
  if (mine && tenure) {
    if (tenure.over) return tenure.ended ? "vacating" : "giving up";
    if (record.phase === "claimed") return tenure.promoted ? "committing" : "promoting";
    if (tenure.frozen) return `frozen (${tenure.frozen})`;
    if (tenure.change) return "changing";
    return tenure.extendedAt > tenure.renewedAt ? "extended" : "leading";
  }
  if (keeper.overSince !== null) {
    if (keeper.write?.purpose === "claim") return "claiming";
    if (keeper.member === null) return "voting";
    return local.sight?.sealedBasis ? "sealed" : "sealing";
  }
  if (record.phase === "claimed") return "awaiting";
  if (local.op?.op.kind === "rejoin") return "rejoining";
  return "following";
}
