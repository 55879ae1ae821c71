/**
 * What an agent was told, kept line by line, so that any moment of production can be run through the machine again.
 *
 * A recording is JSON lines:
 *
 *     {"kind":"start","schema":1,"options":{self, boot, topology, at, storeTimeoutMs?}}   as given to `initialState`
 *     {"kind":"state","schema":1,"state":{...}}                                           instead of it, later in a life
 *     {"kind":"step","event":{...},"commands":3,"digest":"9f3c..."}                       one for each `transition`
 *
 * It begins with `start` or `state`; each further one begins the story anew (a restart, or the head of a file that was
 * rotated: write `state` first, and the older file may be thrown away). `digest` is that of the canonical JSON of the
 * commands: equal digests are equal commands, to the letter. Numbers that JSON has not are {"$number":"-Infinity"}.
 *
 * X1. Entries are written in the order of the transitions, none left out: `state` is the state after the step before it.
 * X2. Recording changes nothing: whoever cannot write an entry begins anew with `state` when it can.
 */
import { canonicalJson } from "../traffic/canonical.ts";
import type { Command } from "./command.ts";
import type { AgentEvent } from "./event.ts";
import { transition } from "./machine.ts";
import { type AgentState, initialState } from "./state.ts";
import type { Tools } from "./turn.ts";

export type StartOptions = Parameters<typeof initialState>[0];

export type RecordingEntry =
  | { readonly kind: "start"; readonly schema: 1; readonly options: StartOptions }
  | { readonly kind: "state"; readonly schema: 1; readonly state: AgentState }
  | {
      readonly kind: "step";
      readonly event: AgentEvent;
      /** How many; for people. */
      readonly commands: number;
      readonly digest: string;
    };

export function startEntry(options: StartOptions): RecordingEntry {
  return { kind: "start", schema: 1, options };
}

export function stateEntry(state: AgentState): RecordingEntry {
  return { kind: "state", schema: 1, state };
}

export function stepEntry(event: AgentEvent, commands: readonly Command[], tools: Tools): RecordingEntry {
  return { kind: "step", event, commands: commands.length, digest: commandsDigest(commands, tools) };
}

/** One line, without its end. */
export function encodeEntry(entry: RecordingEntry): string {
  return JSON.stringify(entry, (_key, value: unknown) =>
    typeof value === "number" && !Number.isFinite(value) ? { $number: String(value) } : value,
  );
}

export type Decoded =
  | { readonly kind: "entry"; readonly entry: RecordingEntry }
  | { readonly kind: "malformed"; readonly because: string };

export function decodeEntry(line: string): Decoded {
  let value: unknown;
  try {
    value = JSON.parse(line, (_key, part: unknown) =>
      part !== null && typeof part === "object" && "$number" in part ? Number(part.$number) : part,
    );
  } catch (error) {
    return { kind: "malformed", because: (error as Error).message };
  }
  const entry = value as Partial<RecordingEntry> | null;
  const complete =
    (entry?.kind === "start" && entry.schema === 1 && entry.options !== undefined) ||
    (entry?.kind === "state" && entry.schema === 1 && entry.state !== undefined) ||
    (entry?.kind === "step" && entry.event !== undefined && typeof entry.digest === "string");
  if (!complete)
    return { kind: "malformed", because: "neither a start, nor a state, nor a step of schema 1" };
  return { kind: "entry", entry: entry as RecordingEntry };
}

/** A recording as it is run again: the state so far, and how many steps came out the same. */
export interface Replay {
  readonly state: AgentState | null;
  readonly steps: number;
}

export const emptyReplay: Replay = { state: null, steps: 0 };

export type Replayed =
  | {
      readonly kind: "same";
      readonly replay: Replay;
      readonly event: AgentEvent | null;
      readonly commands: readonly Command[];
    }
  | {
      readonly kind: "differs";
      readonly event: AgentEvent;
      readonly commands: readonly Command[];
      /** Digest and number of what was recorded. */
      readonly recorded: { readonly commands: number; readonly digest: string };
      readonly because: string;
    }
  | { readonly kind: "malformed"; readonly because: string };

/** The next entry in; what the machine does with it now, compared with what it did then. */
export function replayEntry(replay: Replay, entry: RecordingEntry, tools: Tools): Replayed {
  const same = (state: AgentState, steps: number): Replayed => ({
    kind: "same",
    replay: { state, steps },
    event: null,
    commands: [],
  });
  if (entry.kind === "start") return same(initialState(entry.options), replay.steps);
  if (entry.kind === "state") return same(entry.state, replay.steps);
  if (replay.state === null)
    return { kind: "malformed", because: "a recording begins with a start or a state, not with a step" };
  const { state, commands } = transition(replay.state, entry.event, tools);
  const digest = commandsDigest(commands, tools);
  if (digest !== entry.digest)
    return {
      kind: "differs",
      event: entry.event,
      commands,
      recorded: { commands: entry.commands, digest: entry.digest },
      because: `${commands.length} command(s) with digest ${digest.slice(0, 12)} now, ${entry.commands} with ${entry.digest.slice(0, 12)} then`,
    };
  return { kind: "same", replay: { state, steps: replay.steps + 1 }, event: entry.event, commands };
}

function commandsDigest(commands: readonly Command[], tools: Tools): string {
  return commands.length === 0 ? "none" : tools.digest(canonicalJson(commands));
}
