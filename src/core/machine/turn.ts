/** One transition under way: a draft of the next state, and the commands gathered so far. Never outlives the transition. */
import type { RegionName } from "../model/id.ts";
import { type InstantMs, NEVER, type WallMs } from "../model/time.ts";
import type { Command, MemberOp } from "./command.ts";
import type { AgentState, Keeper, Local, Tenure } from "./state.ts";

export type Draft<T> = { -readonly [K in keyof T]: T[K] };

export interface Turn {
  readonly at: InstantMs;
  readonly wall: WallMs;
  readonly state: Draft<AgentState>;
  readonly commands: Command[];
  readonly tools: Tools;
}

/** Pure functions of the world's libraries that the core asks for rather than owns. */
export interface Tools {
  /** SHA-256 of a text, hexadecimal. */
  readonly digest: (text: string) => string;
}

/** A keeper as a draft within this turn. */
export type KeeperDraft = Draft<Keeper>;

export function nextId(turn: Turn): number {
  return turn.state.nextId++;
}

/**
 * Asks to be told the time at `at`, unless something else asks for an earlier one. Whoever waits compares the time with the
 * very same `at`: an age beside a span rounds otherwise, and would be woken too early for ever.
 */
export function wakeKeeperAt(keeper: KeeperDraft, at: InstantMs): void {
  if (at < keeper.wakeAt) keeper.wakeAt = at;
}

export function resetWake(keeper: KeeperDraft): void {
  keeper.wakeAt = NEVER;
}

export function patchLocal(keeper: KeeperDraft, patch: Partial<Local>): void {
  keeper.local = { ...keeper.local, ...patch };
}

export function patchTenure(keeper: KeeperDraft, patch: Partial<Tenure>): void {
  if (keeper.tenure) keeper.tenure = { ...keeper.tenure, ...patch };
}

/** Begins an operation on the local member, on the lane that it belongs to. */
export function runOp(turn: Turn, keeper: KeeperDraft, op: MemberOp, timeoutMs: number): void {
  if (!keeper.member) return;
  const running = { id: nextId(turn), op, startedAt: turn.at };
  patchLocal(keeper, isGuard(op) ? { guard: running } : { op: running });
  turn.commands.push({ kind: "member", id: running.id, member: keeper.member, op, timeoutMs });
}

export function isGuard(op: MemberOp): boolean {
  return op.kind === "end" || op.kind === "freeze" || op.kind === "thaw";
}

export function note(turn: Turn, level: "info" | "warning" | "alarm", subject: string, text: string): void {
  turn.commands.push({ kind: "note", level, subject, text });
}

/** Whether `region`'s agent has been heard of within the time that a living one beats in. */
export function isAlive(turn: Turn, region: RegionName): boolean {
  if (region === turn.state.self) return true;
  const seen = turn.state.agents[region];
  return seen !== undefined && turn.at - seen.seenAt <= turn.state.timing.silentMs;
}
